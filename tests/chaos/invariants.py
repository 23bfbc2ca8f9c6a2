"""Compares the store, Slack, and what was done: every figure here must be zero, and each case names its evidence."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.slack.projector import card_grouping
from bot.slack.views import approval_card, block_kit, control_values, run_steps, thread_notes
from bot.slack.views.spoken_text import spoken
from countersign.domain import request_endings
from countersign.domain.events import Event, EventType
from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import How, Kind, Request, Status
from countersign.domain.runs import Run
from countersign.domain.runs import Status as RunStatus
from localslack.workspace import Message as SlackMessage
from tests.chaos import callback_receiver, programs
from tests.chaos.observations import Facts
from tests.chaos.plan import REVIEWERS

_REVIEWERS: Final = frozenset(f"U0{name.upper()}" for name in REVIEWERS)
_UNKNOWN: Final = "obody knows whether"
_JOURNAL_LOST: Final = "The journal of this run is lost"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that must not be, and where to look."""

    words: str
    run: str = ""
    request: str = ""


class Verdict:
    """`figures`: what must not be, with its cases, in the order of the table. `unknown`: doubts, which may be."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.decided: defaultdict[str, list[tuple[datetime, Event]]] = defaultdict(list)
        self.ended: defaultdict[str, list[Event]] = defaultdict(list)
        for at, event in facts.events:
            if event.type is EventType.REQUEST_DECIDED:
                self.decided[str(event.request)].append((at, event))
            elif event.type in (EventType.RUN_FINISHED, EventType.RUN_FAILED, EventType.RUN_STOPPED):
                self.ended[str(event.run)].append(event)
        self.doubts = _doubts(facts)
        self.calls = {
            (str(r.run), json.loads(r.question.call.arguments)["part"]): r
            for r in facts.requests.values()
            if r.question.call is not None and r.program is None
        }
        self.figures: dict[str, list[Case]] = {
            "lost or doubled runs": self._lost_runs(),
            "stuck runs": self._stuck(),
            "runs failed without a reason": self._failed(),
            "double decisions": self._double_decisions(),
            "decisions that should not count": self._wrong_decisions(),
            "agents that got another decision": self._wrongly_heard(),
            "programs asked twice, misled or left alone": [
                Case(*wrong)
                for wrong in programs.wrongs(facts.programs, facts.problems, facts.requests, facts.runs, facts.acts)
            ],
            "callbacks lost, forged or false": [
                Case(*wrong)
                for wrong in callback_receiver.wrongs(
                    facts.posts, [one for one in facts.requests.values() if one.callback], facts.queued
                )
            ],
            "double actions": self._double_actions(),
            "actions without approval": self._unapproved(),
            "done after its waiter had left": [
                Case("done", run, request) for run, request in self._done() if RequestId(request) in facts.unheard
            ],
            "approved without a card": self._unseen(),
            "approved actions missing": self._missing_actions(),
            "surviving duplicate messages": self._duplicates(),
            "messages that disagree with the store": self._wrong_messages(),
            "left in indexes": [Case(f"{m} in {name}") for name, left in facts.left.items() for m in left],
            "flaws of the record": [Case(flaw) for flaw in facts.flaws],
            "divergences where no code changed": [
                Case(r.question.content, r.run, r.id)
                for r in facts.requests.values()
                if r.question.kind is Kind.DIVERGED
            ],
        }

    @property
    def unknown(self) -> int:
        """Actions of which nobody knew whether they had happened, so that people were asked or the run ended."""
        told = [r for r in self.facts.runs.values() if r.status is RunStatus.FAILED and _UNKNOWN in r.result]
        return len({d.id for d in self.doubts}) or len(told)

    @property
    def without_journal(self) -> int:
        """Runs that ended because their worker lost their journal, after they had acted."""
        return sum(_JOURNAL_LOST in run.result for run in self.facts.runs.values())

    def _lost_runs(self) -> list[Case]:
        cases = [
            Case(f"{g.task.tag} was said to be started", g.run)
            for g in self.facts.given
            if g.run and RunId(g.run) not in self.facts.runs
        ]
        tags = Counter(run.task for run in self.facts.runs.values())
        return cases + [Case(f"{count} runs of “{task}”") for task, count in tags.items() if count > 1]

    def _stuck(self) -> list[Case]:
        return [Case(f"{r.team} is {r.status}, asks {r.open}", r.id) for r in self.facts.runs.values() if not r.over]

    def _failed(self) -> list[Case]:
        doubtful = {d.run for d in self.doubts}
        reasons = (_UNKNOWN, _JOURNAL_LOST) if self.facts.area_lost else (_UNKNOWN,)
        return [
            Case(f"{r.team}: {r.result[:300]}", r.id)
            for r in self.facts.runs.values()
            if r.status is RunStatus.FAILED and r.id not in doubtful and not any(why in r.result for why in reasons)
        ]

    def _double_decisions(self) -> list[Case]:
        cases = [
            Case(f"{len(events)} decisions", str(events[0][1].run), request)
            for request, events in self.decided.items()
            if len(events) > 1
        ]
        return cases + [Case(f"{len(e)} ends", run) for run, e in self.ended.items() if len(e) > 1]

    def _wrong_decisions(self) -> list[Case]:
        cases = []
        for request in self.facts.requests.values():
            decision, events = request.decision, self.decided[request.id]
            if decision is None:
                if events:
                    cases.append(Case("an event tells of a decision that is not there", request.run, request.id))
                continue
            if [e.data["outcome"] for _, e in events] != [decision.outcome]:
                cases.append(Case(f"decided {decision.outcome}, events: {events}", request.run, request.id))
                continue
            if decision.how is How.REVIEWERS and not set(decision.by) <= _REVIEWERS:
                cases.append(Case(f"decided by {decision.by}", request.run, request.id))
            if decision.how is How.REVIEWERS and request.deadline is not None and events[0][0] >= request.deadline:
                cases.append(Case(f"stored at {events[0][0]}, due {request.deadline}", request.run, request.id))
            if decision.outcome is Status.APPROVED and decision.by and len(set(decision.by)) < request.rules.quorum:
                cases.append(Case(f"approved by {decision.by}, needs {request.rules.quorum}", request.run, request.id))
        return cases

    def _wrongly_heard(self) -> list[Case]:
        cases = []
        for line in self.facts.heard:
            request = self.facts.requests.get(line["request"])
            decision = request.decision if request else None
            truth = decision and (decision.outcome, list(decision.by), decision.words)
            if truth != (line["outcome"], line["by"], line["words"]):
                cases.append(Case(f"heard {line}, the store has {decision}", line["run"], line["request"]))
        return cases

    def _done(self) -> Counter[tuple[str, str]]:
        done = Counter(
            (line["run"], line["request"] if "request" in line else self.calls[line["run"], line["part"]].id)
            for line in self.facts.effects
        )
        for name in self.facts.mails:
            request, _, run = name.partition("@")[0].partition(".")
            done[run, request] += 1
        return done

    def _double_actions(self) -> list[Case]:
        return [
            Case(f"done {count} times", run, request)
            for (run, request), count in self._done().items()
            if count > 1 + self._wanted_again(run, request)
        ]

    def _wanted_again(self, run: str, name: str) -> int:
        """How often people had this done again when nobody knew whether it had happened."""
        request = self.facts.requests.get(RequestId(name))
        call = request and request.question.call
        words = json.loads(call.arguments)["part"] if call else name
        mailed = any(f"{name}.{run}@" in mail for mail in self.facts.mails)  # of which a run sends one
        return sum(
            d.run == run and d.status is Status.APPROVED and (mailed or words in d.question.content)
            for d in self.doubts
        )

    def _unapproved(self) -> list[Case]:
        cases = []
        for run, name in self._done():
            request = self.facts.requests.get(RequestId(name))
            if request is None or request.status is not Status.APPROVED or request.run != run:
                cases.append(Case(f"done, and the request is {request and request.status}", run, name))
        return cases

    def _unseen(self) -> list[Case]:
        """Silence approves only what stood in its channel all the time (R32)."""
        cases = []
        for request in self.facts.requests.values():
            decision, card = request.decision, self.facts.messages.get(f"card/{request.id}")
            if decision is None or decision.outcome is not Status.APPROVED or decision.how is not How.TIMEOUT:
                continue
            since = card.stands_since if card is not None else None
            if not request_endings.seen_long_enough(request, since, decision.at):
                cases.append(Case(f"approved by silence at {decision.at}, seen since {since}", request.run, request.id))
        return cases

    def _missing_actions(self) -> list[Case]:
        done = self._done()
        heard = {(line["run"], line["request"]) for line in self.facts.heard if line["outcome"] == Status.APPROVED}
        heard |= {(run, call.id) for (run, _), call in self.calls.items() if call.status is Status.APPROVED}
        return [
            Case("heard as approved in a finished run, and not done", run, request)
            for run, request in heard
            if self.facts.runs[RunId(run)].status is RunStatus.FINISHED
            and not done[run, request]
            and request not in self.facts.unheard
        ]

    def _duplicates(self) -> list[Case]:
        cases = []
        for name, shown in self.facts.shown.items():
            known = self.facts.messages.get(name)
            if len(shown) > 1:
                cases.append(self._about(name, f"{len(shown)} messages {name}: {[m.ts for m in shown]}, {known}"))
            elif known is None or known.ts != shown[0].ts:
                cases.append(self._about(name, f"{name} at {shown[0].ts} is nobody's, known is {known}"))
        return cases

    def _wrong_messages(self) -> list[Case]:
        cases = []
        for request in self.facts.requests.values():
            run = self.facts.runs[request.run]
            name, on_it = self._card_of(request)
            card = self._shown(name) or self._shown(f"{name}/instead")
            if card is not None:
                runs = {row.run: (self.facts.runs[row.run], None) for row in on_it}
                cases += self._compare(
                    name, card, approval_card.batch(on_it, run=self.facts.runs[on_it[0].run], run_link=None, runs=runs)
                )
                if request.status is not Status.PENDING and any(
                    e.get("action_id") in (control_values.APPROVE, control_values.REJECT, control_values.RESPOND)
                    and request.id in str(e.get("value"))
                    for e in card.elements
                ):
                    cases.append(Case("a settled card has buttons", request.run, request.id))
        for run in self.facts.runs.values():
            if run.program:
                continue  # nothing but its card
            root = self._shown(f"run/{run.id}") or self._shown(f"run/{run.id}/direct")
            cases += self._compare(f"run/{run.id}", root, thread_notes.run_message(run))
            if run.recent:
                cases += self._compare(f"progress/{run.id}", None, self._steps(run))
            if run.over:
                cases += self._compare(f"outcome/{run.id}", None, thread_notes.outcome_note(run))
        return cases

    def _steps(self, run: Run) -> block_kit.Drawing:
        asked = [self.facts.requests[name] for name in run.recent if name in self.facts.requests]
        numbered = [run_steps.RequestOnCard(one, card_grouping.number_of(one, self._card_of(one)[1])) for one in asked]
        return run_steps.drawn_as_list(run, run_steps.steps(run, numbered))

    def _card_of(self, request: Request) -> tuple[str, list[Request]]:
        """The name of the card on which the request is, and all that are."""
        known = self.facts.messages.get(f"card/{request.id}")
        known = self.facts.messages.get(known.on) if known is not None and known.on else known
        if known is None or not known.rows:
            return f"card/{request.id}", [request]
        return known.name, [self.facts.requests[row] for row in known.rows]

    def _compare(self, name: str, shown: SlackMessage | None, drawing: block_kit.Drawing) -> list[Case]:
        shown = shown or self._shown(name)
        if shown is None:
            return [self._about(name, f"{name} is not there")]
        if shown.text != (right := spoken(drawing)):
            return [self._about(name, f"{name} shows “{shown.text}”, should be “{right}”")]
        return []

    def _shown(self, name: str) -> SlackMessage | None:
        return next(iter(self.facts.shown.get(name, [])), None)

    def _about(self, name: str, words: str) -> Case:
        of = name.split("/")[1]
        request = next((r for r in self.facts.requests.values() if r.id == of), None)
        return Case(words, request.run, of) if request else Case(words, of)

    def story(self, case: Case) -> list[str]:
        """Everything that happened to the case's run or request, a line each."""
        found = []
        for _, event in self.facts.events:
            if (case.request and event.request == case.request) or (case.run and event.run == case.run):
                data = " ".join(f"{k}={v!r}" for k, v in event.data.items() if v and k != "digest")
                found.append(
                    f"{event.at:%H:%M:%S.%f} {event.type} {event.request or ''} {event.user or ''} {data}"[:220]
                )
        return found


def _doubts(facts: Facts) -> list[Request]:
    return [r for r in facts.requests.values() if r.question.kind is Kind.IN_DOUBT]
