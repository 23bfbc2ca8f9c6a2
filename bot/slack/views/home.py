"""Draw a person's Home, and lists in channels, from stored values.

A Home has at most 100 blocks and 250 kB. People do not decide here: a line does not show a whole request, and *Review*
opens the window that does (R13).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.eligibility import deciders
from countersign.domain.ids import GroupId, UserId
from countersign.domain.people import those_of
from countersign.domain.question_salts import asker
from countersign.domain.requests import Request, Verb
from countersign.domain.runs import Run
from countersign.domain.slash_commands import NAMES
from countersign.domain.standing_permissions import Permission
from countersign.text.safe_text import quoted, size_of, typed
from countersign.usecases.overview import Listed

from . import control_values
from .block_kit import Block, button, context, count, data, headline, more_entries, mrkdwn, plain, words
from .button_labels import START_TASK, STOP_RUN, card_link_label, state_of
from .control_values import handle_of, offered
from .decision_details import permission_line
from .modal_parts import View, modal
from .request_text import (
    answer_of,
    as_question,
    beginning,
    expiry,
    for_whom,
    gist,
    named,
    run_state,
    settled_line,
    votes_so_far,
    why_failed,
)
from .slack_markup import drawn, escape, link, mention

WAITING: Final = "waiting_for_me"
"""The shortcut that opens the window of what waits, and that window."""
_NEVER_ASKED: Final = "You can't decide on any request here, so nothing waits for you."
MOST_WAITING: Final = 10
MOST_RUNS: Final = 6
MOST_RECENT: Final = 20
MOST_PERMISSIONS: Final = 6
_MOST_OPEN: Final = 2
"""Questions of one run that are shown."""
_TITLE: Final = 160
_WINDOWS: Final = {**control_values.ACTIONS, Verb.APPROVE: control_values.REVIEW}
"""The action that opens the window of each verb."""
_BLOCKS: Final = 100
_SIZE: Final = 200_000
"""Bytes; Slack takes 250 kB of a view, and does not document how it counts."""


def view(sections: Sequence[Sequence[Block]]) -> dict[str, Any]:
    """Draw the Home of one person; sections that do not fit at the end are left out.

    Pending requests come before the button that starts a task.
    """
    sections = sorted(sections, key=lambda section: not _is_asking(section))
    note = context(mrkdwn("This page updates for an hour after you open it. Reopen it to keep it current."))
    blocks: list[Block] = []
    for section in sections:
        blocks += [{"type": "divider"}, *section] if blocks and section else section
    cut = len(blocks) > _BLOCKS - 2
    blocks = blocks[: _BLOCKS - 2]
    size = size_of(blocks)
    while size > _SIZE:
        cut, size = True, size - size_of(blocks.pop())
    if cut:
        blocks.append(context(mrkdwn("Not everything fits on this page.")))
    return {"type": "home", "blocks": [*blocks, note]}


def _is_asking(section: Sequence[Block]) -> bool:
    buttons = [one for block in section if block["type"] == "actions" for one in block["elements"]]
    return any(one["text"]["text"] == "Review" for one in buttons)


def store_down() -> dict[str, Any]:
    """Draw a Home while the store cannot be read."""
    problem = ":warning: Countersign can't reach its database right now, so there is nothing to show. Nothing is lost."
    return {"type": "home", "blocks": [words(problem), context(mrkdwn("Reopen this page in a moment."))]}


def closed() -> dict[str, Any]:
    """Draw the Home of somebody of another workspace."""
    return {"type": "home", "blocks": [words(Refusal.OUTSIDER.value)]}


def start(*, first_time: bool) -> list[Block]:
    """Draw the button that starts a task.

    Somebody who has neither asked nor decided yet is welcomed.
    """
    actions: Block = {"type": "actions", "elements": [button("Start a task", START_TASK, "start", "primary")]}
    if not first_time:
        return [actions]
    return [
        _title("Welcome to Countersign"),
        words(
            "Teams of agents do the work, and people approve what matters.\n"
            "• *Start a task* for a team of agents. You follow it in a thread.\n"
            "• *Review* what agents ask you to approve: it waits here and in the approvals channel.\n"
            "• *Stop* a run at any time. What was not approved is not done."
        ),
        actions,
    ]


def waiting(
    listed: Listed, unknown: Sequence[GroupId] = (), *, known: bool = True, buttons: bool = True
) -> list[Block]:
    """Draw the requests that wait for this person.

    `unknown`: groups whose membership Slack did not tell. `known` is False if Slack did not describe the person.
    """
    blocks = [_title("Waiting for you", count(listed.total, listed.whole))]
    if not known:
        problem = "Slack didn't confirm whether you can decide, so nothing is listed. Reopen this page in a moment."
        return [*blocks, words(f":warning: {problem}")]
    if unknown:
        groups = ", ".join(drawn(those_of(group)) for group in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        missing = (
            f"Slack didn't confirm whether you are in {groups}{more}, so requests for those groups may be missing here."
        )
        blocks.append(words(f":warning: {missing} Reopen this page in a moment."))
    if not listed.requests:
        return [*blocks, context(mrkdwn("Nothing is waiting for you."))] if not unknown else blocks
    for request, (first, place) in zip(listed.requests, entries(listed), strict=True):
        text = " · ".join(element["text"] for element in place["elements"])
        blocks += [first, words(text)]
        if buttons:
            blocks.append({"type": "actions", "elements": _controls(request)})
    left = listed.total - len(listed.requests)
    return [*blocks, more_entries(left, listed.whole)] if left > 0 else blocks


def window(blocks: list[Block]) -> View:
    """Draw the shortcut's window with the requests that wait for a person."""
    return modal(WAITING, "Waiting for me", blocks or [context(mrkdwn(_NEVER_ASKED))], None, "{}")


