"""Draw cards on which people decide: one request, or a batch with a row for each.

All blocks of one message together hold about 13.2 kB (undocumented, slackapi/bolt-js #2509). The card counts the
content that does not fit, and the modal behind "Details" and a file show it (R14). Each button of a row carries the id
of its own request (R1, R26), and buttons for all rows carry the ids of the rows that they decide. Text that applies to
all rows is shown once below them.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

from countersign.domain import high_risk
from countersign.domain.activity import NOT_DONE
from countersign.domain.calls import in_words
from countersign.domain.delegation import Absence
from countersign.domain.eligibility import deciders, may_break_glass
from countersign.domain.ids import RequestId, RunId
from countersign.domain.proof import Proof, strictest
from countersign.domain.request_endings import approved_by_timeout
from countersign.domain.requests import Decision, Request, Status, Verb
from countersign.domain.runs import Run
from countersign.text.safe_text import Room, one_line, quoted, shorten, typed

from . import button_labels, control_values
from .block_kit import (
    Block,
    Drawing,
    about,
    button,
    context,
    data,
    heading,
    headline,
    link_button,
    mrkdwn,
    plain,
    words,
)
from .decision_details import changes_of, details, standing_of
from .request_text import (
    as_matter,
    as_question,
    expiry,
    for_whom,
    named,
    policy_rule,
    reported,
    settled_line,
    stand_ins,
    votes,
    waiting_lines,
)
from .reviewed_content import UNFILED, complete, everything, in_line, in_row, on_card
from .slack_markup import escape, link, mention

_TITLE: Final = Room(100, 150, 1)
"""Room for a row's first line; a longer one is cut, and the full view has it all."""
_WORDS: Final = Room(160, 260, 1)
"""Room for changes and reasons; the note in the run's thread has the whole text."""
_TASK: Final = 160
"""Characters of the requester's task: two lines on a phone."""
_FOR_ALL: Final = (
    ("Approve", control_values.APPROVE_ALL, "primary"),
    ("Reject", control_values.REJECT_ALL, "danger"),
)
_CONFIRMED: Final = 300
"""Characters of the text of a confirmation dialog."""
_VOTERS: Final = 3
"""How many voters a row names; the others are counted."""


def card(
    request: Request,
    *,
    run: Run,
    run_link: str | None,
    away: Iterable[Absence] = (),
    filed: bool = True,
    pages: str = "",
) -> Drawing:
    """Draw the card of a request; a settled one has no buttons that decide.

    `away`: people who are not here. Not `filed`: the file with all of it could not be uploaded. `pages`: the address
    of the pages on which people prove who they are, "" without pages.
    """
    team, question = quoted(run.team, 40), request.question
    thread_link = _link_to_thread(run_link)
    title = as_question(question) if request.decision is None else as_matter(question)
    first, text = headline(team, title), f"{escape(team)} · {escape(title)}"
    talk = request.rules.in_thread
    details_button = _details_button(request)
    if request.decision is not None:
        settled = settled_line(request, request.decision, run)
        said = on_card(question, details_button, filed=filed) if talk else []  # so that the thread reads as a talk
        outcome = _outcome(request, request.decision, run, details_button)
        return Drawing(f"{settled} – {text}", [first, *said, *outcome])
    blocks = [*_high_risk(request), first, *(() if talk else [_place(request, run, thread_link)])]
    whole = complete(question) and not high_risk.is_asked(request, Verb.APPROVE) and request.rules.proof is Proof.SLACK
    buttons = whole and control_values.options_are_buttons(question)
    decides = whole and (Verb.APPROVE in question.offers or buttons)
    blocks += on_card(question, details_button, filed=filed, decides=decides, buttons=buttons)
    if request.rules.quorum > 1:
        blocks.append(votes(request))
    blocks += [*(_addressed(request, run_link) if talk else _deadline(request, away)), *waiting_lines(request)]
    controls = _controls(request, whole=complete(question), presence=True, pages=pages)
    blocks.append({"type": "actions", "block_id": "decide", "elements": controls})
    return Drawing(f"{mention(request.requester)} {text}" if talk else text, blocks, (thread_link,))


