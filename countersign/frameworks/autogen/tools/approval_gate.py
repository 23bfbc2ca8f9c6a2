"""The gate before all that agents do: it passes, is asked about, or is refused.

Tools, workbenches, code and MCP come here with a `ProposedAction` and leave with a `Permit` for exactly one action, or
with a `Denial` that the model reads. What the policy said, and which question was asked, is recorded before anybody is
asked, so a rebuilt run goes through the gate the same way (R12–R14, R19, R26).
"""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from countersign.domain import texts_for_models
from countersign.domain.actions import Action
from countersign.domain.calls import Call
from countersign.domain.errors import NotFound, Refused
from countersign.domain.executions import digest_of_call
from countersign.domain.ids import AttemptId, digest_of
from countersign.domain.made_files import LeftOut, MadeFile
from countersign.domain.question_salts import salted
from countersign.domain.request_endings import decided_digest
from countersign.domain.requests import Kind, Question, Request, Status, Verb, request_id
from countersign.domain.run_calls import Attach, Deliver, Judge
from countersign.frameworks.autogen.held_run import HeldRun
from countersign.frameworks.autogen.people.run_outcomes import CALL, Outcome, OutcomeKind, outcome_of
from countersign.frameworks.autogen.people.run_questions import EarlierVersion, RunQuestions
from countersign.frameworks.autogen.progress import ComingSteps
from countersign.frameworks.autogen.tools.arguments import without_hidden
from countersign.frameworks.autogen.tools.duplicate_calls import EqualActions, NumberedActions
from countersign.frameworks.autogen.tools.permits import Denial, Permit, ProposedAction, shown, title_for
from countersign.frameworks.autogen.tools.team_policy import Proposal, judge
from countersign.frameworks.autogen.unknown_outcomes import DecidedAction
from countersign.runs.entries import Entry, Judged, Numbered, whole

_OFFERS: Final = (Verb.APPROVE, Verb.EDIT, Verb.REJECT, Verb.RESPOND)


@dataclass(frozen=True, slots=True)
class _Case:
    """An action at the gate: the key of the gate's record of it, and the next number of the run's questions."""

    action: ProposedAction
    key: str
    number: int


