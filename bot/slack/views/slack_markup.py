"""Slack's own marks: mentions, dates, links; nothing else writes them (R15, R27)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from countersign.domain.errors import plain_text
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.refusals import Sentence

_MENTIONED: Final = (UserId, GroupId, ChannelId)


def escape(text: str) -> str:
    """Make text safe inside mrkdwn: Slack's three control characters as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mention(name: str) -> str:
    """Mention a user, user group or channel by its id; what is no such id mentions nobody."""
    if UserId.named(name) is not None:
        return f"<@{name}>"
    if GroupId.named(name) is not None:
        return f"<!subteam^{name}>" if name.startswith("S") else f"<#{name}>"
    return "(unknown)"


def when(at: datetime) -> str:
    """Show a moment in the reader's own zone, in UTC where Slack cannot."""
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time_secs}}|{plain_text((at,))}>"


def link(url: str, label: str) -> str:
    """Link to an address; `label` is our own word."""
    return f"<{url.replace('&', '&amp;').replace('|', '%7C').replace('<', '%3C').replace('>', '%3E')}|{label}>"


def drawn(sentence: Sentence) -> str:
    """Draw a sentence in mrkdwn: its ids as mentions, its moments as dates, its words escaped."""
    return "".join(
        when(part) if isinstance(part, datetime) else mention(part) if isinstance(part, _MENTIONED) else escape(part)
        for part in sentence
    )


def mentioned_in(sentence: Sentence) -> list[str]:
    """Return the ids that `drawn` mentions, each once."""
    return sorted({part for part in sentence if isinstance(part, _MENTIONED)})


def without_marks(sentence: Sentence, names: Mapping[str, str]) -> str:
    """Write a sentence where Slack shows plain text only; `names` are those of `mentioned_in`."""
    return plain_text(
        tuple(names.get(part, part) if isinstance(part, _MENTIONED) else part for part in sentence)
    ).replace("`", "")