def on_page(request: Request, *, run: Run, run_link: str | None, away: Iterable[Absence] = ()) -> list[Block]:
    """Draw what a request's card and *Details* show together, without controls."""
    team, question = quoted(run.team, 40), request.question
    decision = request.decision
    title = as_question(question) if decision is None else as_matter(question)
    place = [] if request.rules.in_thread else [_place(request, run, _link_to_thread(run_link))]
    if decision is not None:
        outcome = [{k: v for k, v in one.items() if k != "accessory"} for one in _outcome(request, decision, run, {})]
        return [headline(team, title), *place, *outcome, *everything(question)]
    waits = _addressed(request, run_link) if request.rules.in_thread else _deadline(request, away)
    counted = [votes(request)] if request.rules.quorum > 1 else []
    blocks = [*_high_risk(request), headline(team, title), *place, *counted, *waits, *waiting_lines(request)]
    return [*blocks, *everything(question)]


def batch(
    rows: Sequence[Request],
    *,
    run: Run,
    run_link: str | None,
    runs: Mapping[RunId, tuple[Run, str | None]] | None = None,
    away: Iterable[Absence] = (),
    unfiled: Container[RequestId] = (),
    pages: str = "",
) -> Drawing:
    """Draw the card of one request, or of a batch with a row for each.

    `run`: that of the first row. `runs`: all, with their threads' links, if the rows are of several. `away`: people who
    are not here. `unfiled`: requests whose file could not be uploaded. `pages` as for `card`.
    """
    if len(rows) == 1:
        filed = rows[0].id not in unfiled
        return card(rows[0], run=run, run_link=run_link, away=away, filed=filed, pages=pages)
    several = runs if runs and len(runs) > 1 else {}
    one_program = run.program is not None and {one.program for one, _ in several.values()} == {run.program}
    first, team = rows[0], quoted(run.team, 40) if one_program or not several else f"{len(several)} runs"
    thread_link = _link_to_thread(run_link)
    waiting = [row for row in rows if row.status is Status.PENDING]
    states = button_labels.count_states(rows)
    small = context() if several else _place(first, run, thread_link)
    small["elements"].append(mrkdwn(states))
    if lost := [str(number) for number, row in enumerate(rows, 1) if row.id in unfiled]:
        small["elements"].append(mrkdwn(f"{UNFILED} (row {', '.join(lost)})"))
    asked_for = _cut(button_labels.list_tools(rows)) + "?" * bool(waiting)
    blocks = [headline(team, asked_for), small]
    for number, row in enumerate(rows, 1):
        title, *rest = _row(number, row, several[row.run][0] if several else run, pages)
        rest = [about(block, f"{number}. {as_question(row.question)}") for block in rest]
        blocks += [{"type": "divider"}, title, *([_origin(row, *several[row.run])] if several else ()), *rest]
    if waiting:
        blocks += [{"type": "divider"}, *_shared_parts(waiting, away, one_program=one_program, pages=pages)]
    links = tuple(_link_to_thread(at) for _, at in several.values()) if several else (thread_link,)
    return Drawing(f"{escape(team)} · {escape(asked_for)} – {states}", blocks, links)


def _origin(request: Request, run: Run, run_link: str | None) -> Block:
    """Name the team, the requester and the thread of a row among other runs' rows."""
    place = _place(request, run, _link_to_thread(run_link))
    place["elements"] = [mrkdwn(f"*{escape(quoted(run.team, 40))}* · {place['elements'][0]['text']}")]
    return place


def _high_risk(request: Request) -> list[Block]:
    """Draw the high-risk warning, which comes first and says what people must do."""
    if Verb.APPROVE not in request.question.offers or not high_risk.is_asked(request, Verb.APPROVE):
        return []
    word = high_risk.word(request)
    if not word:
        return [words(button_labels.HIGH_RISK_OF_SEVERAL)]
    return [words(button_labels.HIGH_RISK.format(word=escape(in_words(word))))]


def _link_to_thread(run_link: str | None) -> str:
    """Link to the run's thread, if it exists; a card is never updated only for this."""
    return f" · {link(run_link, 'Thread')}" if run_link else ""


def _place(request: Request, run: Run, thread_link: str) -> Block:
    """Draw the requester, and the task unless the title says it already."""
    place = f"For {for_whom(request)} in {mention(request.channel)}{thread_link}"
    task = [] if run.task == request.question.title else [plain(f"Task: {typed(run.task)}", _TASK)]
    return context(mrkdwn(place), *task)