class Gate:
    """The gate of one run, to which its questions and the steps that it ticks belong."""

    def __init__(self, held: HeldRun, questions: RunQuestions, steps: ComingSteps) -> None:
        self.held: Final = held
        self.questions: Final = questions
        self.outcomes: Final = questions.outcomes
        self.numbered: Final = NumberedActions(held.journal)
        self._journal = held.journal
        self._steps = steps
        self._refused: dict[tuple[str, str], EarlierVersion] = {}
        """By agent and tool, what was not allowed last."""

    @asynccontextmanager
    async def judged(self, action: ProposedAction) -> AsyncIterator[Permit | Denial]:
        """Enclose an action with its permit or denial; equal actions wait for its end.

        Its number is taken as it comes: the calls of one turn come in order, and verdicts in any.
        """
        number = self.numbered.number()
        key = self._journal.key(Judged.KIND, action.agent, action.kind, action.tool, action.arguments, action.call)
        case = _Case(action, key, number)
        # What a recorded verdict needs is read first: nothing may be awaited between its turn and the agent.
        same = await self._recorded_refusal(key)
        entry = await self._journal.replayed(key)
        judged = await self._verdict(action, key) if entry is None else Judged.load(entry.value)
        if entry is None and judged.action is not Action.ASK:
            judged = await self._record(key, judged)
        if judged.action is Action.ALLOW:
            self._journal.order.end_wait(key)
            yield Permit(action, key, action.arguments)
        elif judged.action is Action.DENY:
            yield await self._refuse(case, judged)
        elif same is not None:
            yield self._deny_again(action, same)
        else:
            equal = self.numbered.equal_to(self._journal.place(action.same))
            async with equal.turn(None if judged.question is None else judged.question.number, key) as refusal:
                yield await self._ask(case, judged, equal, refusal)

    def deliver(self, permit: Permit) -> None:
        """Note that the agent has the approval, where no execution begins."""
        if permit.request is not None and permit.request.status is Status.APPROVED:
            self.held.call_behind(Deliver(permit.request.id))

    async def attach(self, files: Sequence[MadeFile], left: Sequence[LeftOut]) -> None:
        """Attach files to the run's thread, which says what is left out."""
        if files or left:
            await self.held.call(Attach.of(files, left))

    async def _recorded_refusal(self, key: str) -> Request | None:
        """Return the request whose refusal is recorded to hold for this action too."""
        entry = self._journal.lookup(key)
        judged = Judged.load(entry.value) if entry is not None and entry.value else None
        if judged is None or judged.same is None:
            return None
        with self._journal.activity.working():
            return await self.held.request(judged.same)

    async def _verdict(self, action: ProposedAction, key: str, *, edited: bool = False) -> Judged:
        """Have `web` judge the action, with what the team's own code says of it."""
        run = self.held.run
        arguments = json.loads(action.arguments)
        with self._journal.activity.working():
            proposal = Proposal(action.agent, action.tool, arguments, run.team, run.task, run.requester)
            say = partial(without_hidden, arguments=json.loads(action.arguments), hide=action.hide)
            verdict = await judge(action.ask, proposal, action.tools, say)
            says = None if action.ask is None else verdict.action
            once = AttemptId(digest_of(run.id, key)[:32])
            call = Judge(action.agent, _call(action), once, action.kind, says, whole(verdict.why), edited)
            ruling = await self.held.or_abort(self.held.call(call))
        return Judged(Action(ruling.then), ruling.why, says or "nothing", ruling.clause, ruling.version)

    async def _record(self, key: str, judged: Judged) -> Judged:
        with self._journal.activity.working():
            return Judged.load((await self._journal.record(key, Entry("done", judged.dump()))).value)

    async def _record_in_place(self, key: str, judged: Judged) -> None:
        """Record what came of the action, in its place in the run's order."""
        with self._journal.activity.working():
            await self._journal.record_result(key, Entry("done", judged.dump()), replace=True)

    async def _refuse(self, case: _Case, judged: Judged) -> Denial:
        """Record the refusal by a policy, once, in its place in the run's order; deny."""
        if not judged.recorded:
            await self._record_in_place(case.key, replace(judged, recorded=True))
        return self._deny_by_policy(case.action, judged.why)

    async def _ask(self, case: _Case, judged: Judged, equal: EqualActions, refusal: Request | None) -> Permit | Denial:
        """Ask people, unless the `refusal` of an equal action holds for this one too."""
        action, numbered = case.action, judged.question
        if refusal is not None and not (numbered and await self._was_asked(self._question(action, judged, numbered))):
            await self._record_in_place(case.key, replace(judged, question=None, same=refusal.id))
            return self._deny_again(action, refusal)
        if numbered is None:
            number = case.number if case.number > equal.last else self.numbered.number()
            numbered = Numbered(number, self._journal.place(action.same))
            judged = await self._record(case.key, replace(judged, question=numbered))
        equal.last = numbered.number
        question = self._question(action, judged, numbered)
        try:
            request = await self.questions.put(question, team_says=judged.says, begins=True)
        except Refused as by_policy:  # by another policy than that of the verdict; it is on record
            judged = replace(judged, action=Action.DENY, why=str(by_policy), question=None, recorded=True)
            await self._record_in_place(case.key, judged)
            return self._deny_by_policy(action, judged.why)
        equal.settled.append(request)
        place = self._journal.place(action.agent), action.tool
        if request.status not in (Status.APPROVED, Status.EDITED) or request.decision is None:
            words = request.decision.words if request.decision else ""
            self._refused[place] = EarlierVersion(question.content, words)
            return self._deny(action, texts_for_models.answer(request), request)
        self._refused.pop(place, None)
        if request.status is not Status.EDITED:
            return Permit(action, case.key, action.arguments, request)
        try:
            changed = replace(action, arguments=action.normalize(request.decision.arguments))
        except ValueError:
            self.questions.not_done(request, "The tool doesn't take these values as they were entered.")
            raise
        denial = await self._judge_changed(replace(case, action=changed, key=f"{case.key}/changed"), request)
        return denial or Permit(action, case.key, changed.arguments, request)

    async def _judge_changed(self, case: _Case, request: Request) -> Denial | None:
        """Judge the call as a reviewer changed it: nobody edits it past a policy (R19).

        Only this process knows the team's rule, so the card says after the click that nothing was done (R45).
        """
        entry = await self._journal.replayed(case.key)
        if entry is None:
            judged = await self._record(case.key, await self._verdict(case.action, case.key, edited=True))
        else:
            judged = Judged.load(entry.value)
        self._journal.order.end_wait(case.key)
        if judged.action is not Action.DENY:
            return None
        self.questions.not_done(request, judged.why or "The rules don't allow the changed call.")
        return await self._refuse(case, judged)

    async def _was_asked(self, question: Question) -> bool:
        try:
            with self._journal.activity.working():
                await self.held.request(request_id(self.held.run.id, salted(question, self.held.run.salt)))
        except NotFound:
            return False
        return True

    def _deny_by_policy(self, action: ProposedAction, why: str) -> Denial:
        text, outcome = texts_for_models.refused(action.tool, why), self._outcome(action, OutcomeKind.REFUSED, None)
        self.outcomes.add(replace(outcome, reason=why), text)
        return Denial(text)

    def _deny_again(self, action: ProposedAction, earlier: Request) -> Denial:
        return self._deny(action, texts_for_models.again(earlier), earlier)

    def _deny(self, action: ProposedAction, text: str, request: Request) -> Denial:
        self.outcomes.add(self._outcome(action, None, request), text)
        return Denial(text)

    def done(self, permit: Permit, result: str, *, failed: bool = False) -> str:
        """Note that it was done; return what the model reads before the result.

        That is text only where a reviewer changed the call (R18).
        """
        action, request, heading = permit.action, permit.request, ""
        if request is not None and request.status is Status.EDITED:
            heading = f"{texts_for_models.answer(request)}\nThe result of the changed call:"
        if failed and action.kind is Kind.CODE:  # the next program is most likely this one, corrected
            content = shown(replace(action, arguments=permit.arguments))[0]
            self._refused[self._journal.place(action.agent), action.tool] = EarlierVersion(content)
        if not failed:
            self._steps.done(title_for(action))
        outcome = self._outcome(action, OutcomeKind.FAILED if failed else OutcomeKind.DONE, request)
        self.outcomes.add(replace(outcome, result=result), heading and f"{heading}\n{result}")
        return heading

    def decided(self, permit: Permit, read: Callable[[str], tuple[str, bool]]) -> DecidedAction | None:
        """Return what people decided about the action, if they did.

        `read` reads a recorded result: its text, and whether the action failed. What a call returned is for the
        agents; why it failed, for people too.
        """
        if (request := permit.request) is None:
            return None

        def outcome(recorded: str) -> tuple[str, bool]:
            text, failed = read(recorded)
            return (_why(self.outcomes.for_people(text), permit.action.kind) if failed else "", failed)

        same = request.status is not Status.EDITED  # else the tool may have completed what the reviewer entered
        digest = digest_of_call(permit.action.tool, permit.arguments) if same else decided_digest(request)
        return DecidedAction(request, digest, outcome=outcome)

    def _outcome(self, action: ProposedAction, became: OutcomeKind | None, request: Request | None) -> Outcome:
        return outcome_of(action.kind, action.agent, request, became, (action.tool, action.call or CALL.get()[1]))

    def _question(self, action: ProposedAction, judged: Judged, numbered: Numbered) -> Question:
        earlier = self._refused.get((self._journal.place(action.agent), action.tool), EarlierVersion())
        content, problem = shown(action)
        return Question(
            action.agent,
            numbered.number,
            action.kind,
            title_for(action),
            content,
            _OFFERS if action.schema else tuple(verb for verb in _OFFERS if verb is not Verb.EDIT),
            _call(action),
            notes=tuple(note for note in (*action.notes, judged.why, problem) if note),
            before=earlier.content,
            reply=earlier.words,
            batch=action.batch,
        )


def _why(result: str, kind: Kind) -> str:
    """Tell why it failed: of code the last line of its output, which names the error."""
    return result.rstrip().rpartition("\n")[2] if kind is Kind.CODE else result


def _call(action: ProposedAction) -> Call:
    return Call(action.tool, action.arguments, action.schema, action.hide)
