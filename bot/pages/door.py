"""Admit people to the pages, answer their requests, and render templates."""

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request as Http
from starlette.responses import HTMLResponse, RedirectResponse, Response

from countersign import usecases
from countersign.domain.attempt_refusals import Refusal, Sentence
from countersign.domain.errors import CountersignError, InvalidInput, NotFound, StoreUnavailable
from countersign.domain.ids import AttemptId, RequestId, UserId, WorkspaceId, digest_of, short_name
from countersign.domain.requests import Verb

from .answer_forms import SentForm
from .block_html import html_of, names_in, parts_of, sentence_parts
from .desk import Desk
from .http_guard import is_ours, read_form
from .return_paths import return_path
from .sessions import Session, SignedIn
from .window_forms import Entered

SIGN_OUT: Final = "sign-out"
NOT_HERE: Final = "There is no such page. The inbox lists everything that waits."
STORE_AWAY: Final = "Countersign can't reach its database right now. Nothing is lost; please try again in a moment."
_ENDED: Final = "Your session has ended. Nothing was decided; sign in, and open the request again."
HERE: Final = Path(__file__).parent
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who is signed in."""

    http: Http
    session: Session
    desk: Desk


@cache
def _static() -> dict[str, str]:
    """Return the digest of each static file by its name."""
    return {path.name: digest_of(path.read_bytes())[:12] for path in (HERE / "static").iterdir()}


@cache
def _templates() -> Environment:
    """Return the compiled templates; compiling one takes 20 ms."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["static"] = lambda name: f"/static/{name}?v={_static()[name]}"
    templates.globals["line"] = html_of
    return templates


class Door:
    """Door of all workspaces' pages.

    `desks` are the workspaces that this process serves now.
    """

    def __init__(self, public_url: str, signed_in: SignedIn) -> None:
        self.public_url = public_url
        self.signed_in = signed_in
        self.desks: dict[WorkspaceId, Desk] = {}
        self.static = frozenset(_static())

    def told(self, answer: Callable[[Visit], Awaitable[Response]]) -> Callable[[Http], Awaitable[Response]]:
        """Answer signed-in people; others must sign in first.

        An error is shown with its text.
        """

        async def answered(http: Http) -> Response:
            try:
                session = await self.signed_in.session(http)
                desk = None if session is None else self.desks.get(session.workspace)
                if session is None:
                    return RedirectResponse(f"/sign-in?then={return_path(http.url.path)}", 303)
                if desk is None:
                    raise InvalidInput("Your workspace isn't served just now. Try again in a moment.")
                if await self._ended_with_account(session, desk):
                    return self.sentence(Refusal.DEACTIVATED.value, 403)
                return await answer(Visit(http, session, desk))
            except StoreUnavailable as away:
                _log.error("%s", away)
                return self.sentence(STORE_AWAY, 503)
            except NotFound as missing:
                return await self._told_error(http, missing.sentence, 404)
            except CountersignError as wrong:
                return await self._told_error(http, wrong.sentence, 400)

        return answered

    async def _ended_with_account(self, session: Session, desk: Desk) -> bool:
        """End all sessions of a person who, as Slack says, has left the workspace."""
        actor = await desk.directory.actor(session.user)
        if not actor.checked or not (actor.is_deactivated or actor.is_stranger):
            return False
        await self.sign_out_everywhere(session, desk, session.user, "their account was deactivated", None)
        return True

    async def sign_out_everywhere(
        self, session: Session, desk: Desk, user: UserId, why: str, by: UserId | None
    ) -> None:
        """End all sessions of this person in the workspace of this session."""
        await self.signed_in.end_all(session.workspace, user)
        await usecases.sessions_ended(desk.store, session.workspace, user, why, by)

    def deciding(
        self, answer: Callable[[Visit, Entered], Awaitable[Response]]
    ) -> Callable[[Http], Awaitable[Response]]:
        """Read a form that decides, and check that a page of this session sent it."""

        async def checked(visit: Visit) -> Response:
            if not is_ours(visit.http, self.public_url):
                await self.refuse(visit.session, visit.desk, visit.http, Refusal.FORM_NOT_YOURS, {})
            return await answer(visit, await read_form(visit.http))

        told = self.told(checked)

        async def answered(http: Http) -> Response:
            try:
                before = await self.signed_in.stored(http)
                session = await self.signed_in.session(http)
            except StoreUnavailable as away:
                _log.error("%s", away)
                return self.sentence(STORE_AWAY, 503)
            if session is not None:
                return await told(http)
            desk = None if before is None else self.desks.get(before.workspace)
            if before is not None and desk is not None:  # the file of people may have changed since
                try:
                    await self.refuse(before, desk, http, Refusal.SIGNED_OUT, {})
                except CountersignError as wrong:
                    return self.sentence(str(wrong), 401)
            return self.sentence(_ENDED, 401)

        return answered

    async def refuse(self, session: Session, desk: Desk, http: Http, refusal: Refusal, form: Entered) -> NoReturn:
        """Record an attempt that no page of this session sent, and refuse it (R25)."""
        sent = SentForm.read(form)
        await usecases.attempt_refused(
            desk.store,
            AttemptId("w" + short_name(session.id, http.url.path, secrets.token_hex(8), length=20)),
            request=RequestId.named(http.path_params.get("id", "")),
            workspace=session.workspace,
            user=session.user,
            verb=Verb.APPROVE if sent is None else sent.verb,
            words="",
            refusal=refusal,
        )
        raise InvalidInput(refusal.value)

    async def _told_error(self, http: Http, sentence: Sentence, status: int) -> Response:
        session = await self.signed_in.session(http)
        parts, desk = sentence_parts(sentence), None if session is None else self.desks.get(session.workspace)
        names = {} if desk is None else await names_in(desk.directory, [parts])
        return self.page("message.html", status, parts=parts, names=names)

    def sentence(self, text: str, status: int) -> Response:
        return self.page("message.html", status, parts=parts_of(text), names={})

    def page(self, template: str, status: int, visit: Visit | None = None, **values: Any) -> Response:
        who = {} if visit is None else {"who": visit.session, "sign_out": visit.session.token(SIGN_OUT)}
        text = _templates().get_template(template).render(**{"who": None, "status": status, **who}, **values)
        return HTMLResponse(text, status)
