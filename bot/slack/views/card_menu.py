"""The menu beside a card's buttons: what is wanted rarely. Ids, build and parse stand together."""

from typing import Final

from countersign.domain import grants
from countersign.domain.decision_rules import may_break_glass
from countersign.domain.ids import Digest, RequestId
from countersign.domain.requests import Request, Verb

from . import pending_state
from .block_kit import Block, plain

MORE: Final = "more"
PERMIT: Final = "permit"
BREAK_GLASS: Final = "break_glass"
EDIT: Final = "edit"
RESPOND: Final = "respond"
VIEW_FULL: Final = "view_full"
"""These three are buttons on a card of one request, and in the menu of a row."""
_OF_A_ROW: Final = frozenset({PERMIT, BREAK_GLASS, EDIT, RESPOND, VIEW_FULL})


def menu(request: Request) -> Block:
    """The element for the card's actions. Slack takes five options: what decides, and three of `meanwhile` at most."""
    items = {}
    if Verb.APPROVE in request.question.offers:
        if grants.why_not(request) is None:
            items[PERMIT] = "Approve and don't ask again…"
        if may_break_glass(request):
            items[BREAK_GLASS] = "Break glass…"
    # Shorter than a button's JSON: Slack takes 150 characters, and a card has room for little besides what is judged.
    deciding = [{"text": plain(label), "value": f"{do} {request.id} {request.digest}"} for do, label in items.items()]
    return {"type": "overflow", "action_id": MORE, "options": [*deciding, *pending_state.options(request)]}


def option(do: str, request: RequestId) -> str:
    """What an option of a row's menu carries. No digest, for which a burst's card has no room: each opens a window
    that shows what it is about and binds that, and the id is made of the digest already."""
    return f"{do} {request}"


def chosen(value: str) -> tuple[str, RequestId, Digest | None] | None:
    """What was chosen, and of which request as it was shown; None if it is nothing that we wrote."""
    parts = value.split(" ")
    if len(parts) == 2 and parts[0] in _OF_A_ROW:
        request = RequestId.named(parts[1])
        return None if request is None else (parts[0], request, None)
    if len(parts) != 3:
        return None
    request, digest = RequestId.named(parts[1]), Digest.named(parts[2])
    return None if request is None or digest is None else (parts[0], request, digest)
