"""The inbox, the page of a request, and the page of several requests of one run.

No GET decides anything: links are opened by scanners and previews too. A form decides only if its token was made for
this session, this request and the content that its page showed; then the same use case judges it that judges a click.
"""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from starlette.requests import Request as Http
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from countersign import usecases
from countersign.domain import eligibility, high_risk
from countersign.domain.attempt_refusals import Refusal, Sentence
from countersign.domain.decision_attempts import Attempt
from countersign.domain.errors import CountersignError, InvalidInput, NotFound, StoreUnavailable
from countersign.domain.ids import RequestId, RunId, WorkspaceId
from countersign.domain.proof import Proof, Proved, strictest
from countersign.domain.requests import Request, Status, Verb, needed_proof
from countersign.domain.runs import Run
from countersign.usecases.overview import card_link
from countersign.usecases.ports import SeenRequest
from countersign.usecases.proofs import Shown

from ..slack.people.actors import actor_of, voters_of
from ..slack.views import confirmation_text
from ..slack.views.approval_card import on_page
from ..slack.views.edit_modal import WrongFields
from .answer_forms import APPROVE, SentForm, attempt_of, forms_of
from .block_html import names_in, nodes, sentence_parts
from .confirmations import Confirmation, Confirmations, ToConfirm
from .desk import PageReader, reader_of
from .door import STORE_AWAY, Door, Visit
from .inbox import MOST_AT_ONCE, MOST_SHOWN, MOST_WAITING, read_inbox
from .revisions import PollPace, Revision
from .window_forms import Entered, FormInput, first

_MAY_NOT_SEE: Final = (
    "This request is for others. Its reviewers, the person who started the run, and the members of its channels can "
    "see it; if you should, ask in its channel."
)
SIGNED_IN: Final = Proved(Proof.OIDC)
"""Proof by a session: a login of today, which suffices where a click in Slack would."""
_READ_ONLY: Final = "You can read this request, but not decide on it."
_log = logging.getLogger(__name__)


