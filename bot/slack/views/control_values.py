"""Buttons and menus of a card, and the values that they carry: build and parse.

Items of a menu carry less than a button: Slack takes 150 characters, and a card has little room besides its content.
The text of an option of a choice is data: a button carries its number, and a digest of the options (R1, R13).
"""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from countersign.domain import schedule, standing_permissions
from countersign.domain.eligibility import may_break_glass
from countersign.domain.ids import ChannelId, Digest, RequestId
from countersign.domain.proof import Proof
from countersign.domain.requests import Kind, Question, Request, Verb, approves
from countersign.domain.schedule import Snooze
from countersign.text.safe_text import one_line, visible

from .block_kit import Block, button, plain
from .button_labels import Button, wording_of

APPROVE: Final = "decide_approve"
REJECT: Final = "decide_reject"
RESPOND: Final = "decide_respond"
EDIT: Final = "decide_edit"
CHOOSE: Final = "decide_choose"
"""The action of the button that opens the window; those of options have their number behind it."""
REVIEW: Final = "review_request"
VIEW_FULL: Final = "view_full"
MORE: Final = "more"
APPROVE_ALL: Final = "decide_approve_all"
REJECT_ALL: Final = "decide_reject_all"
OPEN_PAGE: Final = "open_page"
"""The action of a link to a request's page."""
BUTTONS: Final = 2
"""Buttons beside the menu: as many as fit in one row on a phone."""
LONGEST_OPTION: Final = 75
"""Characters of the label of an option, with its number."""
_MOST_ITEMS: Final = 5
_LONGEST_ITEM: Final = 150
"""Slack's limits for a menu of a message."""
_LONGEST_VALUE: Final = 2000
_OPTION_BUTTONS: Final = 2
_IN_A_ROW: Final = 22
"""Total columns of option labels that fit beside the menu on a phone of 390 pixels."""
_LOOK: Final = "look"
ACTIONS: Final = {
    Verb.APPROVE: APPROVE,
    Verb.REJECT: REJECT,
    Verb.RESPOND: RESPOND,
    Verb.EDIT: EDIT,
    Verb.CHOOSE: CHOOSE,
}
"""The action of each verb's button; that of Approve decides, and the others open a window."""


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


def handle_of(request: Request) -> str:
    """Write the value of a button about this request as it is shown."""
    return Handle(request.id, request.digest).write()


def metadata(request: Request, channel: ChannelId, **more: object) -> str:
    """Write a modal's metadata: its request, the channel of the click, and `more`."""
    return json.dumps({**Handle(request.id, request.digest)._asdict(), "channel": channel, **more})


def rows_value(rows: Iterable[Request]) -> str:
    """Write the value of a button for all rows; each id is made of its row's digest."""
    return " ".join(row.id for row in rows)


def rows_in(value: str) -> tuple[RequestId, ...]:
    """Read the rows of such a button; empty if it is not ours."""
    names = [RequestId.named(one) for one in value.split(" ")] if len(value) <= _LONGEST_VALUE else []
    rows = tuple(name for name in names if name is not None)
    return rows if len(rows) == len(names) == len(set(rows)) else ()


def offered(question: Question) -> list[Button]:
    """List the buttons with which the question can be answered."""
    return [one for one in wording_of(question).buttons if one.verb in question.offers]


def provable(request: Request) -> tuple[list[Button], list[Button]]:
    """Split the buttons: answers that are proved on a page, and answers by a click."""
    buttons = offered(request.question)
    proved = [one for one in buttons if approves(request.question, one.verb)]
    return proved, [one for one in buttons if one not in proved]


def page_of(request: Request, pages: str) -> str:
    """Return the address of the request's page."""
    return f"{pages}/requests/{request.id}"


def option_buttons(question: Question, choose: Block, *, whole: bool) -> list[Block]:
    """Draw a button for each option, or `choose`, which opens the modal.

    Each carries its number too. `whole`: the card shows all that is judged.
    """
    if not (whole and options_are_buttons(question)):
        return [choose]
    handle = json.loads(choose["value"])
    return [
        button(option, f"{CHOOSE}_{number}", json.dumps({**handle, "option": number}))
        for number, option in enumerate(question.options)
    ]


def option_number(value: str) -> int | None:
    """Read the number of the option on a button.

    None if the button opens the modal, -1 if it is not ours.
    """
    try:
        number = json.loads(value).get("option")
    except (ValueError, AttributeError):
        return -1
    return number if number is None or (isinstance(number, int) and not isinstance(number, bool)) else -1


def options_are_buttons(question: Question) -> bool:
    """Tell whether the options are few, short, and distinct from all our buttons."""
    names = [option.strip().casefold() for option in question.options]
    ours = {b.label.casefold() for b in wording_of(question).buttons} | {"details"}
    return (
        not question.several
        and 0 < len(names) <= _OPTION_BUTTONS
        and len(set(names)) == len(names)
        and not ours & set(names)
        and all(names)
        and not any(map(is_cut, question.options))
        and sum(map(_columns, question.options)) <= _IN_A_ROW
    )


