"""Slack's own marks: mentions, dates, links; nothing else writes them (R15, R27)."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from countersign.domain.attempt_refusals import Sentence
from countersign.domain.errors import in_utc, plain_text
from countersign.domain.ids import ChannelId, GroupId, UserId, digest_of

_MADE_BY_SLACK: Final = re.compile(r"<([^<>|\s]+)(?:\|([^<>|]*))?>")
"""A mention or a link: typed `<` and `>` arrive escaped."""
_OURS: Final = re.compile(r":(?P<emoji>[a-z0-9_]+):|\*(?P<bold>[^*]+)\*|<(?P<mark>[^<>]+)>")
_STYLES: Final = re.compile(r"[*_~`:]")
"""Begin bold, italic, struck or code, or an emoji."""
_MENTIONS: Final = {"@": "user", "!subteam^": "usergroup", "#": "channel"}
_SOON: Final = timedelta(hours=12)
_WITH_DATE: Final = "\u200b{date_short_pretty} at {time}"
"""Slack would begin it with a capital, "Tomorrow", if no character of no width stood before it."""
_EXACT: Final = 300
"""Characters of a tool's exact name; a digest tells longer ones apart."""
_SIMPLE: Final = re.compile(r"[A-Za-z0-9_.:/-]+")
NAMED: Final = 12
"""How many people a message names; the others are counted."""
_MENTIONED: Final = (UserId, GroupId, ChannelId)


def escape(text: str) -> str:
    """Escape Slack's three control characters for mrkdwn."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    """Restore what a person typed, from Slack's form of it in a command.

    `<@U012|bob>` was @bob, `<https://…>` an address. An id that comes without a name stays as Slack wrote it.
    """
    return _without_entities(_MADE_BY_SLACK.sub(_as_typed, text))


def _without_entities(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def unstyled(words: str) -> str:
    """Escape a few words of a team, without marks of style, which mrkdwn can't quote."""
    return escape(" ".join(_STYLES.sub(" ", words).split()))


def mention(name: str) -> str:
    """Mention a user, user group or channel; another id mentions nobody."""
    if UserId.named(name) is not None:
        return f"<@{name}>"
    if GroupId.named(name) is not None:
        return f"<!subteam^{name}>" if name.startswith("S") else f"<#{name}>"
    return "(unknown)"


def people(users: Iterable[UserId]) -> str:
    """Mention the people; many are counted."""
    return listed([mention(u) for u in users])


def listed(names: list[str], most: int = NAMED) -> str:
    """Write at most this many names; the others are counted."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def when(at: datetime, since: datetime | None = None) -> str:
    """Say when: "at 9:00 AM", "tomorrow at 9:00 AM"; else as `moment`."""
    if _is_soon(at, since):
        return f"at {moment(at, since)}"
    return _date(at, _WITH_DATE, plain_text((at,)))


def moment(at: datetime, since: datetime | None = None) -> str:
    """Show a moment, to follow "until" or "since": "9:00 AM", "tomorrow at 9:00 AM".

    It is in the reader's own zone, in UTC where Slack cannot. A moment soon after `since`, at which the message it
    stands in was sent, needs no date.
    """
    return _date(at, "{time}" if _is_soon(at, since) else _WITH_DATE, in_utc(at))


def _is_soon(at: datetime, since: datetime | None) -> bool:
    return since is not None and abs(at - since) < _SOON


def _date(at: datetime, form: str, fallback: str) -> str:
    return f"<!date^{int(at.timestamp())}^{form}|{fallback}>"


def exactly(tool: str) -> str:
    """Write a tool's name so that no two look the same, to stand in code.

    Other than `in_words`, which reads `a_b` and `a-b` as one.
    """
    name = tool if _SIMPLE.fullmatch(tool) else json.dumps(tool).replace("`", "\\u0060")
    return name if len(name) <= _EXACT else f"{name[:_EXACT]}… ({digest_of(tool)[:12]})"


def link(url: str, label: str) -> str:
    """Link to an address; `label` is our own word."""
    return f"<{url.replace('&', '&amp;').replace('|', '%7C').replace('<', '%3C').replace('>', '%3E')}|{label}>"


def elements(text: str) -> list[dict[str, Any]]:
    """Turn mrkdwn of our own into elements of rich text, in which no other text acts."""
    found, end = list[dict[str, Any]](), 0
    for match in _OURS.finditer(text):
        if match.start() > end:
            found.append(_text(text[end : match.start()]))
        found.append(_element(match))
        end = match.end()
    return found + ([_text(text[end:])] if text[end:] else [])


def _text(escaped: str) -> dict[str, Any]:
    return {"type": "text", "text": _without_entities(escaped)}


def _element(match: re.Match[str]) -> dict[str, Any]:
    if match["emoji"]:
        return {"type": "emoji", "name": match["emoji"]}
    if match["bold"]:
        return {**_text(match["bold"]), "style": {"bold": True}}
    mark, _, label = match["mark"].partition("|")
    if mark.startswith("!date^"):
        _, at, form = mark.split("^")
        return {"type": "date", "timestamp": int(at), "format": form, "fallback": label}
    for sign, kind in _MENTIONS.items():
        if mark.startswith(sign):
            return {"type": kind, f"{kind}_id": mark.removeprefix(sign)}
    return {"type": "link", "url": _without_entities(mark), "text": label or mark}


def written(element: dict[str, Any]) -> str:
    """Write an element of rich text in mrkdwn, on one line: `elements` reversed."""
    match element["type"]:
        case "user" | "usergroup" | "channel" as kind:
            return mention(element[f"{kind}_id"])
        case "emoji":
            return f":{element['name']}:"
        case "date":
            at = datetime.fromtimestamp(element["timestamp"], UTC)
            return _date(at, element["format"], element["fallback"])
        case "text" | "link":
            return escape(joined(element.get("text") or ""))
        case "rich_text_list":
            return " / ".join(map(written, element["elements"]))
    return "".join(map(written, element.get("elements", ())))


def joined(text: str) -> str:
    """Join the lines of a text, and keep the blanks at its ends."""
    return re.sub(r"(?<=\S)\s*\n\s*(?=\S)", " / ", text).replace("\n", " ")


def drawn(sentence: Sentence) -> str:
    """Write a sentence in mrkdwn, with mentions, dates and escaped words."""
    return "".join(
        when(part) if isinstance(part, datetime) else mention(part) if isinstance(part, _MENTIONED) else escape(part)
        for part in sentence
    )


def mentioned_in(sentence: Sentence) -> list[str]:
    """Return the ids that `drawn` mentions, each once."""
    return sorted({part for part in sentence if isinstance(part, _MENTIONED)})


def without_marks(sentence: Sentence, names: Mapping[str, str]) -> str:
    """Write a sentence in plain text, with `names` for the ids of `mentioned_in`."""
    return plain_text(
        tuple(names.get(part, part) if isinstance(part, _MENTIONED) else part for part in sentence)
    ).replace("`", "")


def _as_typed(match: re.Match[str]) -> str:
    mark, name = match[1], match[2] or ""
    if mark[0] in "@#":
        return f"{mark[0]}{name}" if name else f"<{mark}>"
    if mark[0] == "!":  # of a group the name has its @ already
        if not name and "^" in mark:
            return f"<{mark}>"
        return f"@{(name or mark[1:]).removeprefix('@')}"
    address = mark.removeprefix("mailto:")
    return address if not name or name == address else name if mark.endswith(f"//{name}") else f"{name} ({address})"
