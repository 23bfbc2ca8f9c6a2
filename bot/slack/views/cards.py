"""What Slack shows of requests and runs: pure drawings of what the store holds (R6).

All blocks of one message together hold about 13.2 kB (undocumented, slackapi/bolt-js #2509); what has no room is
counted on the card, and is in the modal behind "View full" and in a file (R14).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from countersign.domain import high_risk, runs
from countersign.domain.channel_settings import say_duration
from countersign.domain.decision_rules import may_break_glass
from countersign.domain.delegation import Absence, deciders
from countersign.domain.ids import Digest, RequestId
from countersign.domain.questions import asker
from countersign.domain.request_endings import approved_by_timeout
from countersign.domain.requests import Decision, Kind, Question, Request, Verb
from countersign.domain.runs import Run

from . import button_labels, choice_controls, pending_state, run_summary
from .block_kit import Block, button, context, data, heading, mrkdwn, plain, words
from .card_content import TITLE, TOOL, complete, has_room, on_card
from .card_menu import menu
from .outcome_text import WORDS, details, named, sentence, votes
from .safe_text import Room, fits, one_line, pieces, quoted, shorten, typed, visible
from .slack_markup import escape, link, mention, when

APPROVE: Final = "decide_approve"
REJECT: Final = "decide_reject"
RESPOND: Final = "decide_respond"
EDIT: Final = "decide_edit"
CHOOSE: Final = choice_controls.CHOOSE
REVIEW: Final = "review_request"
VIEW_FULL: Final = "view_full"

_FINAL: Final = Room(6000, 7500, 150)
_TASK: Final = Room(2500, 5500, 40)


@dataclass(frozen=True, slots=True)
class Drawing:
    """One message. `text` is what notifications and screen readers say."""

    text: str
    blocks: list[Block]
    metadata: dict[str, Any] | None = None


class Handle(NamedTuple):
    """What a button carries: its own request (R1), and the digest of what was shown beside it."""

    request: RequestId
    digest: Digest

    def write(self) -> str:
        return json.dumps({"request": self.request, "digest": self.digest})

    @classmethod
    def read(cls, value: str) -> "Handle | None":
        """None if it is nothing that we wrote."""
        try:
            raw = json.loads(value)
            request, digest = raw["request"], raw["digest"]
        except (ValueError, TypeError, KeyError):
            return None
        if not isinstance(request, str) or not isinstance(digest, str) or len(value) > 500:
            return None
        name, shown = RequestId.named(request), Digest.named(digest)
        return None if name is None or shown is None else cls(name, shown)


def card(
    request: Request, *, run: Run, run_link: str | None, away: Iterable[Absence] = (), filed: bool = True
) -> Drawing:
    """The card of a request, pending or settled; settled ones have no buttons that decide. `away`: who is not here.
    Not `filed`: the file with all of it could not be uploaded."""
    team, title = quoted(run.team, 40), quoted(request.question.title, TITLE)
    place = f"For {mention(request.requester)} in {mention(request.channel)}" + (
        f" · {link(run_link, 'the run')}" if run_link else ""
    )
    question, pending = request.question, request.decision is None
    who, what = asks(question, team, title)
    asking = f"team {run.team}" if question.call else f"agent {asker(question)}"
    small = context(mrkdwn(place), plain(f"{asking} · run {run.id}", 60))
    view_full = button("View full", VIEW_FULL, Handle(request.id, request.digest).write())
    blocks = [heading(who, what), small, *on_card(question, view_full, pending=pending, filed=filed)]
    if request.decision is not None:
        return Drawing(
            _settled_text(request, request.decision, team, title), blocks + _outcome(request, request.decision)
        )
    if Verb.APPROVE in question.offers and high_risk.is_asked(request, Verb.APPROVE):
        blocks.append(words(button_labels.HIGH_RISK if high_risk.word(request) else button_labels.HIGH_RISK_OF_SEVERAL))
    if request.rules.quorum > 1:
        blocks.append(votes(request))
    blocks += [_deadline(request), *pending_state.lines(request)]
    own = " · the requester may decide too" if request.rules.own_requests else ""
    if may_break_glass(request) and Verb.APPROVE in question.offers:
        own += " · in an emergency the requester alone, with a reason that you all read"
    decides = named(deciders(request), pending_state.stand_ins(request, away))
    blocks.append(context(mrkdwn(f"May decide: {decides}{own}"), *why_me(request)))
    blocks.append({"type": "actions", "block_id": "decide", "elements": [*_buttons(request), menu(request)]})
    wants = escape(who + what) if question.call else f"{escape(team)} asks for a decision: {escape(title)}"
    return Drawing(f"{wants} (for {mention(request.requester)})", blocks)


def run_message(run: Run) -> Drawing:
    """The first message of a run, in the requester's channel: who wants what from whom, and how it stands."""
    team = quoted(run.team, 40)
    state = STATES[run.status]
    task, hidden, end = shorten(visible(typed(run.task)), _TASK)
    blocks = [words(f"{mention(run.requester)} asked *{escape(team)}*:"), data([p for p in (task, end) if p])]
    if hidden:
        blocks.append(
            words(f"_{hidden:,} characters in the middle of the task are not shown here; the agents have them all._")
        )
    how = "" if run.over else f" · `/agent stop {escape(run.id)}` ends it"
    blocks.append(context(mrkdwn(f"{state}{how}"), plain(f"run {run.id}")))
    return Drawing(f"{mention(run.requester)} asked {escape(team)}: {escape(quoted(run.task, 200))} – {state}", blocks)