def _columns(text: str) -> int:
    """Count the columns of a line; letters of Chinese and Japanese take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def is_cut(option: str) -> bool:
    """Tell whether a label would not show the option as it is, with its number."""
    return visible(option) != option or one_line(f"100. {option}", LONGEST_OPTION) != f"100. {option}"


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
    """The item that opens a window with the items that do not fit."""


_ITEM_OF: Final = {
    Verb.REJECT: MenuItem.REJECT,
    Verb.RESPOND: MenuItem.RESPOND,
    Verb.APPROVE: MenuItem.APPROVE,
    Verb.EDIT: MenuItem.EDIT,
}


def menu(request: Request, rest: Sequence[Button], *, presence: bool) -> Block:
    """Draw the menu: the answers that have no button (`rest`) first.

    Slack takes five items; the last one opens a window with the others. `presence`: a card of one request, which has
    no menu for all rows.
    """
    items = _items(request, rest, presence=presence)
    if len(items) > _MOST_ITEMS:
        value = item_value(MenuItem.MORE, request.id, request.digest if presence else None)
        items = [*items[: _MOST_ITEMS - 1], {"text": plain("More…"), "value": value}]
    return {"type": "overflow", "action_id": MORE, "options": items}


def items_without_room(request: Request) -> list[Block]:
    """List the items that do not fit in a card's menu."""
    if request.rules.proof is not Proof.SLACK:
        return _items(request, provable(request)[1][BUTTONS - 1 :], presence=True)[_MOST_ITEMS - 1 :]
    # The menu of a choice is full only if its two options are its buttons; all answers but "Choose" are in it then.
    with_buttons = 1 if request.question.kind is Kind.CHOICE else BUTTONS
    return _items(request, offered(request.question)[with_buttons:], presence=True)[_MOST_ITEMS - 1 :]


def _items(request: Request, rest: Sequence[Button], *, presence: bool) -> list[Block]:
    items = [(_ITEM_OF[one.verb], f"{one.label}…") for one in rest]
    items.append((MenuItem.VIEW_FULL, "Details"))
    # Approvals that need a proof are on the request's page.
    deciding = Verb.APPROVE in request.question.offers and request.rules.proof is Proof.SLACK
    if deciding and standing_permissions.why_not(request) is None:
        items.append((MenuItem.PERMIT, "Approve and don't ask again…"))
    digest = request.digest if presence else None
    drawn = [{"text": plain(label), "value": item_value(item, request.id, digest)} for item, label in items]
    drawn += presence_items(request) if presence else []
    if deciding and may_break_glass(request):
        value = item_value(MenuItem.BREAK_GLASS, request.id, digest)
        drawn.append({"text": plain("Break glass…"), "value": value})
    return drawn


def item_value(item: MenuItem, request: RequestId, digest: Digest | None = None) -> str:
    """Write the value of an item of a menu.

    A batch has no room for the digest. Each item opens a window, which binds the content that it shows, and the id is
    made of the digest already.
    """
    return f"{item} {request} {digest}" if digest else f"{item} {request}"


def read_item(value: str) -> tuple[MenuItem, RequestId, Digest | None] | None:
    """Read the item, its request, and the digest of the card; None if it is not ours."""
    item, name, shown = (*value.split(" "), "", "")[:3]
    request, digest = RequestId.named(name), Digest.named(shown) if shown else None
    if item not in tuple(MenuItem) or request is None or (shown and digest is None):
        return None
    return None if value.count(" ") > 2 else (MenuItem(item), request, digest)


class PresenceItem(NamedTuple):
    """Menu item about its own request, or about all pending requests of its card (R1).

    `snooze` is None for "I'm reviewing this".
    """

    requests: tuple[RequestId, ...]
    snooze: Snooze | None = None

    def write(self) -> str:
        """Write the value of the item."""
        return " ".join([self.snooze or _LOOK, *self.requests])

    @classmethod
    def read(cls, value: str) -> "PresenceItem | None":
        """Read the value; None if it is not ours."""
        item, *requests = value.split(" ")
        if not requests or len(value) > _LONGEST_ITEM or item not in (_LOOK, *Snooze):
            return None
        names = tuple(name for one in requests if (name := RequestId.named(one)) is not None)
        return cls(names, None if item == _LOOK else Snooze(item)) if len(names) == len(requests) else None


def presence_items(request: Request, *others: Request) -> list[Block]:
    """Offer to say that one reviews it, and reminders later if there are any.

    `others` wait on the same card, by the same rules.
    """
    ids = tuple(one.id for one in (request, *others))
    items = [{"text": plain("I'm reviewing this"), "value": PresenceItem(ids).write()}]
    if request.rules.in_thread:  # nobody else could
        items = []
    if request.rules.remind_after:
        zone = request.rules.quiet.zone.replace("_", " ")
        for label, snooze in (("Remind in 1 hour", Snooze.HOUR), (f"Remind tomorrow at 9:00 ({zone})", Snooze.MORNING)):
            if any(schedule.has_time_for(one, snooze) for one in (request, *others)):
                items.append({"text": plain(label), "value": PresenceItem(ids, snooze).write()})
    return items
