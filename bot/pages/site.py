"""The routes of the pages, and the answers to them.

No GET decides anything: links are opened by scanners and previews too. A form decides only if its token was made for
this session, this request and the content that its page showed; then the same use case judges it that judges a click.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request as Http
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from countersign import usecases
from countersign.domain import eligibility, high_risk
from countersign.domain.attempt_refusals import Refusal, Sentence
from countersign.domain.errors import CountersignError, InvalidInput, NotFound, StoreUnavailable
from countersign.domain.ids import AttemptId, RequestId, RunId, WorkspaceId, digest_of, short_name
from countersign.domain.requests import Request, Status, Verb
from countersign.domain.runs import Run
from countersign.store.sign_ins import SignIns
from countersign.store.store import Store
from countersign.usecases.overview import card_link
from countersign.usecases.ports import SeenRequest

from ..settings import WebSettings
from ..slack.people.actors import actor_of, voters_of
from ..slack.views import confirmation_text
from ..slack.views.approval_card import on_page
from ..slack.views.edit_modal import WrongFields
from .answer_forms import APPROVE, SentForm, attempt_of, forms_of
from .block_html import names_in, nodes, parts_of, sentence_parts
from .desk import Desk, PageReader, reader_of
from .http_guard import Guard, is_ours, read_form
from .inbox import MOST_SHOWN, read_inbox
from .people_file import PeopleFile
from .providers import SignIn, SignInProblem, read_providers
from .return_paths import return_path
from .revisions import PollPace, Revision
from .sessions import Session, SignedIn
from .window_forms import Entered

CALLBACK: Final = "/sign-in/callback"
_HERE: Final = Path(__file__).parent
_SIGN_OUT: Final = "sign-out"
_MAY_NOT_SEE: Final = (
    "This request is for others. Its reviewers, the person who started the run, and the members of its channels can "
    "see it; if you should, ask in its channel."
)
_READ_ONLY: Final = "You can read this request, but not decide on it."
_NOT_HERE: Final = "There is no such page. The inbox lists everything that waits."
_STORE_AWAY: Final = "Countersign can't reach its database right now. Nothing is lost; please try again in a moment."
_ENDED: Final = "Your session has ended. Nothing was decided; sign in, and open the request again."
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who is signed in."""

    http: Http
    session: Session
    desk: Desk


