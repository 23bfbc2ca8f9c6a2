"""Wording of answers and states: on buttons, in modals, and in sentences."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from countersign.domain import runs
from countersign.domain.calls import LONGEST_TITLE, batch_title, in_words
from countersign.domain.people import Reviewers, is_channel
from countersign.domain.proof import Proof
from countersign.domain.redaction import hide_in
from countersign.domain.requests import Kind, Question, Request, Status, Verb
from countersign.text.safe_text import quoted


class Button(NamedTuple):
    """A button of a card; `style` is Slack's: primary, danger, or None."""

    verb: Verb
    label: str
    style: str | None


class Window(NamedTuple):
    """A modal that asks for a text."""

    title: str
    label: str
    hint: str


@dataclass(frozen=True, slots=True)
class Wording:
    """Labels and texts of one kind of question.

    The first two buttons are on the card, the others in its menu. `unanswered` is the text if nobody decides.
    """

    buttons: tuple[Button, ...]
    outcomes: dict[Status, str]
    reject: Window
    respond: Window
    unanswered: str


_ORDINARY: Final = Wording(
    (
        Button(Verb.APPROVE, "Approve", "primary"),
        Button(Verb.REJECT, "Reject", "danger"),
        Button(Verb.RESPOND, "Request changes", None),
        Button(Verb.EDIT, "Edit", None),
    ),
    {
        Status.APPROVED: ":white_check_mark: *Approved*",
        Status.REJECTED: ":no_entry: *Rejected*",
        Status.ANSWERED: ":speech_balloon: *Changes requested*",
        Status.EDITED: ":pencil2: *Approved with changes*",
    },
    Window("Reject", "Reason", "The agents read it."),
    Window(
        "Request changes",
        "What should change?",
        "The agents will revise and ask again. This does not approve anything.",
    ),
    "not approved",
)
_OPEN: Final = Wording(
    (Button(Verb.RESPOND, "Answer", "primary"), Button(Verb.REJECT, "Decline", None)),
    {
        Status.ANSWERED: ":speech_balloon: *Answered*",
        Status.REJECTED: ":no_entry: *Declined*",
    },
    Window("Decline", "Reason", "The agents read it."),
    Window("Answer", "Your answer", "The agents read it. This does not approve anything."),
    "closed without an answer",
)
"""Of a question that cannot be approved."""
_STOP: Final = Window("Stop", "Reason", "The run ends, and nothing more is done.")
_IN_DOUBT: Final = Wording(
    (
        Button(Verb.RESPOND, "It ran", "primary"),
        Button(Verb.APPROVE, "Run it again", None),
        Button(Verb.REJECT, "Stop", "danger"),
    ),
    {
        Status.ANSWERED: ":white_check_mark: *It ran*, confirmed",
        Status.APPROVED: ":repeat: *Approved to run again*",
        Status.REJECTED: ":octagonal_sign: *Stopped*",
    },
    _STOP,
    Window(
        "It ran", "What it returned", "The run continues with exactly these words as the result. Nothing is repeated."
    ),
    "the run stops, and nothing is repeated,",
)
_CHOICE: Final = Wording(
    (
        Button(Verb.CHOOSE, "Choose", "primary"),
        Button(Verb.REJECT, "None of these", None),
        Button(Verb.RESPOND, "Answer in words", None),
    ),
    {
        Status.ANSWERED: ":ballot_box_with_check: *Answered*",
        Status.REJECTED: ":no_entry: *None of these*",
    },
    Window("None of these", "Reason", "The agents read it."),
    Window("Answer in words", "Your answer", "The agents read it instead of a choice. This does not approve anything."),
    "nothing is chosen",
)
_FORM: Final = Wording(
    (
        Button(Verb.EDIT, "Fill in", "primary"),
        Button(Verb.RESPOND, "Reply", None),
        Button(Verb.REJECT, "Reject", "danger"),
    ),
    {
        Status.EDITED: ":memo: *Filled in*",
        Status.ANSWERED: ":speech_balloon: *Answered*",
        Status.REJECTED: ":no_entry: *Rejected*",
    },
    _ORDINARY.reject,
    Window("Answer in words", "Your answer", "The program reads it instead of the form."),
    "nothing is filled in",
)
_TURN: Final = Wording(
    (
        Button(Verb.APPROVE, "Continue", "primary"),
        Button(Verb.RESPOND, "Reply", None),
        Button(Verb.REJECT, "Stop", "danger"),
    ),
    {
        Status.APPROVED: ":arrow_forward: *Continued*",
        Status.ANSWERED: ":speech_balloon: *Replied*",
        Status.REJECTED: ":octagonal_sign: *Stopped*",
    },
    Window("Stop", "Reason", "The conversation ends, and the agents read why."),
    Window("Reply", "Your message", "The agents read it as the next message and continue."),
    "the conversation ends",
)
_END: Final = Wording(
    (Button(Verb.APPROVE, "End here", "primary"), Button(Verb.RESPOND, "Reply", None)),
    {
        Status.APPROVED: ":checkered_flag: *Ended here*",
        Status.ANSWERED: ":speech_balloon: *Replied*",
    },
    _TURN.reject,  # not offered
    Window("Reply", "Your message", "The agents read it as the next message, and the conversation continues."),
    "the conversation ends",
)
_DIVERGED: Final = Wording(
    (Button(Verb.APPROVE, "Continue from here", "primary"), Button(Verb.REJECT, "Stop", "danger")),
    {
        Status.APPROVED: ":arrow_forward: *Continued with the changed code*",
        Status.REJECTED: ":octagonal_sign: *Stopped*",
    },
    _STOP,
    _ORDINARY.respond,  # not offered
    "the run stops, and nothing is repeated,",
)


