"""A person's Home, and lists in channels: pure drawings of what the store holds.

A Home has at most 100 blocks and 250 kB. Nothing is decided here: a card shows all of what is asked, a line in a list
does not (R13).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from countersign.domain.delegation import deciders
from countersign.domain.grants import Permission
from countersign.domain.ids import GroupId, RequestId, RunId
from countersign.domain.people import those_of
from countersign.domain.questions import asker
from countersign.domain.requests import Request
from countersign.domain.runs import Run

from .block_kit import Block, button, context, data, fitting, heading, mrkdwn, plain, words
from .button_labels import STATES
from .request_text import asks, expiry, named, permission_line, sentence, so_far
from .safe_text import quoted, size_of, typed
from .slack_markup import drawn, escape, link, mention

REVOKE: Final = "revoke_permission"
_LISTED: Final = 20
MOST_WAITING: Final = 15
MOST_RUNS: Final = 6
MOST_RECENT: Final = 20
MOST_PERMISSIONS: Final = 6
_MOST_OPEN: Final = 2
"""Questions that are shown of one run."""
_TITLE: Final = 120
_BLOCKS: Final = 100
_SIZE: Final = 200_000
"""Bytes; Slack takes 250 kB of a view, counted in a way that it does not say."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Requests with the addresses of their cards, where they are known.

    `total` counts those that are not among them too; there are even more if not `whole`. `teams` are those that ask, by
    run; where one is not known its agent is named.
    """

    requests: Sequence[Request]
    links: Mapping[RequestId, str]
    total: int
    teams: Mapping[RunId, str] = field(default_factory=dict)
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Running:
    """Runs in progress, newest first, with their threads' addresses and open requests."""

    runs: Sequence[tuple[Run, str, Listed]]
    total: int


def view(sections: Sequence[Sequence[Block]]) -> dict[str, Any]:
    """Draw the Home of one person; sections that have no room at the end are left out."""
    note = context(mrkdwn("This page follows what happens for an hour after you opened it; open it again to go on."))
    blocks: list[Block] = []
    for section in sections:
        blocks += [{"type": "divider"}, *section] if blocks and section else section
    cut = len(blocks) > _BLOCKS - 2
    blocks = blocks[: _BLOCKS - 2]
    size = size_of(blocks)
    while size > _SIZE:
        cut, size = True, size - size_of(blocks.pop())
    if cut:
        blocks.append(context(mrkdwn("There is more, which has no room here.")))
    return {"type": "home", "blocks": [*blocks, note]}


def away() -> dict[str, Any]:
    """Draw a Home while the store cannot be read."""
    problem = ":warning: The store cannot be reached just now, so nothing can be shown. What was stored before is kept."
    return {"type": "home", "blocks": [words(problem), context(mrkdwn("Please open this page again in a moment."))]}