class Pages:
    """The pages of all workspaces that this process serves."""

    def __init__(self, public_url: str, sign_ins: Sequence[SignIn], people: PeopleFile, signed_in: SignedIn) -> None:
        self.public_url = public_url
        self._sign_ins = sign_ins
        self._people = people
        self._signed_in = signed_in
        self._desks: dict[WorkspaceId, Desk] = {}
        self._revisions: dict[WorkspaceId, Revision] = {}
        self._pace = PollPace()
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        static = {path.name: digest_of(path.read_bytes())[:12] for path in (_HERE / "static").iterdir()}
        self._templates.globals["static"] = lambda name: f"/static/{name}?v={static[name]}"
        self._static = frozenset(static)
        self._app = self._routed()

    @classmethod
    def of(cls, settings: WebSettings, store: Store) -> "Pages | None":
        """Make the pages of the settings; None if they have none.

        WrongSettings says what is wrong with their files."""
        if settings.public_url is None:
            return None
        assert settings.oidc_providers is not None and settings.oidc_people is not None
        providers = read_providers(settings.oidc_providers)
        back = settings.public_url + CALLBACK
        sign_ins = [SignIn(provider, number, back) for number, provider in enumerate(providers)]
        people = PeopleFile(settings.oidc_people, providers)
        signed_in = SignedIn(SignIns(store), people, secure=settings.public_url.startswith("https://"))
        return cls(settings.public_url, sign_ins, people, signed_in)

    @contextmanager
    def serving(self, desk: Desk) -> Iterator[None]:
        """Serve a workspace's pages until the block ends."""
        self._desks[desk.workspace] = desk
        self._revisions[desk.workspace] = Revision(desk.overview.revision)
        try:
            yield
        finally:
            del self._desks[desk.workspace], self._revisions[desk.workspace]

    async def link_of(self, request: RequestId) -> str:
        """Return the address of a request's page.

        It is there before Slack has taken the request's card."""
        return f"{self.public_url}/requests/{request}"

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._app(scope, receive, send)

    def _routed(self) -> ASGIApp:
        routes = [
            Route("/", self._told(self._inbox)),
            Route("/inbox", self._told(self._inbox_part)),
            Route("/revision", self._revision),
            Route("/requests/{id}", self._told(self._request)),
            Route("/requests/{id}", self._deciding(self._decide), methods=["POST"]),
            Route("/runs/{id}", self._told(self._batch)),
            Route("/runs/{id}", self._deciding(self._decide_batch), methods=["POST"]),
            Route("/sign-in", self._choose_provider),
            Route(CALLBACK, self._signed_in_at_provider),
            Route("/sign-in/{number:int}", self._go_to_provider),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Route("/static/{name}", self._file),
        ]
        app = Starlette(routes=routes, exception_handlers={404: self._missing, 405: self._missing})
        return Guard(app, self.public_url)

    # Who asks

    def _told(self, answer: Callable[[Visit], Awaitable[Response]]) -> Callable[[Http], Awaitable[Response]]:
        """Answer people who are signed in; others sign in first. An error is told in its sentence."""

        async def answered(http: Http) -> Response:
            try:
                session = await self._signed_in.session(http)
                desk = None if session is None else self._desks.get(session.workspace)
                if session is None:
                    return RedirectResponse(f"/sign-in?then={return_path(http.url.path)}", 303)
                if desk is None:
                    raise InvalidInput("Your workspace isn't served just now. Try again in a moment.")
                return await answer(Visit(http, session, desk))
            except StoreUnavailable as away:
                _log.error("%s", away)
                return self._sentence(_STORE_AWAY, 503)
            except NotFound as missing:
                return await self._told_error(http, missing.sentence, 404)
            except CountersignError as wrong:
                return await self._told_error(http, wrong.sentence, 400)

        return answered

    def _deciding(
        self, answer: Callable[[Visit, Entered], Awaitable[Response]]
    ) -> Callable[[Http], Awaitable[Response]]:
        """Read a form that decides, and check that a page of this session sent it."""

        async def checked(visit: Visit) -> Response:
            if not is_ours(visit.http, self.public_url):
                await self._refuse(visit.session, visit.desk, visit.http, Refusal.FORM_NOT_YOURS, {})
            return await answer(visit, await read_form(visit.http))

        told = self._told(checked)

        async def answered(http: Http) -> Response:
            try:
                before = await self._signed_in.stored(http)
                session = await self._signed_in.session(http)
            except StoreUnavailable as away:
                _log.error("%s", away)
                return self._sentence(_STORE_AWAY, 503)
            if session is not None:
                return await told(http)
            desk = None if before is None else self._desks.get(before.workspace)
            if before is not None and desk is not None:  # somebody was taken out of the file of people meanwhile
                try:
                    await self._refuse(before, desk, http, Refusal.SIGNED_OUT, {})
                except CountersignError as wrong:
                    return self._sentence(str(wrong), 401)
            return self._sentence(_ENDED, 401)

        return answered

    async def _refuse(self, session: Session, desk: Desk, http: Http, refusal: Refusal, form: Entered) -> None:
        """Record an attempt that no page of this session sent, and raise its sentence (R25)."""
        sent = SentForm.read(form)
        await usecases.attempt_refused(
            desk.store,
            AttemptId("w" + short_name(session.id, http.url.path, secrets.token_hex(8), length=20)),
            request=RequestId.named(http.path_params["id"]),
            workspace=session.workspace,
            user=session.user,
            verb=Verb.APPROVE if sent is None else sent.verb,
            words="",
            refusal=refusal,
        )
        raise InvalidInput(refusal.value)

    # Sign-in

    async def _choose_provider(self, http: Http) -> Response:
        then = return_path(http.query_params.get("then", ""))
        if len(self._sign_ins) == 1 and "signed-out" not in http.query_params:
            return RedirectResponse(f"/sign-in/0?then={then}", 303)
        return self._page("sign_in.html", 200, providers=[one.provider.name for one in self._sign_ins], then=then)

    async def _go_to_provider(self, http: Http) -> Response:
        number, then = http.path_params["number"], return_path(http.query_params.get("then", ""))
        if number >= len(self._sign_ins):
            return self._sentence(_NOT_HERE, 404)
        try:
            url, pending = await self._sign_ins[number].begin(then)
        except SignInProblem as problem:
            return self._sentence(str(problem), 502)
        response = RedirectResponse(url, 303)
        self._signed_in.keep(response, pending)
        return response

    async def _signed_in_at_provider(self, http: Http) -> Response:
        try:
            return await self._finished(http)
        except StoreUnavailable as away:
            _log.error("%s", away)
            response = self._sentence(_STORE_AWAY, 503)
        except CountersignError as problem:
            _log.warning("A sign-in was refused: %s", problem)
            response = self._sentence(str(problem), 403)
        self._signed_in.forget(response)
        return response

    async def _finished(self, http: Http) -> Response:
        pending = self._signed_in.pending(http)
        if pending is None or not 0 <= pending.provider < len(self._sign_ins):
            raise SignInProblem(
                "This browser started no sign-in in the last ten minutes. Nothing was changed; please sign in again."
            )
        identity = await self._sign_ins[pending.provider].finish(
            pending, http.query_params, await self._signed_in.now()
        )
        person = self._people.person(identity)
        workspace = None if person is None else person.workspace or self._only_workspace()
        if person is None:
            _log.warning("Nobody says which Slack user %s at %s is.", ascii(identity.subject), identity.issuer)
            response: Response = self._page("unknown_person.html", 403, identity=identity)
        elif workspace is None or workspace not in self._desks:
            raise SignInProblem("The file of people doesn't say which workspace you belong to. Please tell an admin.")
        else:
            response = RedirectResponse(return_path(pending.then), 303)
            await self._signed_in.begin(http, response, workspace, person.user, identity)
        self._signed_in.forget(response)
        return response

    def _only_workspace(self) -> WorkspaceId | None:
        return next(iter(self._desks)) if len(self._desks) == 1 else None

    async def _sign_out(self, http: Http) -> Response:
        try:
            session = await self._signed_in.session(http)
            form = await read_form(http)
            token = "".join(form.get("token", ())[:1])
            if session is None or not (is_ours(http, self.public_url) and session.fits(token, _SIGN_OUT)):
                return RedirectResponse("/", 303)
            response = RedirectResponse("/sign-in?signed-out", 303)
            await self._signed_in.end(http, response)
            return response
        except CountersignError as wrong:
            return self._sentence(str(wrong), 400)

    # Inbox

    async def _inbox(self, visit: Visit) -> Response:
        return await self._inbox_page(visit, "inbox.html")

    async def _inbox_part(self, visit: Visit) -> Response:
        return await self._inbox_page(visit, "inbox_lists.html")

    async def _inbox_page(self, visit: Visit, template: str) -> Response:
        shown = RequestId.among([name.encode() for name in visit.http.query_params.get("shown", "").split(",")])
        revision = await self._revisions[visit.desk.workspace].now()
        reader = await reader_of(visit.desk, visit.session.user)
        inbox = await read_inbox(visit.desk, reader, shown[:MOST_SHOWN])
        return self._page(template, 200, visit, inbox=inbox, names=inbox.names, revision=revision)

    async def _revision(self, http: Http) -> Response:
        """Tell an open page whether anything has changed, and when to ask again."""
        try:
            session = await self._signed_in.session(http)
            if session is None or session.workspace not in self._desks:
                return PlainTextResponse("signed out", 401)
            revision = await self._revisions[session.workspace].now()
        except StoreUnavailable:
            return PlainTextResponse("", 503, {"Retry-After": "10"})
        return PlainTextResponse(revision, headers={"Retry-After": str(self._pace.asked())})

    # One request

    async def _request(self, visit: Visit) -> Response:
        seen, run, reader = await self._seen(visit)
        return await self._request_page(visit, seen, run, reader)

    async def _seen(self, visit: Visit) -> tuple[SeenRequest, Run, PageReader]:
        """Read the request of a page for somebody who may see it."""
        name, desk = RequestId.named(visit.http.path_params["id"]), visit.desk
        seen = None if name is None else await desk.store.request(name)
        run = None if seen is None else await desk.store.run(seen.value.run)
        if seen is None or run is None:
            raise NotFound(Refusal.UNKNOWN.value)
        reader = await reader_of(desk, visit.session.user)
        if not reader.may_see(seen.value):
            raise InvalidInput(_MAY_NOT_SEE)
        return seen, run.value, reader

    async def _request_page(
        self,
        visit: Visit,
        seen: SeenRequest,
        run: Run,
        reader: PageReader,
        status: int = 200,
        *,
        said: Sentence = (),
        sent: SentForm | None = None,
        problems: Mapping[str, str] | None = None,
    ) -> Response:
        request, desk = seen.value, visit.desk
        absences = await desk.store.absences()
        here = (absences.value.of(desk.workspace, user, absences.now) for user in request.rules.reviewers.users)
        away = [one for one in here if one is not None] if request.decision is None else []
        blocks = nodes(on_page(request, run=run, run_link=None, away=away))
        forms = forms_of(request, reader, sent, problems)
        card = await card_link(desk.overview, desk.link, request.id)
        alert = sentence_parts(said)
        note = _READ_ONLY if not forms and request.status is Status.PENDING and not _voted(request, reader) else ""
        names = await names_in(desk.directory, blocks, [alert], *([form.notes for form in forms]))
        return self._page(
            "request.html",
            status,
            visit,
            blocks=blocks,
            forms=forms,
            request=request,
            card=card,
            alert=alert,
            note=note,
            names=names,
            token=visit.session.token(_subject(request)),
            once=secrets.token_urlsafe(12),
            waits=request.status is Status.PENDING,
            revision=await self._revisions[desk.workspace].now(),
        )

    async def _decide(self, visit: Visit, form: Entered) -> Response:
        desk, session = visit.desk, visit.session
        sent, name = SentForm.read(form), RequestId.named(visit.http.path_params["id"])
        shown, token = ("".join(form.get(key, ())[:1]) for key in ("digest", "token"))
        if sent is None or name is None or not session.fits(token, f"{name} {shown}"):
            await self._refuse(session, desk, visit.http, Refusal.FORM_NOT_YOURS, form)
        assert sent is not None and name is not None
        seen = await desk.store.request(name)
        if seen is None:
            await self._refuse(session, desk, visit.http, Refusal.UNKNOWN, form)
        assert seen is not None
        try:
            await self._attempt(visit, seen, sent, shown)
        except StoreUnavailable:
            raise
        except (WrongFields, CountersignError) as refused:
            return await self._refused_page(visit, sent, refused)
        return RedirectResponse(f"/requests/{name}", 303)

    async def _attempt(self, visit: Visit, seen: SeenRequest, sent: SentForm, shown: str) -> Request:
        """Make the attempt of a form, by the use case that judges a click."""
        desk = visit.desk
        actor = await actor_of(desk.store, desk.directory, visit.session.user, seen.value.rules.reviewers)
        attempt = attempt_of(sent, seen.value, actor, visit.session, shown)
        voters = partial(voters_of, desk.directory)
        return await usecases.decide(desk.store, desk.queue, seen.value.id, attempt, seen, voters)

    async def _refused_page(self, visit: Visit, sent: SentForm, refused: Exception) -> Response:
        """Show the request as it is now, with the reason, and with what was entered."""
        seen, run, reader = await self._seen(visit)
        if isinstance(refused, WrongFields):
            said: Sentence = (str(refused),)
            return await self._request_page(
                visit, seen, run, reader, 422, said=said, sent=sent, problems=refused.fields
            )
        assert isinstance(refused, CountersignError)
        return await self._request_page(visit, seen, run, reader, 409, said=refused.sentence, sent=sent)

    # Several requests of one run

    async def _batch(self, visit: Visit) -> Response:
        return await self._batch_page(visit)

    async def _batch_page(self, visit: Visit, status: int = 200, said: Sentence = ()) -> Response:
        desk, name = visit.desk, RunId.named(visit.http.path_params["id"])
        run = None if name is None else await desk.store.run(name)
        reader = await reader_of(desk, visit.session.user)
        found = {} if run is None else await desk.store.readable(list(run.value.open.values()))
        rows = [one for one in found.values() if one is not None and one.decision is None and reader.may_see(one)]
        if run is None or (not rows and not said):
            raise NotFound("Nothing of this run waits for you any more. The inbox lists everything that waits.")
        rows.sort(key=lambda one: (one.created_at, one.id))
        drawn = [(one, nodes(on_page(one, run=run.value, run_link=None))) for one in rows]
        together = [one for one in rows if _decided_together(one, reader)]
        alert = sentence_parts(said)
        ids = " ".join(one.id for one in together)
        return self._page(
            "batch.html",
            status,
            visit,
            rows=drawn,
            together=len(together),
            ids=ids,
            alert=alert,
            names=await names_in(desk.directory, [alert], *(blocks for _, blocks in drawn)),
            token=visit.session.token(f"{name} {ids}"),
            once=secrets.token_urlsafe(12),
        )

    async def _decide_batch(self, visit: Visit, form: Entered) -> Response:
        desk, session = visit.desk, visit.session
        sent, name = SentForm.read(form), RunId.named(visit.http.path_params["id"])
        ids, token = ("".join(form.get(key, ())[:1]) for key in ("rows", "token"))
        if sent is None or sent.name not in (APPROVE, "reject") or not session.fits(token, f"{name} {ids}"):
            await self._refuse(session, desk, visit.http, Refusal.FORM_NOT_YOURS, form)
        assert sent is not None
        rows, counted, problems = RequestId.among([one.encode() for one in ids.split(" ")]), 0, list[CountersignError]()
        for row in rows:
            try:
                await self._decide_row(visit, sent, row)
                counted += 1
            except StoreUnavailable as away:
                _log.error("%s", away)
                problems.append(InvalidInput(_STORE_AWAY))
                break
            except CountersignError as problem:
                problems.append(problem)
        if not problems:
            return RedirectResponse("/", 303)
        said = problems[0].sentence
        if counted:
            said = (confirmation_text.counted_for(counted, len(rows), ""), *said)
        return await self._batch_page(visit, 409, said)

    async def _decide_row(self, visit: Visit, sent: SentForm, row: RequestId) -> None:
        """Decide one row; its id is made of its content, so the content is the one that was shown."""
        desk = visit.desk
        seen = await desk.store.request(row)
        if seen is None:
            raise NotFound(Refusal.UNKNOWN.value)
        actor = await actor_of(desk.store, desk.directory, visit.session.user, seen.value.rules.reviewers)
        attempt = attempt_of(sent, seen.value, actor, visit.session, seen.value.digest, row=row)
        await usecases.decide(desk.store, desk.queue, row, attempt, seen, partial(voters_of, desk.directory))

    # Everything else

    async def _file(self, http: Http) -> Response:
        if (name := http.path_params["name"]) not in self._static:
            return self._sentence(_NOT_HERE, 404)
        return FileResponse(_HERE / "static" / name, headers={"Cache-Control": "public, max-age=31536000, immutable"})

    async def _missing(self, http: Http, error: Exception) -> Response:
        return self._sentence(_NOT_HERE, 404)

    async def _told_error(self, http: Http, sentence: Sentence, status: int) -> Response:
        session = await self._signed_in.session(http)
        parts, desk = sentence_parts(sentence), None if session is None else self._desks.get(session.workspace)
        names = {} if desk is None else await names_in(desk.directory, [parts])
        return self._page("message.html", status, parts=parts, names=names)

    def _sentence(self, text: str, status: int) -> Response:
        return self._page("message.html", status, parts=parts_of(text), names={})

    def _page(self, template: str, status: int, visit: Visit | None = None, **values: Any) -> Response:
        who = {} if visit is None else {"who": visit.session, "sign_out": visit.session.token(_SIGN_OUT)}
        text = self._templates.get_template(template).render(**{"who": None, **who}, **values)
        return HTMLResponse(text, status)


def _subject(request: Request) -> str:
    """Name what a request's forms are about: the request and its content."""
    return f"{request.id} {request.digest}"


def _voted(request: Request, reader: PageReader) -> bool:
    return any(vote.user == reader.actor.user for vote in request.votes)


def _decided_together(request: Request, reader: PageReader) -> bool:
    """Tell whether one click may decide this row among others, after all of it was shown."""
    return (
        Verb.APPROVE in request.question.offers
        and not high_risk.is_asked(request, Verb.APPROVE)
        and not _voted(request, reader)
        and eligibility.why_not_person(request, reader.actor, reader.now) is None
    )