def progress_note(run: Run) -> Drawing:
    """The newest lines of progress, in the run's thread."""
    lines = [f"{p.at:%H:%M:%S} {quoted(p.agent, 30)}: {quoted(p.words, 200)}" for p in run.progress]
    beginning, _, end = shorten("\n".join(lines) or "Nothing yet.", Room(3000, 8000, runs.KEPT_PROGRESS))
    newest = quoted(run.progress[-1].words, 150) if run.progress else "nothing yet"
    blocks = [context(mrkdwn("What the agents do (UTC)")), data([p for p in (beginning, end) if p])]
    if run.writing is not None and not run.over:
        does = "has written" if run.writing.done else "is writing …"
        newest = f"{quoted(run.writing.agent, 30)} {does} {run.writing.characters:,} characters"
        blocks.append(context(plain(newest, 150)))
        if not run.writing.done:
            blocks.append(data([f"… {quoted(run.writing.words, 200)}"]))
    return Drawing(f"{escape(quoted(run.team, 40))} is at work: {escape(newest)}", blocks)


def waiting_note(request: Request, card_link: str | None, more: int = 0) -> Drawing:
    """In the run's thread: it waits for people, and where; with so many `more` on the same card."""
    title = quoted(request.question.title, TITLE) + (f" and {more} more" if more else "")
    what = f"{more + 1} decisions" if more else "a decision"
    where = mention(request.rules.approvals_channel)
    at = f": {link(card_link, 'open the card')}" if card_link else ""
    blocks = [
        words(f":hourglass_flowing_sand: Waiting for {what} in {where}{at}"),
        context(plain(title, TITLE + 20), mrkdwn(expiry(request))),
    ]
    return Drawing(f"Waiting for {what} in {where}: {escape(title)}", blocks)


def decided_note(request: Request, row: int = 0) -> Drawing:
    """In the run's thread: what became of the request; `row` is its number on a card with several."""
    if request.decision is None:
        return waiting_note(request, None)
    title = (f"{row}. " if row else "") + quoted(request.question.title, TITLE)
    text = sentence(request, request.decision)
    blocks = [words(text), context(plain(title, TITLE + 5)), *details(request, request.decision)]
    return Drawing(f"{text} ({escape(title)})", blocks)


def outcome_note(run: Run, *, filed: bool = True) -> Drawing:
    """In the run's thread: how it ended, and the agents' final words; what has no room is in `outcome_file`."""
    result = visible(typed(run.result)).strip() or "No result was given."
    by = f" by {mention(run.stopped_by)}" if run.stopped_by else ""
    short, cut, rest = shorten(result, WORDS)
    blocks = [words(f"{STATES[run.status]}{by}"), data([p for p in (short, rest) if p])]
    beginning, hidden, end = shorten(visible(typed(run.words)).strip(), _FINAL)
    if beginning:
        blocks += [words("*The agents' final words*"), data(pieces(beginning, 3000))]
    if hidden or cut:
        where = "the file in this thread has them" if filed else "the file with them could not be uploaded"
        blocks.append(words(f":warning: *{hidden + cut:,} characters are not shown here*; {where}."))
    if end:
        blocks.append(data([end]))
    blocks += run_summary.of(run)
    return Drawing(f"{STATES[run.status]}{by}: {escape(quoted(run.result, 200))} ({mention(run.requester)})", blocks)