class RequestPages:
    """Pages of signed-in people: pending requests, and their answers."""

    def __init__(self, door: Door, confirmations: Confirmations) -> None:
        self._door = door
        self._confirmations = confirmations
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
        most = MOST_AT_ONCE if "more" in visit.http.query_params else MOST_WAITING
        inbox = await read_inbox(visit.desk, reader, shown[:MOST_SHOWN], most)
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
        name = RequestId.named(visit.http.path_params["id"])
        seen, run, reader = await self._seen(visit, name)
        return await self._request_page(visit, seen, run, reader)

    async def _seen(self, visit: Visit, name: RequestId | None) -> tuple[SeenRequest, Run, PageReader]:
        """Read the request of a page for somebody who may see it."""
        desk = visit.desk
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
            slack_is_away=reader.slack_is_away if forms else "",
            names=names,
            token=visit.session.token(_subject(request)),
            once=secrets.token_urlsafe(12),
            waits=request.status is Status.PENDING,
            revision=await self.revisions[desk.workspace].now(),
        )

    async def _decide(self, visit: Visit, form: Entered) -> Response:
        desk, session = visit.desk, visit.session
        sent, name = SentForm.read(form), RequestId.named(visit.http.path_params["id"])
        shown, token = (first(form, key) for key in ("digest", "token"))
        if sent is None or name is None or not session.fits(token, f"{name} {shown}"):
            await self._door.refuse(session, desk, visit.http, Refusal.FORM_NOT_YOURS, form)
        seen = await desk.store.request(name)
        if seen is None:
            await self._door.refuse(session, desk, visit.http, Refusal.UNKNOWN, form)
        needs = needed_proof(seen.value, sent.verb)
        try:
            if needs is not Proof.SLACK:
                attempt = await self._attempt(visit, seen, sent, shown)
                digests = [Shown(name, attempt.digest)]
                made = await self._confirmations.of_answers(
                    desk, session, digests, attempt, needs, form, f"/requests/{name}"
                )
                return RedirectResponse(made.path, 303)
            await self._count(visit, seen, sent, shown, SIGNED_IN)
        except StoreUnavailable:
            raise
        except (WrongFields, CountersignError) as refused:
            return await self._refused_page(visit, name, sent, refused)
        return RedirectResponse(f"/requests/{name}", 303)

    async def _attempt(self, visit: Visit, seen: SeenRequest, sent: SentForm, shown: str, row: str = "") -> Attempt:
        desk = visit.desk
        actor = await actor_of(desk.store, desk.directory, visit.session.user, seen.value.rules.reviewers)
        return attempt_of(sent, seen.value, actor, visit.session, shown, row=row)

    async def _count(
        self, visit: Visit, seen: SeenRequest, sent: SentForm, shown: str, proved: Proved, row: str = ""
    ) -> Request:
        """Submit the attempt of a form to the use case that judges clicks."""
        desk = visit.desk
        attempt = replace(await self._attempt(visit, seen, sent, shown, row), proved=proved)
        voters = partial(voters_of, desk.directory)
        return await usecases.decide(desk.store, desk.queue, seen.value.id, attempt, seen, voters)

    # Answers that were confirmed with a proof

    async def show_confirmed(self, visit: Visit, found: Confirmation) -> ToConfirm:
        """Return all of an answer that waits for its proof (R13).

        That is the content of each request, and the input. Refused if a content has changed since its page showed it,
        because the answer would not count either.
        """
        sent = SentForm.read(found.form)
        known = await visit.desk.store.readable(RequestId.among([name.encode() for name, _ in found.about]))
        rows = [row for row in known.values() if row is not None]
        if sent is None or len(rows) < len(found.about):
            raise NotFound(Refusal.UNKNOWN.value)
        if any(row.digest != shown for row, (_, shown) in zip(rows, found.about, strict=True)):
            raise InvalidInput(Refusal.OTHER_CONTENT.value)
        runs = await visit.desk.store.readable_runs(list(dict.fromkeys(row.run for row in rows)))
        articles = [
            nodes(on_page(row, run=run, run_link=None)) for row in rows if (run := runs.get(row.run)) is not None
        ]
        if len(articles) < len(rows):
            raise NotFound(Refusal.UNKNOWN.value)
        reader = await reader_of(visit.desk, visit.session.user)
        form = next((one for one in forms_of(rows[0], reader, sent) if one.name == sent.name), None)
        if form is None:
            return ToConfirm(sent.name.capitalize(), articles)
        label = form.label if len(rows) == 1 else f"{form.label} {len(rows)}"
        entered = [(field.label, _entered(field)) for field in form.fields]
        return ToConfirm(label, articles, [(name, text) for name, text in entered if text])

    async def decide_confirmed(self, visit: Visit, found: Confirmation, proved: Proved) -> Response:
        """Submit an answer with its proof."""
        sent = SentForm.read(found.form)
        assert sent is not None, "it was read before it was kept"
        if found.kind == "answers":
            return await self._decide_rows(
                visit, found.back, sent, [row for row, _ in found.about], proved, found.nonce
            )
        ((row, shown),) = found.about
        name = RequestId(row)
        seen = await visit.desk.store.request(name)
        if seen is None:
            raise NotFound(Refusal.UNKNOWN.value)
        try:
            await self._count(visit, seen, sent, shown, proved, found.nonce)
        except StoreUnavailable:
            raise
        except (WrongFields, CountersignError) as refused:
            return await self._refused_page(visit, name, sent, refused)
        return RedirectResponse(found.back, 303)

    async def _refused_page(self, visit: Visit, name: RequestId, sent: SentForm, refused: Exception) -> Response:
        """Show the current request, the reason for the refusal, and the input."""
        seen, run, reader = await self._seen(visit, name)
        if isinstance(refused, WrongFields):
            said: Sentence = (str(refused),)
            return await self._request_page(
                visit, seen, run, reader, 422, said=said, sent=sent, problems=refused.fields
            )
        assert isinstance(refused, CountersignError)
        return await self._request_page(visit, seen, run, reader, 409, said=refused.sentence, sent=sent)

    # Several requests of one run

    async def _batch(self, visit: Visit) -> Response:
        return await self._batch_page(visit, RunId.named(visit.http.path_params["id"]))

    async def _batch_page(self, visit: Visit, name: RunId | None, status: int = 200, said: Sentence = ()) -> Response:
        desk = visit.desk
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
            run=run.value.id,
            rows=drawn,
            together=len(together),
            ids=ids,
            alert=alert,
            names=await names_in(desk.directory, [alert], *(blocks for _, blocks in drawn)),
            token=visit.session.token(f"{name} {ids}"),
            once=secrets.token_urlsafe(12),
        )

    async def _decide_batch(self, visit: Visit, form: Entered) -> Response:
        """Decide several rows; each id is made of the content that the page showed."""
        desk, session = visit.desk, visit.session
        sent, name = SentForm.read(form), RunId.named(visit.http.path_params["id"])
        ids, token = (first(form, key) for key in ("rows", "token"))
        if sent is None or sent.name not in (APPROVE, "reject") or not session.fits(token, f"{name} {ids}"):
            await self._door.refuse(session, desk, visit.http, Refusal.FORM_NOT_YOURS, form)
        rows = [row for row in (await desk.store.readable(_ids(ids))).values() if row is not None]
        if not rows:
            raise NotFound(Refusal.UNKNOWN.value)
        needs = strictest(*(needed_proof(row, sent.verb) for row in rows))
        if needs is Proof.SLACK:
            return await self._decide_rows(visit, f"/runs/{name}", sent, ids.split(" "), SIGNED_IN)
        seen = await desk.store.request(rows[0].id)
        if seen is None:
            raise NotFound(Refusal.UNKNOWN.value)
        attempt = await self._attempt(visit, seen, sent, rows[0].digest)
        shown = [Shown(row.id, row.digest) for row in rows]
        try:
            made = await self._confirmations.of_answers(desk, session, shown, attempt, needs, form, f"/runs/{name}")
        except StoreUnavailable:
            raise
        except CountersignError as refused:
            return await self._batch_page(visit, name, 409, refused.sentence)
        return RedirectResponse(made.path, 303)

    async def _decide_rows(
        self, visit: Visit, back: str, sent: SentForm, ids: Sequence[str], proved: Proved, nonce: str = ""
    ) -> Response:
        """Decide each row separately, and list the refused rows."""
        rows, counted, problems = _ids(" ".join(ids)), 0, list[CountersignError]()
        for row in rows:
            try:
                seen = await visit.desk.store.request(row)
                if seen is None:
                    raise NotFound(Refusal.UNKNOWN.value)
                await self._count(visit, seen, sent, seen.value.digest, proved, row + nonce)
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
        return await self._batch_page(visit, RunId.named(back.removeprefix("/runs/")), 409, said)


def _ids(text: str) -> list[RequestId]:
    return RequestId.among([one.encode() for one in text.split(" ")])


def _entered(field: FormInput) -> str:
    """Write the text of an input, for its person to confirm."""
    if field.options:
        return ", ".join(option.text for option in field.options if option.chosen)
    return field.value


def _subject(request: Request) -> str:
    """Name the subject of a request's forms: the request and its content."""
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
