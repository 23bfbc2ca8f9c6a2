"""Draw cards and windows as HTML, from the same blocks that Slack shows.

Only blocks made by `bot.slack.views` are drawn. All text goes through Jinja's autoescape, so no markup in it takes
effect.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from countersign.domain.attempt_refusals import Sentence

from ..slack.people.users_and_groups import Directory
from ..slack.views.block_kit import Block
from ..slack.views.slack_markup import drawn, elements

EMOJI: Final = {
    "alarm_clock": "⏰",
    "arrow_forward": "▶️",
    "arrow_up": "⬆️",
    "ballot_box_with_check": "☑️",
    "bell": "🔔",
    "checkered_flag": "🏁",
    "eyes": "👀",
    "gear": "⚙️",
    "hourglass_flowing_sand": "⏳",
    "leftwards_arrow_with_hook": "↩️",
    "lock": "🔒",
    "memo": "📝",
    "no_entry": "⛔",
    "octagonal_sign": "🛑",
    "pencil2": "✏️",
    "repeat": "🔁",
    "rotating_light": "🚨",
    "speech_balloon": "💬",
    "unlock": "🔓",
    "warning": "⚠️",
    "wave": "👋",
    "white_check_mark": "✅",
    "x": "❌",
}
"""The emoji that our views name."""
_STYLED: Final = re.compile(r"`(?P<code>[^`\n]+)`|(?<!\w)_(?P<italic>[^_\n]+)_(?!\w)")
_IDS: Final = {"user": "user_id", "usergroup": "usergroup_id", "channel": "channel_id"}


class TextPart(NamedTuple):
    """A piece of a line: text, bold, code, italic, emoji, name, time or link."""

    kind: str
    text: str
    more: str = ""


class Node(NamedTuple):
    """A block: a heading, line, paragraph, small print, literal text, or a rule."""

    kind: str
    parts: tuple[TextPart, ...] = ()


Names = dict[str, str]
"""The names of people, groups and channels by their ids."""


def nodes(blocks: Iterable[Block]) -> list[Node]:
    """Read blocks without buttons and inputs: a page has forms of its own."""
    return [node for block in blocks for node in _nodes(block)]


def _nodes(block: Block) -> Iterator[Node]:
    match block["type"]:
        case "header":
            yield Node("heading", tuple(_text(block["text"])))
        case "divider":
            yield Node("rule")
        case "section":
            yield Node("paragraph", tuple(_text(block["text"])))
        case "context":
            for element in block["elements"]:
                yield Node("small", tuple(_text(element)))
        case "rich_text":
            for element in block["elements"]:
                if element["type"] == "rich_text_preformatted":
                    yield Node(
                        "box", (TextPart("text", "".join(part.get("text", "") for part in element["elements"])),)
                    )
                else:
                    yield Node("line", tuple(_rich(element["elements"])))


def _text(text: dict[str, Any]) -> Iterator[TextPart]:
    if text["type"] != "mrkdwn":
        yield TextPart("text", str(text.get("text", "")))
        return
    yield from _rich(elements(text["text"]), styled=True)


def _rich(found: Sequence[dict[str, Any]], *, styled: bool = False) -> Iterator[TextPart]:
    for element in found:
        match element["type"]:
            case "text" if element.get("style", {}).get("bold"):
                yield TextPart("bold", element["text"])
            case "text" if styled:
                yield from _split(element["text"])
            case "text":
                yield TextPart("text", element["text"])
            case "emoji":
                yield TextPart("emoji", EMOJI.get(element["name"], ""))
            case "user" | "usergroup" | "channel" as kind:
                yield TextPart("name", element[_IDS[kind]])
            case "date":
                at = datetime.fromtimestamp(element["timestamp"], UTC)
                yield TextPart("time", element["fallback"], f"{at:%Y-%m-%dT%H:%M:%SZ}")
            case "link" if element["url"].startswith(("https://", "http://")):
                yield TextPart("link", element["text"], element["url"])


def _split(text: str) -> Iterator[TextPart]:
    end = 0
    for match in _STYLED.finditer(text):
        if match.start() > end:
            yield TextPart("text", text[end : match.start()])
        yield TextPart("code", match["code"]) if match["code"] else TextPart("italic", match["italic"])
        end = match.end()
    if text[end:]:
        yield TextPart("text", text[end:])


def parts_of(mrkdwn: str) -> tuple[TextPart, ...]:
    """Read a sentence of our own in mrkdwn."""
    return tuple(_rich(elements(mrkdwn), styled=True))


def sentence_parts(sentence: Sentence) -> tuple[TextPart, ...]:
    """Read a sentence of ids, moments and text, as an error carries it."""
    return parts_of(drawn(sentence))


async def names_in(directory: Directory, *lists: Iterable[Node | tuple[TextPart, ...]]) -> Names:
    """Look up the names of all mentioned people.

    A person whom Slack does not name now is shown by id.
    """
    ids = {part.text for many in lists for one in many for part in _parts(one) if part.kind == "name"}
    found = await asyncio.gather(*(directory.mentioned_name(one) for one in sorted(ids)))
    return dict(zip(sorted(ids), found, strict=True))


def _parts(one: Node | tuple[TextPart, ...]) -> tuple[TextPart, ...]:
    return one.parts if isinstance(one, Node) else one


def html_of(parts: Iterable[TextPart], names: Names) -> Markup:
    """Write a line as HTML; every text in it is escaped."""
    return Markup("").join(_html(part, names) for part in parts)


def _html(part: TextPart, names: Names) -> Markup:
    match part.kind:
        case "name":
            return _SPAN.format(names.get(part.text, part.text))
        case "time":
            return _TIME.format(part.more, part.text)
        case "link":
            return _LINK.format(part.more, part.text)
    return _MARKS.get(part.kind, _PLAIN).format(part.text)


_PLAIN: Final = Markup("{}")
_SPAN: Final = Markup('<span class="name">{}</span>')
_TIME: Final = Markup('<time datetime="{}">{}</time>')
_LINK: Final = Markup('<a href="{}" rel="noreferrer">{}</a>')
_MARKS: Final = {
    "bold": Markup("<strong>{}</strong>"),
    "italic": Markup("<em>{}</em>"),
    "code": Markup("<code>{}</code>"),
    "emoji": Markup('<span aria-hidden="true">{}</span>'),
}