def outcome_file(run: Run) -> tuple[str, bytes] | None:
    """Name and bytes of a file with all final words; None if the note shows them all."""
    result, final = (visible(typed(words)).strip() for words in (run.result, run.words))
    if fits(result, WORDS) and fits(final, _FINAL):
        return None
    return f"{run.id}.txt", f"{result}\n\n{final}".encode()


def not_posted_note(request: Request, problem: str) -> Drawing:
    """In the run's thread: the card could not be posted (R21); `problem` is Slack's word."""
    where = mention(request.rules.approvals_channel)
    text = (
        f":warning: *The card could not be posted in {where}* ({escape(one_line(problem, 200))}). "
        "Nothing was approved; the request is kept and waits. "
    )
    todo = f"Its card is in this thread instead. Invite the app to {where}, so that the next cards appear there."
    return Drawing(
        f"The card could not be posted in {where}; nothing was approved.",
        [words(text + todo), context(mrkdwn(expiry(request)))],
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

_APPROVED: Final = frozenset({Kind.MESSAGE, Kind.TOOL, Kind.CODE})
"""The kinds of which the content itself is approved; other questions are how something goes on."""
_ACTIONS: Final = {
    Verb.APPROVE: APPROVE,
    Verb.REJECT: REJECT,
    Verb.RESPOND: RESPOND,
    Verb.EDIT: EDIT,
    Verb.CHOOSE: CHOOSE,
}


def asks(question: Question, team: str, title: str) -> tuple[str, str]:
    """The first line of a request: who asks, and for what. `team` and `title` are on one line each."""
    if question.call is None:
        return team, f" asks: {title}"
    tool = "code" if question.kind is Kind.CODE else quoted(question.call.tool, TOOL)
    known = title.lower() in {tool.lower(), f"call {tool}".lower(), f"run {tool}".lower()}
    return quoted(asker(question), 40), f" wants to run {tool}" + ("" if known else f": {title}")


def _buttons(request: Request) -> list[Block]:
    value, question = Handle(request.id, request.digest).write(), request.question
    buttons: list[Block] = []
    for verb, label, style in button_labels.of(question.kind).buttons:
        if verb in question.offers:
            one = button(label, _ACTIONS[verb], value, style)
            buttons += choice_controls.buttons(question, one) if verb is Verb.CHOOSE else [one]
    if question.call and has_room(question):
        buttons.append(button("Arguments", VIEW_FULL, value))
    if complete(question) and not high_risk.is_asked(request, Verb.APPROVE):
        return buttons
    for made in buttons:  # nobody approves by one click what the card does not show, or what is of high risk
        if made["action_id"] == APPROVE:
            label = made["text"]["text"]
            made |= {"action_id": REVIEW, "text": plain("Review…" if label == "Approve" else f"{label}…")}
    return buttons


def why_me(request: Request) -> list[Block]:
    """The rule of the workspace's policy by which these people are asked."""
    rules = request.rules
    if not rules.clause:
        return []
    why = f": {rules.why}" if rules.why else ""
    return [plain(f"Why: rule “{rules.clause}”{why}", 300)]


def _deadline(request: Request) -> Block:
    text = expiry(request)
    return words(f":warning: {text}") if approved_by_timeout(request) else context(mrkdwn(text))


def expiry(request: Request) -> str:
    """Until when people have time, and what happens then."""
    if request.deadline is None:
        return "Waits until somebody decides or the run is stopped."
    at = f"Expires {when(request.deadline)} (after {say_duration(request.rules.timeout)})"
    if approved_by_timeout(request):
        return f"{at} · then: *it counts as APPROVED if nobody decides*, as this channel's settings say."
    return f"{at} · then: {_nothing(request.question)}{button_labels.of(request.question.kind).unanswered}."


def _nothing(question: Question) -> str:
    """What time running out does not bring about, where a decision would."""
    if question.kind is Kind.CHOICE:
        return "nothing is chosen; "
    return "not approved; " if question.kind in _APPROVED and Verb.APPROVE in question.offers else ""


def _settled_text(request: Request, decision: Decision, team: str, title: str) -> str:
    return f"{sentence(request, decision)} – {escape(team)} asked: {escape(title)}"


def _outcome(request: Request, decision: Decision) -> list[Block]:
    told = words(sentence(request, decision))
    if request.question.call is not None:
        told["accessory"] = button("View full", VIEW_FULL, Handle(request.id, request.digest).write())
    blocks = [told, *details(request, decision)]
    if request.rules.quorum > 1:
        blocks.append(votes(request))
    return blocks
