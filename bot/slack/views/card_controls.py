"""Buttons and menus of a card, and the values that they carry: build and parse.

Options of a menu carry less than a button: Slack takes 150 characters, and a card has little room besides its content.
"""

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from countersign.domain import permissions
from countersign.domain.eligibility import may_break_glass
from countersign.domain.ids import ChannelId, Digest, RequestId
from countersign.domain.requests import Kind, Request, Verb
from countersign.domain.schedule import Snooze

from .block_kit import Block, plain
from .button_labels import Button, of

APPROVE: Final = "decide_approve"
REJECT: Final = "decide_reject"
RESPOND: Final = "decide_respond"
EDIT: Final = "decide_edit"
REVIEW: Final = "review_request"
VIEW_FULL: Final = "view_full"
MORE: Final = "more"
APPROVE_ALL: Final = "decide_approve_all"
REJECT_ALL: Final = "decide_reject_all"
MOST: Final = 5
"""Options of a menu."""
BUTTONS: Final = 2
"""Besides the menu: what stands in one row on a phone."""
_LOOK: Final = "look"
_LONGEST_VALUE: Final = 2000


class MenuItem(StrEnum):
    """Actions in the menu of a card or a row; each opens a window."""

    REJECT = "reject"
    RESPOND = "respond"
    APPROVE = "approve"
    EDIT = "edit"
    VIEW_FULL = "view_full"
    PERMIT = "permit"
    BREAK_GLASS = "break_glass"
    MORE = "more"
    """The items that have no room in the menu."""


def further(request: Request) -> list[Block]:
    """List the options of a card's menu that have no room in it."""
    offered = [one for one in of(request.question).buttons if one.verb in request.question.offers]
    # Of a choice they are this many only where its two options have the buttons.
    with_buttons = 1 if request.question.kind is Kind.CHOICE else BUTTONS
    return _items(request, offered[with_buttons:], presence=True)[MOST - 1 :]


def _items(request: Request, rest: Sequence[Button], *, presence: bool) -> list[Block]:
    items = [(_FROM_THE_MENU[one.verb], f"{one.label}…") for one in rest]
    items.append((MenuItem.VIEW_FULL, "Details"))
    deciding = Verb.APPROVE in request.question.offers
    if deciding and permissions.why_not(request) is None:
        items.append((MenuItem.PERMIT, "Approve and don't ask again…"))
    digest = request.digest if presence else None
    made = [{"text": plain(label), "value": option(do, request.id, digest)} for do, label in items]
    made += options(request) if presence else []
    if deciding and may_break_glass(request):
        value = option(MenuItem.BREAK_GLASS, request.id, digest)
        made.append({"text": plain("Break glass…"), "value": value})
    return made


def menu(request: Request, rest: Sequence[Button], *, presence: bool) -> Block:
    """Draw the menu: the answers that have no button (`rest`) first.

    Slack takes five options; the last one opens a window with the others. `presence`: a card of one request, which has
    no menu for all rows.
    """
    items = _items(request, rest, presence=presence)
    if len(items) > MOST:
        value = option(MenuItem.MORE, request.id, request.digest if presence else None)
        items = [*items[: MOST - 1], {"text": plain("More…"), "value": value}]
    return {"type": "overflow", "action_id": MORE, "options": items}


def option(do: MenuItem, request: RequestId, digest: Digest | None = None) -> str:
    """Write the value of an option in a menu: Slack takes 150 characters.

    A batch has no room for the digest. Each option opens a window, which binds the content that it shows, and the id is
    made of the digest already.
    """
    return f"{do} {request} {digest}" if digest else f"{do} {request}"


def all_of(rows: Iterable[Request]) -> str:
    """Write the value of a button for all rows; each id is made of its row's digest."""
    return " ".join(row.id for row in rows)


def rows_of(value: str) -> tuple[RequestId, ...]:
    """Read the rows of such a button; empty if it is not ours."""
    names = [RequestId.named(one) for one in value.split(" ")] if len(value) <= _LONGEST_VALUE else []
    rows = tuple(name for name in names if name is not None)
    return rows if len(rows) == len(names) == len(set(rows)) else ()


def chosen(value: str) -> tuple[MenuItem, RequestId, Digest | None] | None:
    """Read the item, its request, and the digest of the card; None if it is not ours."""
    do, name, shown = (*value.split(" "), "", "")[:3]
    request, digest = RequestId.named(name), Digest.named(shown) if shown else None
    if do not in tuple(MenuItem) or request is None or (shown and digest is None):
        return None
    return None if value.count(" ") > 2 else (MenuItem(do), request, digest)


_FROM_THE_MENU: Final = {
    Verb.REJECT: MenuItem.REJECT,
    Verb.RESPOND: MenuItem.RESPOND,
    Verb.APPROVE: MenuItem.APPROVE,
    Verb.EDIT: MenuItem.EDIT,
}


class Chosen(NamedTuple):
    """Requests of a menu's option: its own, or all that wait on its card (R1).

    `snooze` is None for "I'm reviewing this".
    """

    requests: tuple[RequestId, ...]
    snooze: Snooze | None = None

    def write(self) -> str:
        """Write the value of the option."""
        return " ".join([self.snooze or _LOOK, *self.requests])

    @classmethod
    def read(cls, value: str) -> "Chosen | None":
        """Read the value; None if it is not ours."""
        item, *requests = value.split(" ")
        if not requests or len(value) > 150 or item not in (_LOOK, *Snooze):
            return None
        names = tuple(name for one in requests if (name := RequestId.named(one)) is not None)
        return cls(names, None if item == _LOOK else Snooze(item)) if len(names) == len(requests) else None


def options(request: Request, *others: Request) -> list[Block]:
    """Offer to say that one reviews it, and reminders later if there are any.

    `others` wait on the same card, by the same rules.
    """
    ids = tuple(one.id for one in (request, *others))
    offered = [{"text": plain("I'm reviewing this"), "value": Chosen(ids).write()}]
    if request.rules.in_thread:  # nobody else could
        offered = []
    if request.rules.remind_after:
        zone = request.rules.quiet.zone.replace("_", " ")
        for label, snooze in (("Remind in 1 hour", Snooze.HOUR), (f"Remind tomorrow at 9:00 ({zone})", Snooze.MORNING)):
            offered.append({"text": plain(label), "value": Chosen(ids, snooze).write()})
    return offered


class Handle(NamedTuple):
    """A button's request (R1), and the digest of the content shown beside it."""

    request: RequestId
    digest: Digest

    def write(self) -> str:
        """Write the value of the button."""
        return json.dumps({"request": self.request, "digest": self.digest})

    @classmethod
    def read(cls, value: str) -> "Handle | None":
        """Read the value; None if it is not ours."""
        try:
            raw = json.loads(value)
            request, digest = raw["request"], raw["digest"]
        except (ValueError, TypeError, KeyError):
            return None
        if not isinstance(request, str) or not isinstance(digest, str) or len(value) > 500:
            return None
        name, shown = RequestId.named(request), Digest.named(digest)
        return None if name is None or shown is None else cls(name, shown)


def carried(request: Request, channel: ChannelId, **more: object) -> str:
    """Write a modal's metadata: its request, the channel of the click, and `more`."""
    return json.dumps({**Handle(request.id, request.digest)._asdict(), "channel": channel, **more})
