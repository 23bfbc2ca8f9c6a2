"""The gate before all that agents do: it passes, is asked about, or is refused.

Tools, workbenches, code and MCP come here with an `Action` and leave with a `Permit` for exactly one action, or with a
`Denial` that the model reads. What the policy said, and which question was asked, is recorded before anybody is asked,
so a rebuilt run goes through the gate the same way (R12–R14, R19, R26).
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from countersign import usecases
from countersign.autogen.people.action_outcomes import CALL, Became, Outcome, outcome_of
from countersign.autogen.people.human_input import RunQuestions
from countersign.autogen.people.transcript import Transcript
from countersign.autogen.tools.arguments import unspoken
from countersign.autogen.tools.duplicate_calls import EqualActions
from countersign.autogen.tools.permits import Action, Denial, Permit, shown, titled
from countersign.autogen.tools.team_policy import Proposal, Tier, Verdict, judge
from countersign.domain import texts_for_models
from countersign.domain.calls import Call
from countersign.domain.errors import CountersignError, NotFound, Refused
from countersign.domain.events import shortened, without_secrets
from countersign.domain.ids import AttemptId, Digest, RequestId, digest_of
from countersign.domain.made_files import LeftOut, MadeFile
from countersign.domain.question_salts import salted
from countersign.domain.requests import Kind, Question, Request, Status, Verb, request_id
from countersign.domain.runs import Run
from countersign.replay.entries import Entry, Judged, Numbered, whole
from countersign.replay.run_journal import RunJournal
from countersign.usecases.ports import Lease, Store
from countersign.usecases.store_outages import patiently

T = TypeVar("T")
_OFFERS: Final = (Verb.APPROVE, Verb.EDIT, Verb.REJECT, Verb.RESPOND)


class Gate:
    """The gate of one run.

    `find` returns a request of the run; `give_up` is called with what makes going on impossible,
    `done` with the title of what was done.
    """

    def __init__(
        self,
        run: Run,
        lease: Lease,
        store: Store,
        journal: RunJournal,
        questions: RunQuestions,
        find: Callable[[RequestId], Awaitable[Request]],
        give_up: Callable[[Exception], None],
        done: Callable[[str], None],
    ) -> None:
        self.outcomes: Final = questions.outcomes
        self._run = run
        self._lease = lease
        self._store = store
        self._journal = journal
        self._questions = questions
        self._find = find
        self._give_up = give_up
        self._tick = done
        self._equal: dict[Digest, EqualActions] = {}
        self._refused: dict[tuple[str, str], tuple[str, str]] = {}
        self._asked_before: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._numbers = 0
        asked = {key: Numbered.load(entry.value) for key, entry in journal.of_kind(Numbered.KIND).items()}
        for key, entry in journal.of_kind(Judged.KIND).items():
            if entry.value and (question := Judged.load(entry.value).question) is not None:
                asked[key] = question
        for key, question in asked.items():
            self._numbers = max(self._numbers, question.number + 1)
            self._asked_before[question.about][question.number] = key

    @property
    def transcript(self) -> Transcript:
        """The words of the run's team."""
        return self._questions.transcript

    def number(self) -> int:
        """Return the number of the run's next question; to be recorded before it is asked."""
        self._numbers += 1
        return self._numbers - 1

    @asynccontextmanager
    async def judged(self, action: Action) -> AsyncIterator[Permit | Denial]:
        """Enclose an action with its permit or denial; equal actions wait for its end.

        Its number is taken as it comes: the calls of one turn come in order, and verdicts in any.
        """
        number = self.number()
        key = self._journal.key(Judged.KIND, action.agent, action.kind, action.tool, action.arguments, action.call)
        entry = await self._journal.again(key)
        judged = await self._verdict(action) if entry is None else Judged.load(entry.value)
        if entry is None and judged.tier is not Tier.ASK:
            judged = await self._note(key, judged)
        if judged.tier is Tier.PASS:
            self._journal.order.answered(key)
            yield Permit(action, key, action.arguments, judged=judged)
        elif judged.tier is Tier.REFUSE:
            yield await self._refusal(action, key, judged)
        elif judged.same is not None:
            before = await self._find(judged.same)
            yield self._denied(action, texts_for_models.again(before), before)
        else:
            equal = self._equal.setdefault(action.same, EqualActions(self._asked_before[action.same], self._journal))
            since = len(equal.settled)
            async with equal.turn(None if judged.question is None else judged.question.number, key):
                yield await self._asked(action, key, judged, equal, since, number)

    async def passed(self, permit: Permit) -> None:
        """Record, once, that nobody was asked about this action; nothing if somebody was."""
        if permit.judged is not None:
            await self._tell(permit.action, permit.key, permit.judged)

    async def attach(self, files: Sequence[MadeFile], left: Sequence[LeftOut]) -> None:
        """Attach files to the run's thread, which says what is left out."""
        if files or left:
            await patiently(lambda: self._store.made.keep(self._run.id, files, left))

    async def _refusal(self, action: Action, key: str, judged: Judged) -> Denial:
        """Record the refusal, once, in its place in the run's order; return the denial."""
        if not judged.recorded:
            await self._tell(action, key, judged)
            await self._placed(key, replace(judged, recorded=True))
        return self._refuse(action, judged.why)

    async def _placed(self, key: str, judged: Judged) -> None:
        with self._journal.activity.working():
            await self._journal.result(key, Entry("done", judged.dump()), replace=True)

    async def _tell(self, action: Action, key: str, judged: Judged) -> None:
        await self._stored(
            usecases.judged,
            self._lease,
            action.agent,
            action.tool,
            passed=judged.tier is Tier.PASS,
            arguments=shortened(without_secrets(action.arguments, action.hide)),
            digest=digest_of(self._run.salt, action.same),
            why=judged.why,
            clause=judged.clause,
            version=judged.policy,
            team_says=judged.says,
            once=AttemptId(digest_of(self._run.id, key)[:32]),
        )

    async def _verdict(self, action: Action) -> Judged:
        run = self._run
        arguments = json.loads(action.arguments)
        with self._journal.activity.working():
            proposal = Proposal(action.agent, action.tool, arguments, run.team, run.task, run.requester)
            say = partial(unspoken, arguments=json.loads(action.arguments), hide=action.hide)
            verdict = await judge(action.ask, proposal, action.tools, say)
            says = None if action.ask is None else verdict.tier
            ruling = await self._stored(usecases.judge, run, action.agent, _call(action), says)
        if ruling.clause and ruling.effect is not Tier.ASK:  # the card of a question names the rule by itself
            verdict = Verdict(ruling.effect, f"The workspace's policy, rule “{ruling.clause}”. {ruling.why}".strip())
        why = verdict.why if verdict.tier is ruling.effect else ""
        return Judged(ruling.effect, whole(why), says or "nothing", ruling.clause, ruling.version)

    async def _stored(self, verb: Callable[..., Awaitable[T]], *arguments: Any, **more: Any) -> T:
        try:
            with self._journal.activity.working():  # what is stored belongs to the run
                return await patiently(partial(verb, self._store, *arguments, **more))
        except CountersignError as error:
            self._give_up(error)
            raise

    async def _note(self, key: str, judged: Judged) -> Judged:
        with self._journal.activity.working():
            return Judged.load((await self._journal.record(key, Entry("done", judged.dump()))).value)

    async def _asked(
        self, action: Action, key: str, judged: Judged, equal: EqualActions, since: int, number: int
    ) -> Permit | Denial:
        before, noted = equal.refused(since), judged.question
        if before is not None and not (noted and await self._was_asked(self._question(action, judged, noted))):
            await self._placed(key, replace(judged, question=None, same=before.id))
            return self._denied(action, texts_for_models.again(before), before)
        if noted is None:
            noted = Numbered(number if number > equal.last else self.number(), action.same)
            judged = await self._note(key, replace(judged, question=noted))
        equal.last = noted.number
        question = self._question(action, judged, noted)
        try:
            request = await self._questions.put(question, team_says=judged.says)
        except Refused as refusal:  # by another policy than that of the verdict; it is on record
            refused = replace(judged, tier=Tier.REFUSE, why=str(refusal), question=None, recorded=True)
            await self._placed(key, refused)
            return self._refuse(action, refused.why)
        equal.settled.append(request)
        place = (action.agent, action.tool)
        if request.status not in (Status.APPROVED, Status.EDITED) or request.decision is None:
            self._refused[place] = question.content, request.decision.words if request.decision else ""
            return self._denied(action, texts_for_models.answer(request), request)
        self._refused.pop(place, None)
        if request.status is not Status.EDITED:
            return Permit(action, key, action.arguments, request)
        changed = replace(action, arguments=action.take(request.decision.arguments))
        denial = await self._refused_as_changed(changed, f"{key}/changed")
        return denial or Permit(action, key, changed.arguments, request)

    async def _refused_as_changed(self, changed: Action, key: str) -> Denial | None:
        """Judge the call as a reviewer changed it: nobody edits it past a policy (R19)."""
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

    def _refuse(self, action: Action, why: str) -> Denial:
        text, outcome = texts_for_models.refused(action.tool, why), self._outcome(action, Became.REFUSED, None)
        self.outcomes.add(replace(outcome, reason=why), text)
        return Denial(text)

    def _denied(self, action: Action, text: str, request: Request) -> Denial:
        self.outcomes.add(self._outcome(action, None, request), text)
        return Denial(text)

    def done(self, permit: Permit, result: str, *, failed: bool = False) -> str:
        """Note that it was done; return what the model reads before the result.

        That is text only where a reviewer changed the call (R18).
        """
        request, words = permit.request, ""
        if request is not None and request.status is Status.EDITED:
            words = f"{texts_for_models.answer(request)}\nThe result of the changed call:"
        if request is not None:  # what a call returned is for the agents; why it failed, for people too
            self._questions.report(request, self._why(result, permit.action.kind) if failed else "", failed=failed)
        action = permit.action
        if failed and action.kind is Kind.CODE:  # the next program is most likely this one, corrected
            self._refused[action.agent, action.tool] = shown(permit.arguments, action.hide, action.show)[0], ""
        if not failed:
            self._tick(titled(action))
        outcome = self._outcome(action, Became.FAILED if failed else Became.DONE, request)
        self.outcomes.add(replace(outcome, result=result), words and f"{words}\n{result}")
        return words

    @staticmethod
    def _why(result: str, kind: Kind) -> str:
        """Tell why it failed: of code the last line of its output, which names the error."""
        return result.rstrip().rpartition("\n")[2] if kind is Kind.CODE else result

    def _outcome(self, action: Action, became: Became | None, request: Request | None) -> Outcome:
        return outcome_of(action.kind, action.agent, request, became, (action.tool, action.call or CALL.get()[1]))

    def _question(self, action: Action, judged: Judged, noted: Numbered) -> Question:
        before, reply = self._refused.get((action.agent, action.tool), ("", ""))
        content, problem = shown(action.arguments, action.hide, action.show)
        return Question(
            action.agent,
            noted.number,
            action.kind,
            titled(action),
            content,
            _OFFERS if action.schema else tuple(verb for verb in _OFFERS if verb is not Verb.EDIT),
            _call(action),
            notes=tuple(note for note in (*action.notes, judged.why, problem) if note),
            before=before,
            reply=reply,
        )


def _call(action: Action) -> Call:
    return Call(action.tool, action.arguments, action.schema, action.hide)