def _row(number: int, request: Request, run: Run, pages: str) -> list[Block]:
    title, question = f"{number}. {_cut(as_question(request.question))}", request.question
    line = in_line(question)
    blocks = [heading(title, f"\n{line}" if line else " "), *(() if line else in_row(question)[0])]
    if request.decision is None:
        if request.rules.quorum > 1:
            blocks.append(votes(request, most=_VOTERS))
        controls = _controls(request, whole=_is_whole_row(request), presence=False, pages=pages)
        return [*blocks, {"type": "actions", "block_id": f"decide {request.id}", "elements": controls}]
    settled = words(settled_line(request, request.decision, run))
    settled["accessory"] = _details_button(request)
    blocks = [
        heading(f"{number}. {_cut(as_matter(question))}", " "),
        settled,
        *_outcome_words(request, run),
        *standing_of(request, request.decision),
    ]
    if lines := [one for one in (changes_of(request), typed(request.decision.words)) if one.strip()]:
        blocks.append(data(_cut(one_line(one, 400), _WORDS) for one in lines))
    return blocks


def _details_button(request: Request) -> Block:
    return button("Details", control_values.VIEW_FULL, control_values.handle_of(request))


def _is_whole_row(request: Request) -> bool:
    """Tell whether a row shows all that is judged, the title too."""
    title = as_question(request.question)
    return in_row(request.question)[1] and _cut(title) == title


def is_plain_row(request: Request) -> bool:
    """Tell whether a row can be approved by the button for all rows."""
    return (
        Verb.APPROVE in request.question.offers
        and _is_whole_row(request)
        and not high_risk.is_asked(request, Verb.APPROVE)
        and request.rules.proof is Proof.SLACK
    )


def _shared_parts(waiting: Sequence[Request], away: Iterable[Absence], *, one_program: bool, pages: str) -> list[Block]:
    """Draw the shared parts of the rows, which have the same rules.

    One click decides only rows of one run or one program. Rows that need a proof are signed together on their run's
    page.
    """
    first = min(waiting, key=lambda row: (row.deadline is None, row.deadline or row.created_at))
    controls: list[Block] = []
    one_asker = one_program or len({row.run for row in waiting}) == 1
    if one_asker and len(waiting) > 1 and all(map(is_plain_row, waiting)):
        value = control_values.rows_value(waiting)
        for verb, action, style in _FOR_ALL:
            label = f"{verb} {len(waiting)}"
            controls.append({**button(label, action, value, style), "confirm": _confirmation(label, waiting)})
    one_run = len({row.run for row in waiting}) == 1
    if pages and one_run and len(waiting) > 1 and all(row.rules.proof is not Proof.SLACK for row in waiting):
        label = button_labels.with_proof(f"Approve {len(waiting)}", strictest(*(row.rules.proof for row in waiting)))
        url = f"{pages}/runs/{first.run}"
        controls.append(link_button(label, control_values.OPEN_PAGE, url, "primary"))
    menu = {"type": "overflow", "action_id": control_values.MORE, "options": control_values.presence_items(*waiting)}
    small = [*_deadline(first, away, _WORDS), *waiting_lines(first)]
    return [*small, {"type": "actions", "block_id": "all rows", "elements": [*controls, menu]}]


def _confirmation(label: str, rows: Sequence[Request]) -> dict[str, Any]:
    """List what one click decides."""
    most = _CONFIRMED // len(rows) - len("• \n")
    listed = "\n".join(f"• {quoted(row.question.title, most)}" for row in rows)
    return {
        "title": plain(f"{label}?", 100),
        "text": {"type": "plain_text", "text": listed, "emoji": False},
        "confirm": plain(label, 30),
        "deny": plain("Cancel", 30),
    }


def _cut(text: str, room: Room = _TITLE) -> str:
    beginning, hidden, _ = shorten(text, room)
    return beginning + "…" * bool(hidden)


