"""The site: all pages of all workspaces that this process serves."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from starlette.applications import Starlette
from starlette.requests import Request as Http
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from countersign.domain.ids import RequestId
from countersign.domain.passkeys import COOLING_OFF
from countersign.store.sign_ins import SignIns
from countersign.store.store import Store

from ..passkeys import Site
from ..settings import WebSettings
from .confirmations import Confirmations
from .desk import Desk
from .door import HERE, NOT_HERE, Door
from .http_guard import Guard
from .people_file import PeopleFile
from .proof_pages import ProofPages
from .providers import Provider, SignIn, read_providers
from .request_pages import RequestPages
from .revisions import Revision
from .sessions import SignedIn
from .settings_page import SettingsPage
from .sign_in_pages import CALLBACK, SignInPages


class Pages:
    """All pages, as an ASGI app; `serving` opens them to the people of a workspace."""

    def __init__(
        self,
        public_url: str,
        providers: Sequence[Provider],
        people: PeopleFile,
        sign_ins: SignIns,
        cooling_off: timedelta = COOLING_OFF,
    ) -> None:
        back = public_url + CALLBACK
        ways = [SignIn(provider, number, back) for number, provider in enumerate(providers)]
        confirmations = Confirmations(sign_ins, Site.at(public_url))
        self.people = people
        self._door = Door(public_url, SignedIn(sign_ins, people, secure=public_url.startswith("https://")))
        self._requests = asked = RequestPages(self._door, confirmations)
        changes = SettingsPage(self._door, confirmations)
        self._proofs = ProofPages(
            self._door,
            confirmations,
            ways,
            asked.decide_confirmed,
            asked.show_confirmed,
            changes.confirm,
            changes.show_confirmed,
            cooling_off,
        )
        routes = [
            *asked.routes,
            *changes.routes,
            *self._proofs.routes,
            *SignInPages(self._door, ways, people, confirmations).routes,
            Route("/static/{name}", self._file),
        ]
        self.routes: Sequence[Route] = routes
        app = Starlette(routes=routes, exception_handlers={404: self._missing, 405: self._missing})
        self._app = Guard(app, public_url)

    @classmethod
    def of(cls, settings: WebSettings, store: Store) -> "Pages | None":
        """Make the pages of the settings; None if they have none.

        WrongSettings says what is wrong with their files.
        """
        if settings.public_url is None:
            return None
        assert settings.oidc_providers is not None and settings.oidc_people is not None
        providers = read_providers(settings.oidc_providers)
        people = PeopleFile(settings.oidc_people, providers)
        return cls(settings.public_url, providers, people, SignIns(store), settings.passkey_cooling_off)

    @contextmanager
    def serving(self, desk: Desk) -> Iterator[None]:
        """Serve a workspace's pages until the block ends."""
        self._door.desks[desk.workspace] = desk
        self._requests.revisions[desk.workspace] = Revision(desk.overview.revision)
        try:
            yield
        finally:
            del self._door.desks[desk.workspace], self._requests.revisions[desk.workspace]

    async def link_of(self, request: RequestId) -> str:
        """Return the address of a request's page.

        It is there before Slack has taken the request's card.
        """
        return f"{self._door.public_url}/requests/{request}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._app(scope, receive, send)

    async def _file(self, http: Http) -> Response:
        if (name := http.path_params["name"]) not in self._door.static:
            return self._door.sentence(NOT_HERE, 404)
        return FileResponse(HERE / "static" / name, headers={"Cache-Control": "public, max-age=31536000, immutable"})

    async def _missing(self, http: Http, error: Exception) -> Response:
        return self._door.sentence(NOT_HERE, 404)
