"""Wording of answers and states: on buttons, in modals, and in sentences."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from countersign.domain import runs
from countersign.domain.requests import Kind, Status, Verb


class Button(NamedTuple):
    """`style` is Slack's: primary, danger, or None."""

    verb: Verb
    label: str
    style: str | None


class Window(NamedTuple):
    """A modal that asks for words."""

    title: str
    label: str
    hint: str


@dataclass(frozen=True, slots=True)
class Wording:
    """The words for one kind; `unanswered` is what happens if nobody decides in time."""

    buttons: tuple[Button, ...]
    outcomes: dict[Status, str]
    reject: Window
    respond: Window
    unanswered: str


_ORDINARY: Final = Wording(
    (
        Button(Verb.APPROVE, "Approve", "primary"),
        Button(Verb.EDIT, "Edit", None),
        Button(Verb.REJECT, "Reject", "danger"),
        Button(Verb.RESPOND, "Respond", None),
    ),
    {
        Status.APPROVED: ":white_check_mark: *Approved*",
        Status.REJECTED: ":no_entry: *Rejected*",
        Status.ANSWERED: ":speech_balloon: *Answered*",
        Status.EDITED: ":pencil2: *Approved with changes*",
    },
    Window("Reject", "Reason", "The agents read it. You may leave it empty."),
    Window("Respond", "Your answer", "The agents read this and ask again. It approves nothing."),
    "the agent is told that nobody answered",
)
_STOP: Final = Window("Stop", "Reason", "The run ends, and nothing more is done. You may leave it empty.")
_IN_DOUBT: Final = Wording(
    (
        Button(Verb.RESPOND, "It ran", "primary"),
        Button(Verb.APPROVE, "Run it again", None),
        Button(Verb.REJECT, "Stop", "danger"),
    ),
    {
        Status.ANSWERED: ":white_check_mark: *It ran*, as found out",
        Status.APPROVED: ":repeat: *To be run again*, as decided",
        Status.REJECTED: ":octagonal_sign: *Stopped*",
    },
    _STOP,
    Window(
        "It ran", "What it returned", "The run goes on with exactly these words as the result; nothing is repeated."
    ),
    "the run ends, and nothing is repeated",
)
_CHOICE: Final = Wording(
    (
        Button(Verb.CHOOSE, "Choose", "primary"),
        Button(Verb.RESPOND, "Respond", None),
        Button(Verb.REJECT, "None of these", "danger"),
    ),
    {
        Status.ANSWERED: ":ballot_box_with_check: *Answered*",
        Status.REJECTED: ":no_entry: *None of these*",
    },
    Window("None of these", "Reason", "The agents read it. You may leave it empty."),
    Window("Respond", "Your answer", "The agents read this instead of a choice. It approves nothing."),
    "the agent is told that nobody answered",
)
_TURN: Final = Wording(
    (
        Button(Verb.APPROVE, "Go on", "primary"),
        Button(Verb.RESPOND, "Respond", None),
        Button(Verb.REJECT, "Stop", "danger"),
    ),
    {
        Status.APPROVED: ":arrow_forward: *Goes on*",
        Status.ANSWERED: ":speech_balloon: *Answered*",
        Status.REJECTED: ":octagonal_sign: *Stopped*",
    },
    Window("Stop", "Reason", "The conversation ends, and the agents read why. You may leave it empty."),
    Window("Respond", "What is said next", "The agents read this as the next message, and go on."),
    "the conversation ends, and the agents are told that nobody answered",
)
_END: Final = Wording(
    (Button(Verb.APPROVE, "End here", "primary"), Button(Verb.RESPOND, "Respond", None)),
    {
        Status.APPROVED: ":checkered_flag: *Ended here*",
        Status.ANSWERED: ":speech_balloon: *Answered*",
    },
    _TURN.reject,  # not offered
    Window("Respond", "What is said next", "The agents read this as the next message, and the conversation goes on."),
    "the conversation ends, and the agents are told that nobody answered",
)
_DIVERGED: Final = Wording(
    (Button(Verb.APPROVE, "Continue from here", "primary"), Button(Verb.REJECT, "Stop", "danger")),
    {
        Status.APPROVED: ":arrow_forward: *To be continued with the changed code*, as decided",
        Status.REJECTED: ":octagonal_sign: *Stopped*",
    },
    _STOP,
    _ORDINARY.respond,  # not offered
    "the run ends, and nothing is repeated",
)


STATES: Final = {
    runs.Status.QUEUED: ":inbox_tray: Queued",
    runs.Status.RUNNING: ":gear: Working",
    runs.Status.WAITING: ":hourglass_flowing_sand: Waiting for a decision",
    runs.Status.PARKED: ":hourglass_flowing_sand: Waiting for a decision",
    runs.Status.FINISHED: ":checkered_flag: Finished",
    runs.Status.FAILED: ":x: Failed",
    runs.Status.STOPPED: ":octagonal_sign: Stopped",
}
HIGH_RISK: Final = (
    ":rotating_light: *High risk*: who approves opens all of it first and types a word. Silence never approves it."
)
HIGH_RISK_OF_SEVERAL: Final = (
    ":rotating_light: *High risk*: each of those who approve opens all of it first. Silence never approves it."
)
EDIT: Final = Window("Edit and approve", "Why", "For the agents; may be empty.")
EDIT_SUBMIT: Final = "Approve with changes"
EDIT_TELLS: Final = "What runs is what stands here when you send it."
CHOOSE: Final = Window("Choose", "Choose one", "The numbers are those of the card, where the options stand in full.")
CHOOSE_SEVERAL: Final = "Choose one or more"
_SPECIAL: Final = {
    Kind.CHOICE: _CHOICE,
    Kind.TURN: _TURN,
    Kind.END: _END,
    Kind.IN_DOUBT: _IN_DOUBT,
    Kind.DIVERGED: _DIVERGED,
}


def of(kind: Kind) -> Wording:
    """Return the words for requests of this kind."""
    return _SPECIAL.get(kind, _ORDINARY)