def waiting(listed: Listed, unknown: Sequence[GroupId] = (), *, known: bool = True) -> list[Block]:
    """Draw what waits for this person.

    `unknown`: groups of which Slack did not say whether they are in it. Not `known`: Slack did not say who they are.
    """
    blocks = [_title("Waiting for you", count(listed.total, listed.whole))]
    if not known:
        problem = "Slack did not say whether you may decide, so nothing is listed. Please open this page again."
        return [*blocks, words(f":warning: {problem}")]
    if unknown:
        groups = ", ".join(drawn(those_of(group)) for group in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        missing = f"Slack did not say whether you are in {groups}{more}, so what waits for them may be missing here."
        blocks.append(words(f":warning: {missing} Please open this page again in a moment."))
    if not listed.requests:
        return [*blocks, context(mrkdwn("Nothing waits for you."))] if not unknown else blocks
    for entry in entries(listed):
        blocks += entry
    return blocks + more_than(listed)


def runs(running: Running) -> list[Block]:
    """Draw this person's runs in progress, and what each waits for."""
    blocks = [_title("Your runs", count(running.total))]
    if not running.runs:
        how = "None goes on. `/agent <team> <task>` starts one, in a channel that the app is in."
        return [*blocks, context(mrkdwn(escape(how)))]
    for run, address, listed in running.runs:
        at = f" · {link(address, 'open the thread')}" if address else ""
        blocks.append(words(f"{STATES[run.status]} · *{escape(quoted(run.team, 40))}* in {mention(run.channel)}{at}"))
        blocks.append(context(plain(typed(run.task), 150), mrkdwn(f"`/agent stop {escape(run.id)}` ends it")))
        for number, request in enumerate(listed.requests[:_MOST_OPEN], 1):
            card = listed.links.get(request.id)
            small = f"for {named(deciders(request))}" + (f" · {link(card, 'open the card')}" if card else "")
            if number == _MOST_OPEN and len(listed.requests) > _MOST_OPEN:
                small += f" · and {len(listed.requests) - _MOST_OPEN} more"
            blocks.append(context(plain(f"Waits: {typed(request.question.title)}", _TITLE), mrkdwn(small)))
    if (more := running.total - len(running.runs)) > 0:
        blocks.append(context(mrkdwn(f"and {more:,} older ones; `/agent status` lists what you started")))
    return blocks


def permissions(found: Sequence[Permission]) -> list[Block]:
    """Draw what this person does not want to be asked again, the first to end first.

    There are no buttons: a permission is revoked where everybody whom it concerns can list it.
    """
    if not found:
        return []
    blocks = [_title("Not asked again", count(len(found)))]
    blocks += [words(permission_line(one, f" in {mention(one.channel)}")) for one in found[:MOST_PERMISSIONS]]
    more = f"and {len(found) - MOST_PERMISSIONS:,} that end later; " if len(found) > MOST_PERMISSIONS else ""
    return [*blocks, context(mrkdwn(f"{more}`/approvals permissions` in the channel revokes them"))]


def permission_list(found: Sequence[Permission]) -> tuple[str, list[Block]]:
    """Draw permissions in force, the first to end first, each with Revoke."""
    if not found:
        return "No standing permission is in force here; people are asked about everything that needs them.", []
    many = len(found)
    head = f"{many} standing permission{'s are' if many > 1 else ' is'} in force here"
    lines = [
        [{**words(permission_line(one)), "accessory": button("Revoke", REVOKE, one.id)}] for one in found[:_LISTED]
    ]
    blocks, shown = fitting(head, lines)
    if many > shown:
        blocks.append(context(plain(f"and {many - shown} that end later")))
    return head, blocks


def recent(listed: Listed) -> list[Block]:
    """Draw the newest decisions that concern this person."""
    blocks = [_title("Recent decisions")]
    if not listed.requests:
        return [*blocks, context(mrkdwn("None yet, of what you asked for or decided."))]
    return [*blocks, *outcomes(listed)]


def receipts(public_key: str) -> list[Block]:
    """Draw the key that receipts are checked with, PEM; nothing where none is signed."""
    if not public_key:
        return []
    how = (
        "Receipts of decisions are signed (Ed25519) with the key of which this is the public half. Who gets one saves "
        "this as `public.pem` and checks it off-line: `countersign audit check receipt.json --key public.pem`"
    )
    return [_title("Decision receipts"), words(how), data([public_key])]


def entries(listed: Listed, *, who: bool = False) -> list[list[Block]]:
    """Draw the requests in two blocks each: for whom, and until when.

    `who`: name the people who may decide, where that is not the reader.
    """
    blocks = []
    for request in listed.requests:
        team = quoted(listed.teams.get(request.run, asker(request.question)), 40)
        first, rest = asks(request.question, team, quoted(request.question.title, _TITLE))
        card = listed.links.get(request.id)
        at = f" · {link(card, 'open the card')}" if card else " · its card is not posted yet"
        votes = f" · {so_far(request)}" if request.rules.quorum > 1 else ""
        by = f" · may decide: {named(deciders(request))}" if who else ""
        place = f"For {mention(request.requester)} in {mention(request.channel)}{votes}{by}{at}"
        blocks.append([heading(first, rest), context(mrkdwn(place), mrkdwn(expiry(request)))])
    return blocks


def outcomes(listed: Listed) -> list[Block]:
    """Draw who decided what, when and how, a block each."""
    blocks = []
    for request in listed.requests:
        if request.decision is not None:
            card = listed.links.get(request.id)
            at = f" · {link(card, 'open')}" if card else ""
            line = f"{sentence(request, request.decision)} · for {mention(request.requester)}{at}"
            blocks.append(context(plain(typed(request.question.title), _TITLE), mrkdwn(line)))
    return blocks


def more_than(listed: Listed) -> list[Block]:
    """Say how many are not shown."""
    more = listed.total - len(listed.requests)
    return [context(mrkdwn(f"and {count(more, listed.whole)} more"))] if more > 0 else []


def count(total: int, whole: bool = True) -> str:
    """Write a number, "" for zero; `whole` is False if it was not counted to its end."""
    return "" if total == 0 else f"{total:,}" if whole else f"more than {total:,}"


def _title(text: str, number: str = "") -> Block:
    return {"type": "header", "text": plain(f"{text} ({number})" if number else text, 150)}
