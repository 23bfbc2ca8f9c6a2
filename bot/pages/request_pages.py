"""The inbox, the page of a request, and the page of several requests of one run.

No GET decides anything: links are opened by scanners and previews too. A form decides only if its token was made for
this session, this request and the content that its page showed; then the same use case judges it that judges a click.
"""

import logging
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Final

from starlette.requests import Request as Http
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from countersign import usecases
from countersign.domain import eligibility, high_risk
from countersign.domain.attempt_refusals import Refusal, Sentence
from countersign.domain.errors import CountersignError, InvalidInput, NotFound, StoreUnavailable
from countersign.domain.ids import RequestId, RunId, WorkspaceId
from countersign.domain.requests import Request, Status, Verb
from countersign.domain.runs import Run
from countersign.usecases.overview import card_link
from countersign.usecases.ports import SeenRequest

from ..slack.people.actors import actor_of, voters_of
from ..slack.views import confirmation_text
from ..slack.views.approval_card import on_page
from ..slack.views.edit_modal import WrongFields
from .answer_forms import APPROVE, SentForm, attempt_of, forms_of
from .block_html import names_in, nodes, sentence_parts
from .desk import PageReader, reader_of
from .door import STORE_AWAY, Door, Visit
from .inbox import MOST_SHOWN, read_inbox
from .revisions import PollPace, Revision
from .window_forms import Entered

_MAY_NOT_SEE: Final = (
    "This request is for others. Its reviewers, the person who started the run, and the members of its channels can "
    "see it; if you should, ask in its channel."
)
_READ_ONLY: Final = "You can read this request, but not decide on it."
_log = logging.getLogger(__name__)


class RequestPages:
    """Pages of people who are signed in: what waits, and their answers."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.revisions: dict[WorkspaceId, Revision] = {}
        self._pace = PollPace()

    @property
    def routes(self) -> list[Route]:
        """Return the routes of these pages."""
        told, deciding = self._door.told, self._door.deciding
        return [
            Route("/", told(self._inbox)),
            Route("/inbox", told(self._inbox_part)),
            Route("/revision", self._revision),
            Route("/requests/{id}", told(self._request)),
            Route("/requests/{id}", deciding(self._decide), methods=["POST"]),
            Route("/runs/{id}", told(self._batch)),
            Route("/runs/{id}", deciding(self._decide_batch), methods=["POST"]),
        ]

    async def _inbox(self, visit: Visit) -> Response:
        return await self._inbox_page(visit, "inbox.html")

    async def _inbox_part(self, visit: Visit) -> Response:
        return await self._inbox_page(visit, "inbox_lists.html")

    async def _inbox_page(self, visit: Visit, template: str) -> Response:
        shown = RequestId.among([name.encode() for name in visit.http.query_params.get("shown", "").split(",")])
        revision = await self.revisions[visit.desk.workspace].now()
        reader = await reader_of(visit.desk, visit.session.user)
        inbox = await read_inbox(visit.desk, reader, shown[:MOST_SHOWN])
        return self._door.page(template, 200, visit, inbox=inbox, names=inbox.names, revision=revision)

    async def _revision(self, http: Http) -> Response:
        """Tell an open page whether anything has changed, and when to ask again."""
        try:
            session = await self._door.signed_in.session(http)
            if session is None or session.workspace not in self._door.desks:
                return PlainTextResponse("signed out", 401)
            revision = await self.revisions[session.workspace].now()
        except StoreUnavailable:
            return PlainTextResponse("", 503, {"Retry-After": "10"})
        return PlainTextResponse(revision, headers={"Retry-After": str(self._pace.asked())})

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
        return self._door.page(
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
            revision=await self.revisions[desk.workspace].now(),
        )

    async def _decide(self, visit: Visit, form: Entered) -> Response:
        desk, session = visit.desk, visit.session
        sent, name = SentForm.read(form), RequestId.named(visit.http.path_params["id"])
        shown, token = ("".join(form.get(key, ())[:1]) for key in ("digest", "token"))
        if sent is None or name is None or not session.fits(token, f"{name} {shown}"):
            await self._door.refuse(session, desk, visit.http, Refusal.FORM_NOT_YOURS, form)
        assert sent is not None and name is not None
        seen = await desk.store.request(name)
        if seen is None:
            await self._door.refuse(session, desk, visit.http, Refusal.UNKNOWN, form)
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
        return self._door.page(
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
            await self._door.refuse(session, desk, visit.http, Refusal.FORM_NOT_YOURS, form)
        assert sent is not None
        rows, counted, problems = RequestId.among([one.encode() for one in ids.split(" ")]), 0, list[CountersignError]()
        for row in rows:
            try:
                await self._decide_row(visit, sent, row)
                counted += 1
            except StoreUnavailable as away:
                _log.error("%s", away)
                problems.append(InvalidInput(STORE_AWAY))
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
