"""Slack's own marks in our sentences: mentions and links. Nothing else writes a `<` that Slack reads (R15, R27)."""

import re
from typing import Final

from countersign.domain.ids import GroupId, UserId

MENTION: Final = re.compile(r"<(?:[@#]|!subteam\^)([A-Z0-9]+)>")
"""What `mention` draws; the group is the id."""
DATE: Final = re.compile(r"<!date\^[^|>]*\|([^>]*)>")
"""What `countersign.domain.slack_dates` draws; the group is what is shown where Slack cannot."""


def escape(text: str) -> str:
    """Safe inside mrkdwn: Slack's three control characters as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mention(name: str) -> str:
    """The mention of a user, user group or channel by its id; what is no such id mentions nobody."""
    if UserId.named(name) is not None:
        return f"<@{name}>"
    if GroupId.named(name) is not None:
        return f"<!subteam^{name}>" if name.startswith("S") else f"<#{name}>"
    return "(unknown)"


def link(url: str, label: str) -> str:
    """A link of ours; `label` is our own word."""
    return f"<{url.replace('&', '&amp;').replace('|', '%7C').replace('<', '%3C').replace('>', '%3E')}|{label}>"
