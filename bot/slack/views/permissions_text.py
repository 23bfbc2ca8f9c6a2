"""Standing permissions of a channel: their list, and their end (R24)."""

from collections.abc import Sequence
from typing import Final

from countersign.domain.ids import UserId
from countersign.domain.permissions import Permission

from .block_kit import Drawing, button, fitting, words
from .decision_details import allows, permission_line
from .lists_text import more
from .slack_markup import mention

REVOKE: Final = "revoke_permission"
HELP: Final = "*`/approvals permissions`* lists standing permissions, and revokes them"
_NONE: Final = "No standing permissions here. People are asked each time."
_LISTED: Final = 20


def permission_list(found: Sequence[Permission]) -> Drawing:
    """List permissions in force, the first to end first, each with Revoke."""
    if not found:
        return Drawing(_NONE, [])
    many = len(found)
    head = f"{many} standing permission{'s' if many > 1 else ''}"
    lines = [
        [{**words(permission_line(one)), "accessory": button("Revoke", REVOKE, one.id)}] for one in found[:_LISTED]
    ]
    blocks, shown = fitting(head, lines)
    return Drawing(head, [*blocks, more(many - shown)] if many > shown else blocks)


def revoked(ended: Permission, by: UserId) -> str:
    """Say who revoked what, and what it means."""
    return (
        f"{mention(by)} revoked {mention(ended.by)}'s permission for {allows(ended.scope, ended.kind, ended.tool)}. "
        "People are asked again from now on. What it already allowed is not undone."
    )