STATES: Final = {
    runs.Status.QUEUED: ":gear: Working",  # a worker takes it within a moment, and each change is a call of Slack
    runs.Status.RUNNING: ":gear: Working",
    runs.Status.WAITING: ":hourglass_flowing_sand: Waiting for a decision",
    runs.Status.PARKED: ":hourglass_flowing_sand: Waiting for a decision",
    runs.Status.FINISHED: ":checkered_flag: Finished",
    runs.Status.FAILED: ":x: Failed",
    runs.Status.STOPPED: ":octagonal_sign: Stopped",
}
_ENDINGS: Final = {
    "rejected": ":no_entry: Rejected",
    "expired": ":alarm_clock: Expired",
    "failed": STATES[runs.Status.FAILED],
    "stopped": STATES[runs.Status.STOPPED],
    "refused": ":no_entry: Not allowed",
    "withdrawn": ":leftwards_arrow_with_hook: Withdrawn",
    "answered": ":speech_balloon: Not done",
    "not finished": ":warning: Not finished",
}
STOP_RUN: Final = "stop_run"
"""The action of the button that stops a run."""
START_TASK: Final = "open_start"
"""The action of the button that opens the window of `/agent`."""
PROVED_WITH: Final = {Proof.SLACK: "", Proof.OIDC: "login", Proof.PASSKEY: "passkey"}
"""Nouns of a proof: `Approve with passkey…`."""
NEEDS_PROOF: Final = {
    Proof.OIDC: ":key: To approve, sign in on the request's page",
    Proof.PASSKEY: ":key: To approve, sign with your passkey on the request's page",
}
HIGH_RISK: Final = ':rotating_light: *High risk* · you\'ll type "{word}"'
HIGH_RISK_OF_SEVERAL: Final = ":rotating_light: *High risk* · each reviewer reads all of it first"
EDIT: Final = Window("Edit and approve", "Why you changed it", "The agents read it.")
EDIT_SUBMIT: Final = "Approve with changes"
FILL_IN: Final = Window("Fill in", "Remarks", "The program reads them.")
EDIT_TELLS: Final = "Exactly what you enter here will run."
EDIT_TEXT_TELLS: Final = "Exactly what you enter here is approved."
CHOOSE: Final = Window("Choose", "Choose one", "The numbers match the card, which shows the options in full.")
CHOOSE_SEVERAL: Final = "Choose one or more"
_TOOLS: Final = 4
_SETTLED: Final = {
    Status.APPROVED: "approved",
    Status.EDITED: "approved with changes",
    Status.ANSWERED: "answered",
    Status.REJECTED: "rejected",
    Status.EXPIRED: "expired",
    Status.WITHDRAWN: "withdrawn",
}
_SPECIAL: Final = {
    Kind.CHOICE: _CHOICE,
    Kind.FORM: _FORM,
    Kind.TURN: _TURN,
    Kind.END: _END,
    Kind.IN_DOUBT: _IN_DOUBT,
    Kind.DIVERGED: _DIVERGED,
}