def _controls(request: Request) -> list[Block]:
    """Draw the buttons that open the whole request or reject it."""
    answers, handle = offered(request.question), handle_of(request)
    controls = [button("Review", _WINDOWS[answers[0].verb], handle)]
    refusal = next((one for one in answers[1:] if one.verb is Verb.REJECT), None)
    return [*controls, button(f"{refusal.label}…", control_values.REJECT, handle)] if refusal else controls


def runs(in_progress: Sequence[tuple[Run, str, Listed]], total: int) -> list[Block]:
    """Draw this person's runs in progress, newest first, and what each waits for.

    Each has its thread's address, and its open requests; there are `total`.
    """
    blocks = [_title("Your runs", count(total))]
    if not in_progress:
        return [*blocks, context(mrkdwn("No runs in progress."))]
    for run, address, listed in in_progress:
        at = f" · {link(address, 'open the thread')}" if address else ""
        state = run_state(run, listed.requests, run.requester)
        line = words(f"{state} · *{escape(quoted(run.team, 40))}* in {mention(run.channel)}{at}")
        blocks.append({**line, "accessory": button("Stop", STOP_RUN, run.id)})
        blocks.append(context(plain(typed(run.task), 150)))
        for number, request in enumerate(listed.requests[:_MOST_OPEN], 1):
            card = listed.links.get(request.id)
            small = [] if request.rules.in_thread else [f"for {named(deciders(request))}"]
            small += [link(card, card_link_label(request))] if card else []
            small += (
                [f"and {len(listed.requests) - _MOST_OPEN} more"] if number == _MOST_OPEN < len(listed.requests) else []
            )
            title = plain(f"Waiting: {gist(request.question)}", _TITLE)
            blocks.append(context(title, *([mrkdwn(" · ".join(small))] if small else [])))
    if (more := total - len(in_progress)) > 0:
        blocks.append(context(mrkdwn(f"and {more:,} older; `{NAMES.agent} status` lists them")))
    return blocks


def run_entry(run: Run, address: str, listed: Listed, reader: UserId) -> list[Block]:
    """Draw a run's status, for a list in a channel.

    `address` is the address of its thread, or "".
    """
    return [words(_run_line(run, address, listed, reader)), context(plain(typed(run.task), 150))]


