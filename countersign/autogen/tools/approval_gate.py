"""The gate before all that agents do: it passes, is asked about, or is refused.

Tools, workbenches, code and MCP come here with a `Wanted` and leave with a `Permit` for exactly one action, or with a
`Denial` that the model reads. What the policy said, and which question was asked, is recorded before anybody is asked,
so a rebuilt run goes through the gate the same way (R12–R14, R19, R26).
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from countersign import usecases
from countersign.autogen.action_outcomes import CALL, Became, Outcome, outcome_of
from countersign.autogen.people import decision_texts
from countersign.autogen.people.human import Desk, Transcript
from countersign.autogen.tools.arguments import unspoken
from countersign.autogen.tools.duplicate_calls import Twins
from countersign.autogen.tools.permits import Denial, Permit, Wanted, shown
from countersign.autogen.tools.policies import Proposal, Tier, Verdict, judge
from countersign.domain.calls import Call
from countersign.domain.errors import CountersignError, NotFound, Refused
from countersign.domain.event_data import shortened, without_secrets
from countersign.domain.ids import AttemptId, Digest, RequestId, digest_of
from countersign.domain.questions import salted
from countersign.domain.requests import Kind, Question, Request, Status, Verb, request_id
from countersign.domain.runs import Run
from countersign.replay.entries import Entry, Judged, Numbered, whole
from countersign.replay.journal import RunJournal
from countersign.replay.store_outages import patiently
from countersign.usecases.ports import Lease, Store

T = TypeVar("T")
_OFFERS: Final = (Verb.APPROVE, Verb.EDIT, Verb.REJECT, Verb.RESPOND)


class Gate:
    """The gate of one run. `find` gives a request of the run; `give_up` is told what makes going on impossible."""

    def __init__(
        self,
        run: Run,
        lease: Lease,
        store: Store,
        journal: RunJournal,
        desk: Desk,
        find: Callable[[RequestId], Awaitable[Request]],
        give_up: Callable[[Exception], None],
    ) -> None:
        self.outcomes: Final = desk.outcomes
        self._run = run
        self._lease = lease
        self._store = store
        self._journal = journal
        self._desk = desk
        self._find = find
        self._give_up = give_up
        self._twins: dict[Digest, Twins] = {}
        self._refused: dict[tuple[str, str], str] = {}
        self._asked_before: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._numbers = 0
        questions = {key: Numbered.load(entry.value) for key, entry in journal.of_kind(Numbered.KIND).items()}
        for key, entry in journal.of_kind(Judged.KIND).items():
            if entry.value and (question := Judged.load(entry.value).question) is not None:
                questions[key] = question
        for key, question in questions.items():
            self._numbers = max(self._numbers, question.number + 1)
            self._asked_before[question.about][question.number] = key

    @property
    def transcript(self) -> Transcript:
        """The words of the run's team."""
        return self._desk.transcript

    def number(self) -> int:
        """The number of the run's next question, which no other has; to be recorded before it is asked."""
        self._numbers += 1
        return self._numbers - 1

    @asynccontextmanager
    async def judged(self, wanted: Wanted) -> AsyncIterator[Permit | Denial]:
        """The permit or denial. The action belongs into the block: the same one waits behind it, with its own card."""
        key = self._journal.key(Judged.KIND, wanted.agent, wanted.kind, wanted.tool, wanted.arguments, wanted.call)
        entry = await self._journal.again(key)
        judged = await self._verdict(wanted) if entry is None else Judged.load(entry.value)
        if entry is None and judged.tier is not Tier.ASK:
            judged = await self._note(key, judged)
        if judged.tier is Tier.PASS:
            self._journal.order.answered(key)
            yield Permit(wanted, key, wanted.arguments, judged=judged)
        elif judged.tier is Tier.REFUSE:
            yield await self._refusal(wanted, key, judged)
        elif judged.same is not None:
            before = await self._find(judged.same)
            yield self._denied(wanted, decision_texts.again(before), before)
        else:
            twins = self._twins.setdefault(wanted.same, Twins(self._asked_before[wanted.same], self._journal))
            since = len(twins.settled)
            async with twins.turn(None if judged.question is None else judged.question.number, key):
                yield await self._asked(wanted, key, judged, twins, since)

    async def passed(self, permit: Permit) -> None:
        """Put it on record, once, that nobody was asked about this; nothing if somebody was."""
        if permit.judged is not None:
            await self._tell(permit.wanted, permit.key, permit.judged)

    async def _refusal(self, wanted: Wanted, key: str, judged: Judged) -> Denial:
        """The denial; the refusal is put on record, once, and in its place in the run's order."""
        if not judged.recorded:
            await self._tell(wanted, key, judged)
            await self._placed(key, replace(judged, recorded=True))
        return self._refuse(wanted, judged.why)

    async def _placed(self, key: str, judged: Judged) -> None:
        with self._journal.activity.working():
            await self._journal.result(key, Entry("done", judged.dump()), replace=True)

    async def _tell(self, wanted: Wanted, key: str, judged: Judged) -> None:
        await self._stored(
            usecases.judged,
            self._lease,
            wanted.agent,
            wanted.tool,
            passed=judged.tier is Tier.PASS,
            arguments=shortened(without_secrets(wanted.arguments, wanted.hide)),
            digest=digest_of(self._run.salt, wanted.same),
            why=judged.why,
            clause=judged.clause,
            version=judged.policy,
            team_says=judged.says,
            once=AttemptId(digest_of(self._run.id, key)[:32]),
        )

    async def _verdict(self, wanted: Wanted) -> Judged:
        run = self._run
        arguments = json.loads(wanted.arguments)
        with self._journal.activity.working():
            proposal = Proposal(wanted.agent, wanted.tool, arguments, run.team, run.task, run.requester)
            say = partial(unspoken, arguments=json.loads(wanted.arguments), hide=wanted.hide)
            verdict = await judge(wanted.ask, proposal, wanted.tools, say)
            says = None if wanted.ask is None else verdict.tier
            ruling = await self._stored(usecases.judge, run, wanted.agent, _call(wanted), says)
        if ruling.clause and ruling.effect is not Tier.ASK:  # the card of a question names the rule by itself
            verdict = Verdict(ruling.effect, f"The workspace's policy, rule “{ruling.clause}”. {ruling.why}".strip())
        why = verdict.why if verdict.tier is ruling.effect else ""
        return Judged(ruling.effect, whole(why), says or "nothing", ruling.clause, ruling.version)

    async def _stored(self, verb: Callable[..., Awaitable[T]], *what: Any, **more: Any) -> T:
        try:
            with self._journal.activity.working():  # what is stored belongs to the run
                return await patiently(partial(verb, self._store, *what, **more))
        except CountersignError as error:
            self._give_up(error)
            raise

    async def _note(self, key: str, judged: Judged) -> Judged:
        with self._journal.activity.working():
            return Judged.load((await self._journal.record(key, Entry("done", judged.dump()))).value)

    async def _asked(self, wanted: Wanted, key: str, judged: Judged, twins: Twins, since: int) -> Permit | Denial:
        before, noted = twins.refused(since), judged.question
        if before is not None and not (noted and await self._was_asked(self._question(wanted, judged, noted))):
            await self._placed(key, replace(judged, question=None, same=before.id))
            return self._denied(wanted, decision_texts.again(before), before)
        if noted is None:
            noted = Numbered(self.number(), wanted.same)
            judged = await self._note(key, replace(judged, question=noted))
        question = self._question(wanted, judged, noted)
        try:
            request = await self._desk.put(question, team_says=judged.says)
        except Refused as refusal:  # by another policy than that of the verdict; it is on record
            refused = replace(judged, tier=Tier.REFUSE, why=str(refusal), question=None, recorded=True)
            await self._placed(key, refused)
            return self._refuse(wanted, refused.why)
        twins.settled.append(request)
        place = (wanted.agent, wanted.tool)
        if request.status not in (Status.APPROVED, Status.EDITED) or request.decision is None:
            self._refused[place] = question.content
            return self._denied(wanted, decision_texts.answer(request), request)
        self._refused.pop(place, None)
        if request.status is not Status.EDITED:
            return Permit(wanted, key, wanted.arguments, request)
        changed = replace(wanted, arguments=wanted.take(request.decision.arguments))
        denial = await self._refused_as_changed(changed, f"{key}/changed")
        return denial or Permit(wanted, key, changed.arguments, request)

    async def _refused_as_changed(self, changed: Wanted, key: str) -> Denial | None:
        """What a reviewer made of a call passes the gate too: nobody edits it past a policy (R19)."""
        entry = await self._journal.again(key)
        judged = await self._note(key, await self._verdict(changed)) if entry is None else Judged.load(entry.value)
        self._journal.order.answered(key)
        return await self._refusal(changed, key, judged) if judged.tier is Tier.REFUSE else None

    async def _was_asked(self, question: Question) -> bool:
        try:
            with self._journal.activity.working():
                await self._find(request_id(self._run.id, salted(question, self._run.salt)))
        except NotFound:
            return False
        return True

    def _refuse(self, wanted: Wanted, why: str) -> Denial:
        text, outcome = decision_texts.refused(wanted.tool, why), self._outcome(wanted, Became.REFUSED, None)
        self.outcomes.add(replace(outcome, reason=why), text)
        return Denial(text)

    def _denied(self, wanted: Wanted, text: str, request: Request) -> Denial:
        self.outcomes.add(self._outcome(wanted, None, request), text)
        return Denial(text)

    def done(self, permit: Permit, result: str, *, failed: bool = False) -> str:
        """Note that it was done; return what the model reads before the result of a changed call (R18)."""
        request, words = permit.request, ""
        if request is not None and request.status is Status.EDITED:
            words = f"{decision_texts.answer(request)}\nThe result of the changed call:"
        outcome = self._outcome(permit.wanted, Became.FAILED if failed else Became.DONE, request)
        self.outcomes.add(replace(outcome, result=result), words and f"{words}\n{result}")
        return words

    def _outcome(self, wanted: Wanted, became: Became | None, request: Request | None) -> Outcome:
        return outcome_of(wanted.kind, wanted.agent, request, became, (wanted.tool, wanted.call or CALL.get()[1]))

    def _question(self, wanted: Wanted, judged: Judged, noted: Numbered) -> Question:
        content, problem = shown(wanted.arguments, wanted.hide, wanted.show)
        return Question(
            wanted.agent,
            noted.number,
            wanted.kind,
            "run code" if wanted.kind is Kind.CODE else f"call {wanted.tool}",
            content,
            _OFFERS if wanted.schema else tuple(verb for verb in _OFFERS if verb is not Verb.EDIT),
            _call(wanted),
            notes=tuple(note for note in (*wanted.notes, judged.why, problem) if note),
            before=self._refused.get((wanted.agent, wanted.tool), ""),
        )


def _call(wanted: Wanted) -> Call:
    return Call(wanted.tool, wanted.arguments, wanted.schema, wanted.hide)
