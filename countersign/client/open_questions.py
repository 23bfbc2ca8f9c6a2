"""Questions for whose decisions a program waits."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from countersign.client import exchange, terminal_notes
from countersign.client.exchange import TRIES_TO_WITHDRAW, Decision, Exchange, Pause, ServiceRefused
from countersign.client.questions import Call, Question

Ask = Callable[[Mapping[str, Any], str], Exchange[Any]]
OnInterrupt = Literal["leave", "withdraw"]
"""What an interrupted wait does with its request."""
_SAME_KEY: Final = "Ask again with the same key to get the decision."
_NO_KEY: Final = "Nothing can pick up its decision; with key=… of your own, asking again does."


class OpenQuestions:
    """Questions for whose decisions a program waits.

    An interrupted wait leaves them to people, or withdraws them.
    """

    def __init__(self, questions: Sequence[Call | Question], on_interrupt: OnInterrupt | None, ask: Ask) -> None:
        self._questions = [(one.body, one.key or uuid.uuid4().hex) for one in questions]
        self._own_keys = all(one.key for one in questions)
        self._leave = self._own_keys if on_interrupt is None else on_interrupt == "leave"
        self._ask = ask
        self._asked: list[Mapping[str, Any] | Decision] = []

    def decisions(self) -> Exchange[list[Decision]]:
        """Ask all questions, and wait for the decisions."""
        for body, key in self._questions:
            self._asked.append((yield from self._ask(body, key)))
        for one in self._asked:
            if not isinstance(one, Decision) and one["status"] == "pending":
                _note_waiting(one, leave=self._leave)
                break
        decisions = []
        for one in self._asked:
            if isinstance(one, Decision):
                decisions.append(one)
                continue
            posted = terminal_notes.note_card if terminal_notes.is_there() else None
            decisions.append(decision := (yield from exchange.wait(one["id"], posted)))
            terminal_notes.note_decision(decision.at, decision.outcome, decision.names)
        return decisions

    def interrupted(self) -> Exchange[None]:
        """End the wait; leave or withdraw the requests."""
        if self._leave:
            if self._asked:
                terminal_notes.note(f"The request stays open. {_SAME_KEY if self._own_keys else _NO_KEY}")
            return
        for (body, key), one in zip(self._questions, [*self._asked, None], strict=False):  # None: it may have arrived
            if isinstance(one, Decision):
                continue
            try:
                if one is None:  # asking again under its key finds the same request
                    one = yield from exchange.ask(body, key, TRIES_TO_WITHDRAW)
                yield from exchange.withdraw(one["id"], "the program was interrupted", TRIES_TO_WITHDRAW)
            except ServiceRefused as refused:
                terminal_notes.note(
                    f"Couldn't withdraw the request: {refused} People may still see it, but nothing will run."
                )


def _note_waiting(request: Mapping[str, Any], *, leave: bool) -> None:
    deadline = None if request["deadline"] is None else datetime.fromisoformat(request["deadline"])
    ctrl_c = "leaves the request open" if leave else "withdraws the request"
    terminal_notes.note_waiting(request["cards_in"], deadline, ctrl_c)


def note_pause(step: Pause) -> None:
    """Say why the program does not hear from people at the moment.

    An outage of the service is already in the log, which Python shows by default.
    """
    if step.why and not step.away:
        terminal_notes.note_once(f"{step.why} Retrying …")