def _controls(request: Request, *, whole: bool, presence: bool, pages: str) -> list[Block]:
    """Draw two buttons and the menu.

    `whole`: the card shows all that is judged. One click approves neither hidden content nor a high-risk request. An
    approval that needs a proof is a link to its page; a rejection is a click.
    """
    if request.rules.proof is not Proof.SLACK:
        return _controls_beside_a_page(request, presence=presence, pages=pages)
    value, question = control_values.handle_of(request), request.question
    answers = control_values.offered(question)
    shown, rest = answers[: control_values.BUTTONS], answers[control_values.BUTTONS :]
    buttons: list[Block] = []
    if shown and shown[0].verb is Verb.CHOOSE:
        choose = button(shown[0].label, control_values.CHOOSE, value, shown[0].style)
        buttons = control_values.option_buttons(question, choose, whole=whole)
        shown, rest = (shown[1:], rest) if len(buttons) == 1 else ([], [*shown[1:], *rest])
    for verb, label, style in shown:
        action = control_values.ACTIONS[verb]
        if verb is Verb.APPROVE and not (whole and not high_risk.is_asked(request, Verb.APPROVE)):
            action, label = control_values.REVIEW, "Review…" if label == "Approve" else f"{label}…"
        buttons.append(button(label, action, value, style))
    return [*buttons, control_values.menu(request, rest, presence=presence)]


def _controls_beside_a_page(request: Request, *, presence: bool, pages: str) -> list[Block]:
    """Draw a link to the approval page, and the buttons that decide by a click."""
    proved, clicked = control_values.provable(request)
    shown, rest = clicked[: control_values.BUTTONS - 1], clicked[control_values.BUTTONS - 1 :]
    handle = control_values.handle_of(request)
    buttons = [button(one.label, control_values.ACTIONS[one.verb], handle, one.style) for one in shown]
    if pages and proved:
        label = button_labels.with_proof(proved[0].label, request.rules.proof)
        url = control_values.page_of(request, pages)
        buttons.insert(0, link_button(label, control_values.OPEN_PAGE, url, "primary"))
    return [*buttons, control_values.menu(request, rest, presence=presence)]


def _outcome_words(request: Request, run: Run) -> list[Block]:
    """Draw the outcome's text as data, on one line.

    The team's label for a success needs no text.
    """
    one = reported(request, run)
    if one is None or not one.words.strip() or (one.done and not one.failed) or one.done == NOT_DONE:
        return []
    return [context(plain(typed(one.words), 300))]


def _deadline(request: Request, away: Iterable[Absence], room: Room | None = None) -> list[Block]:
    """Draw the deadline, its consequence, and the deciders.

    `room`: for the rule's text.
    """
    requester = " · the requester can decide too" if request.rules.own_requests else ""
    if may_break_glass(request) and Verb.APPROVE in request.question.offers:
        requester += " · in an emergency, the requester alone, with a reason"
    reviewers = f"Reviewers: {named(deciders(request), stand_ins(request, away))}{requester}"
    proof, why = _proof_needed(request), policy_rule(request)
    if room is not None:
        why = [plain(_cut(one["text"], room), 300) for one in why]
    if approved_by_timeout(request):
        return [words(f":warning: {expiry(request)}"), context(mrkdwn(reviewers), *proof, *why)]
    return [context(mrkdwn(f"{expiry(request)} · {reviewers}"), *proof, *why)]


def _proof_needed(request: Request) -> list[Block]:
    """Name the proof that an approval needs, if a click is not enough."""
    needed = button_labels.NEEDS_PROOF.get(request.rules.proof)
    return [] if needed is None else [mrkdwn(needed)]


def _addressed(request: Request, run_link: str | None) -> list[Block]:
    """Name the person asked in a conversation, and how they answer.

    `run_link` leads to a thread whose replies Slack sends to the app; None if it sends none.
    """
    reply = f" or reply in {link(run_link, 'the thread')}; a reply counts once this card shows it" if run_link else ""
    how = f"{mention(request.requester)}, answer with a button{reply}"
    return [context(mrkdwn(f"{how} · {expiry(request)}"), *_proof_needed(request), *policy_rule(request))]


def _outcome(request: Request, decision: Decision, run: Run, details_button: Block) -> list[Block]:
    settled = words(settled_line(request, decision, run))
    settled["accessory"] = details_button
    blocks = [settled, *_outcome_words(request, run), *details(request, decision)]
    if request.rules.quorum > 1 and not (decision.outcome is Status.EXPIRED and request.votes):  # the line counts them
        blocks.append(votes(request))
    return blocks
