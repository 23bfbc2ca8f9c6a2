"""Buttons and menus of a card, and what they carry: build and parse.

Options of a menu carry less than a button: Slack takes 150 characters, and a card has little room besides its content.
"""

import json
from enum import StrEnum
from typing import Final, NamedTuple

from countersign.domain import grants
from countersign.domain.decision_rules import may_break_glass
from countersign.domain.ids import ChannelId, Digest, RequestId
from countersign.domain.requests import Request, Verb
from countersign.domain.schedule import Snooze

from .block_kit import Block, plain

APPROVE: Final = "decide_approve"
REJECT: Final = "decide_reject"
RESPOND: Final = "decide_respond"
EDIT: Final = "decide_edit"
REVIEW: Final = "review_request"
VIEW_FULL: Final = "view_full"
MORE: Final = "more"
STAYS: Final = "Escalation and deadline stay as they are."
_LOOK: Final = "look"


class MenuItem(StrEnum):
    """Actions in the menu of a card. The last three have buttons on a card of one request."""

    PERMIT = "permit"
    BREAK_GLASS = "break_glass"
    EDIT = "edit"
    RESPOND = "respond"
    VIEW_FULL = "view_full"


def menu(request: Request) -> Block:
    """Draw the menu. Slack takes five options: two that decide, and three of `options` at most."""
    items = {}
    if Verb.APPROVE in request.question.offers:
        if grants.why_not(request) is None:
            items[MenuItem.PERMIT] = "Approve and don't ask again…"
        if may_break_glass(request):
            items[MenuItem.BREAK_GLASS] = "Break glass…"
    # Shorter than a button's JSON: Slack takes 150 characters, and a card has room for little besides what is judged.
    deciding = [{"text": plain(label), "value": f"{do} {request.id} {request.digest}"} for do, label in items.items()]
    return {"type": "overflow", "action_id": MORE, "options": [*deciding, *options(request)]}


def option(do: MenuItem, request: RequestId) -> str:
    """Write what an option of a row's menu carries.

    A batch has no room for the digest: each option opens a window that shows its content and binds that, and the id is
    made of the digest already.
    """
    return f"{do} {request}"


def chosen(value: str) -> tuple[MenuItem, RequestId, Digest | None] | None:
    """Read the item, its request, and the digest that was shown; None if the value is not ours."""
    do, name, shown = (*value.split(" "), "", "")[:3]
    request, digest = RequestId.named(name), Digest.named(shown) if shown else None
    if do not in tuple(MenuItem) or request is None or (shown and digest is None):
        return None
    return None if value.count(" ") > 2 else (MenuItem(do), request, digest)


class Chosen(NamedTuple):
    """The requests of a menu's option: its own, or all that wait on its card (R1).

    `snooze` is None for "I'm looking".
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
    """Offer "I'm looking", and snoozing where there are reminders.

    `others` wait on the same card, by the same rules.
    """
    ids = tuple(one.id for one in (request, *others))
    offered = [{"text": plain("I'm looking"), "value": Chosen(ids).write()}]
    if request.rules.remind_after:
        zone = request.rules.quiet.zone.replace("_", " ")
        for label, snooze in (("Snooze 1 h", Snooze.HOUR), (f"Snooze until tomorrow 9:00 ({zone})", Snooze.MORNING)):
            offered.append({"text": plain(label), "value": Chosen(ids, snooze).write()})
    return offered


class Handle(NamedTuple):
    """The request of a button (R1), and the digest of what was shown beside it."""

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
    """Write what a modal carries: its request, the channel of the click, and `more`."""
    return json.dumps({**Handle(request.id, request.digest)._asdict(), "channel": channel, **more})
