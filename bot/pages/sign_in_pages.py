"""Sign-in and sign-out of the pages."""

import logging
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request as Http
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.ids import WorkspaceId

from .confirmations import Confirmations
from .door import NOT_HERE, SIGN_OUT, STORE_AWAY, Door
from .http_guard import is_ours, read_form
from .people_file import PeopleFile
from .providers import OidcIdentity, PendingSignIn, SignIn, SignInProblem
from .return_paths import return_path
from .window_forms import first

CALLBACK: Final = "/sign-in/callback"
_log = logging.getLogger(__name__)


class SignInPages:
    """Pages for people who are not signed in."""

    def __init__(
        self, door: Door, sign_ins: Sequence[SignIn], people: PeopleFile, confirmations: Confirmations
    ) -> None:
        self._door = door
        self._confirmations = confirmations
        self._sign_ins = sign_ins
        self._people = people

    @property
    def routes(self) -> list[Route]:
        """Return the routes of these pages."""
        return [
            Route("/sign-in", self._choose_provider),
            Route(CALLBACK, self._signed_in_at_provider),
            Route("/sign-in/{number:int}", self._go_to_provider),
            Route("/sign-out", self._sign_out, methods=["POST"]),
        ]

    async def _choose_provider(self, http: Http) -> Response:
        then = return_path(http.query_params.get("then", ""))
        if len(self._sign_ins) == 1 and "signed-out" not in http.query_params:
            return RedirectResponse(f"/sign-in/0?then={then}", 303)
        return self._door.page("sign_in.html", 200, providers=[one.provider.name for one in self._sign_ins], then=then)

    async def _go_to_provider(self, http: Http) -> Response:
        number, then = http.path_params["number"], return_path(http.query_params.get("then", ""))
        if number >= len(self._sign_ins):
            return self._door.sentence(NOT_HERE, 404)
        try:
            url, pending = await self._sign_ins[number].begin(then)
        except SignInProblem as problem:
            return self._door.sentence(str(problem), 502)
        response = RedirectResponse(url, 303)
        self._door.signed_in.keep(response, pending)
        return response

    async def _signed_in_at_provider(self, http: Http) -> Response:
        try:
            return await self._finished(http)
        except StoreUnavailable as away:
            _log.error("%s", away)
            response = self._door.sentence(STORE_AWAY, 503)
        except CountersignError as problem:
            _log.warning("A sign-in was refused: %s", problem)
            response = self._door.sentence(str(problem), 403)
        self._door.signed_in.forget(response)
        return response

    async def _finished(self, http: Http) -> Response:
        pending = self._door.signed_in.pending(http)
        if pending is None or not 0 <= pending.provider < len(self._sign_ins):
            raise SignInProblem(
                "This browser started no sign-in in the last ten minutes. Nothing was changed; please sign in again."
            )
        identity = await self._sign_ins[pending.provider].finish(
            pending, http.query_params, await self._door.signed_in.now()
        )
        if pending.proves:
            return await self._proved(http, pending, identity)
        person = self._people.person(identity)
        workspace = None if person is None else person.workspace or self._only_workspace()
        if person is None:
            _log.warning("No entry maps %s at %s to a Slack user.", ascii(identity.subject), identity.issuer)
            response: Response = self._door.page("unknown_person.html", 403, identity=identity)
        elif workspace is None or workspace not in self._door.desks:
            raise SignInProblem("The file of people doesn't say which workspace you belong to. Please tell an admin.")
        else:
            response = RedirectResponse(return_path(pending.then), 303)
            await self._door.signed_in.begin(http, response, workspace, person.user, identity)
        self._door.signed_in.forget(response)
        return response

    async def _proved(self, http: Http, pending: PendingSignIn, identity: OidcIdentity) -> Response:
        """Note a fresh login for the answer that it was made for; the person then confirms it."""
        session = await self._door.signed_in.session(http)
        if session is None or (identity.issuer, identity.subject) != (
            session.identity.issuer,
            session.identity.subject,
        ):
            raise SignInProblem(
                "You signed in as somebody else than before. Nothing was decided; open the request and start again."
            )
        # The browser holds the next path and could change it, so only the token says what the person signed in for.
        await self._confirmations.note_login(session, pending.then.removeprefix("/confirm/"), identity, pending)
        return RedirectResponse(return_path(pending.then), 303)  # the cookie stays: it says whose login it was

    def _only_workspace(self) -> WorkspaceId | None:
        return next(iter(self._door.desks)) if len(self._door.desks) == 1 else None

    async def _sign_out(self, http: Http) -> Response:
        try:
            session = await self._door.signed_in.session(http)
            form = await read_form(http)
            token = first(form, "token")
            if session is None or not (is_ours(http, self._door.public_url) and session.fits(token, SIGN_OUT)):
                return RedirectResponse("/", 303)
            response = RedirectResponse("/sign-in?signed-out", 303)
            await self._door.signed_in.end(http, response)
            return response
        except CountersignError as wrong:
            return self._door.sentence(str(wrong), 400)