def _run_line(run: Run, address: str, listed: Listed, reader: UserId) -> str:
    team = escape(quoted(run.team, 40))
    asked = [request for request in listed.requests if request.run == run.id]
    if run.program is not None:
        state = state_of(run) if asked or run.over else ":ballot_box_with_check: Decided, no outcome reported yet"
        return f"{state} · the program *{team}*"
    state = run_state(run, asked, reader) + (f" ({len(run.open)} open)" if len(run.open) > 1 else "")
    name = f"`{run.id}`" + (f" {link(address, 'open the thread')}" if address else "")
    mine = [one for one in asked if one.rules.in_thread and run.requester == reader and one.id in listed.links]
    card = [link(listed.links[one.id], card_link_label(one)) for one in mine[:1]]
    return " · ".join([state, f"*{team}* for {mention(run.requester)}", name, *card])


def permissions(found: Sequence[Permission]) -> list[Block]:
    """Draw the permissions that this person gave, the first to end first.

    There are no buttons: a permission is revoked in its channel, where everybody concerned can list it.
    """
    if not found:
        return []
    blocks = [_title("Standing permissions", count(len(found)))]
    blocks += [words(permission_line(one, f" in {mention(one.channel)}")) for one in found[:MOST_PERMISSIONS]]
    more = f"and {len(found) - MOST_PERMISSIONS:,} more. " if len(found) > MOST_PERMISSIONS else ""
    return [*blocks, context(mrkdwn(f"{more}Revoke them with `{NAMES.approvals} permissions` in the channel."))]


def recent(listed: Listed, now: datetime) -> list[Block]:
    """Draw the newest decisions that concern this person."""
    blocks = [_title("Recent decisions")]
    if not listed.requests:
        return [*blocks, context(mrkdwn("No decisions yet on what you asked for or reviewed."))]
    return [*blocks, *outcomes(listed, now)]


def receipts(public_key: str) -> list[Block]:
    """Draw for admins the key that checks receipts, as PEM; nothing if none is signed."""
    if not public_key:
        return []
    how = (
        "Decision receipts are signed with Ed25519. To verify one offline, save this public key as `public.pem` and "
        "run `countersign audit check receipt.json --key public.pem`"
    )
    return [_title("For admins: decision receipts"), words(how), data([public_key])]


def entries(listed: Listed, *, reader: UserId | None = None, on_page: bool = False) -> list[list[Block]]:
    """Draw the requests in two blocks each: for whom, and until when.

    `reader`: of a list in a channel, which names all who are asked. `on_page`: each leads to its own page, and not to
    its card.
    """
    blocks = []
    for request in listed.requests:
        team = quoted(listed.teams.get(request.run, asker(request.question)), 40)
        card = listed.links.get(request.id)
        at = f" · {link(card, card_link_label(request))}" if card else "" if on_page else " · card not posted yet"
        votes = f" · {votes_so_far(request)}" if request.rules.quorum > 1 else ""
        by = f" · Reviewers: {named(deciders(request))}" if reader else ""
        if reader and request.rules.in_thread:
            by = f" · Waiting for {answer_of(request.requester, reader)}"
        place = f"For {for_whom(request)} in {mention(request.channel)}{votes}{by}{at}"
        first = headline(team, as_question(request.question), beginning(request.question))
        blocks.append([first, context(mrkdwn(place), mrkdwn(expiry(request)))])
    return blocks


def outcomes(listed: Listed, now: datetime) -> list[Block]:
    """Draw the decisions, a block each, with the date where it is not of today."""
    blocks = []
    for request in listed.requests:
        if request.decision is not None:
            card = listed.links.get(request.id)
            at = f" · {link(card, 'open')}" if card else ""
            run = listed.runs.get(request.run)
            line = f"{settled_line(request, request.decision, run, now)} · for {for_whom(request)}{at}"
            why, title = why_failed(request, run), gist(request.question)
            if request.decision.chosen:
                title += f" – {typed(', '.join(request.decision.chosen))}"
            blocks.append(context(plain(title, _TITLE), mrkdwn(line), *([plain(typed(why), _TITLE)] if why else ())))
    return blocks


def _title(text: str, number: str = "") -> Block:
    return {"type": "header", "text": plain(f"{text} ({number})" if number else text, 150)}