def state_of(run: runs.Run) -> str:
    """Return the run's status or outcome in mrkdwn."""
    if run.status is not runs.Status.FINISHED or not run.ended_as:
        return STATES[run.status]
    word = "".join(one for one in run.ended_as if one.isalnum() or one == " ")
    return _ENDINGS.get(run.ended_as) or f":white_check_mark: {quoted(word, runs.LONGEST_STATE)}"


def card_link_label(request: Request) -> str:
    """Label a link to the request's card."""
    return "open the question" if request.rules.in_thread else "open the card"


def escalation_target(reviewers: Reviewers) -> str:
    """Count the people of an escalation step."""
    return f" to {count_reviewers(reviewers)}" if reviewers else ""


def count_reviewers(reviewers: Reviewers) -> str:
    """Count people and groups where a mention would notify them for nothing."""
    people, groups = len(reviewers.users), [group for group in reviewers.groups if not is_channel(group)]
    parts = [f"{people} {'person' if people == 1 else 'people'}"] if people else []
    parts += [f"{len(groups)} group{'s' if len(groups) > 1 else ''}"] if groups else []
    parts += ["the members of the channel"] if reviewers.members or len(groups) < len(reviewers.groups) else []
    return " and ".join(parts)


def wording_of(question: Question) -> Wording:
    """Return the wording for such a question."""
    if question.kind is Kind.MESSAGE:
        return _ORDINARY if Verb.APPROVE in question.offers else _OPEN
    return _SPECIAL.get(question.kind, _ORDINARY)


def with_proof(label: str, proof: Proof) -> str:
    """Label a link that leads to where an answer is proved: `Approve with passkey…`."""
    return f"{label} with {PROVED_WITH[proof]}…"


def label_of(question: Question, verb: Verb) -> str:
    """Return the label of the button with which such a question is answered so."""
    return next(one.label for one in wording_of(question).buttons if one.verb is verb)


def count_states(rows: Sequence[Request]) -> str:
    """Count the rows by state: `2 of 5 pending · 1 approved · 2 rejected`."""
    count = Counter(row.status for row in rows)
    parts = [f"{count[Status.PENDING]} of {len(rows)} pending" if count[Status.PENDING] else "All decided"]
    return " · ".join(parts + [f"{count[one]} {_SETTLED[one]}" for one in _SETTLED if count[one]])


def list_tools(rows: Sequence[Request]) -> str:
    """Write a title for these requests: `Pay 4 invoices (2,619.25 EUR)`, or the tools."""
    calls = [row.question.call for row in rows if row.question.call]
    if len(calls) == len(rows) and len({call.tool for call in calls}) == 1:
        seen = [hide_in(json.loads(call.arguments), call.hidden)[0] for call in calls]
        return quoted(batch_title(calls[0].tool, seen, rows[0].question.batch), LONGEST_TITLE)
    words = [in_words(row.question.call.tool) if row.question.call else row.question.title for row in rows]
    count = Counter(quoted(one, 40) for one in words)
    names = [f"{name} ×{times}" if times > 1 else name for name, times in count.items()]
    return ", ".join(names[:_TOOLS]) + (", …" if len(names) > _TOOLS else "")
