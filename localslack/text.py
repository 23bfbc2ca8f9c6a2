"""Texts: blocks as people read them, and typed words as Slack escapes them."""

import re
from collections.abc import Iterator
from typing import Any

from .errors import Json
from .workspace import Message, Workspace


def escape(text: str) -> str:
    """Slack's control characters as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def text_of(message: Message | Json | None) -> str:
    """Return a message or a view as people read it, one line per piece.

    Buttons stand in [brackets].

    A message with blocks shows its blocks; its top-level text is for notifications only.
    """
    if message is None:
        return ""
    if isinstance(message, Message):
        blocks, text, files = message.blocks, message.text, message.files
    else:
        blocks, text, files = message.get("blocks"), message.get("text", ""), []
    lines = [text] if not blocks else [line for block in blocks for line in _lines(block)]
    if not isinstance(message, Message) and isinstance(message.get("title"), dict):
        lines.insert(0, message["title"]["text"])
    lines += [f"[file {file.title}]" for file in files]
    return "\n".join(lines)


def _lines(block: Json) -> Iterator[str]:
    kind = block["type"]
    if kind == "rich_text":
        for part in block["elements"]:
            yield _rich(part)
    elif kind == "input":
        yield block["label"]["text"]
        yield from _element(block["element"])
        if "hint" in block:
            yield block["hint"]["text"]
    elif kind in ("context", "actions"):
        for element in block["elements"]:
            yield from _element(element)
    elif kind == "image":
        yield block["alt_text"]
    elif kind in ("plan", "task_card"):
        yield block["title"]
        for task in block.get("tasks", [block] if kind == "task_card" else []):
            yield task["title"]
            yield from (line for name in ("details", "output") if name in task for line in _lines(task[name]))
    else:
        for part in [block.get("text"), *(block.get("fields") or [])]:
            if part is not None:
                yield part if isinstance(part, str) else part["text"]
        if "accessory" in block:
            yield from _element(block["accessory"])


def _element(element: Json) -> Iterator[str]:
    kind = element["type"]
    if kind == "button":
        yield f"[{element['text']['text']}]"
    elif kind in ("plain_text", "mrkdwn"):
        yield element["text"]
    elif kind == "image":
        yield element["alt_text"]
    elif isinstance(element.get("initial_value"), str):
        yield element["initial_value"]
    elif kind == "rich_text_input" and "initial_value" in element:
        yield from _lines(element["initial_value"])
    else:
        chosen = element.get("initial_options") or [element.get("initial_option")]
        yield from (option["text"]["text"] for option in chosen if option)


def _rich(part: Json) -> str:
    kind = part["type"]
    if kind == "rich_text_list":
        return "\n".join(f"• {_rich(item)}" for item in part["elements"])
    if "elements" in part:
        return "".join(_rich(element) for element in part["elements"])
    named: dict[str, Any] = {
        "text": part.get("text"),
        "link": part.get("text") or part.get("url"),
        "user": f"<@{part.get('user_id')}>",
        "usergroup": f"<!subteam^{part.get('usergroup_id')}>",
        "channel": f"<#{part.get('channel_id')}>",
        "emoji": f":{part.get('name')}:",
        "broadcast": f"@{part.get('range')}",
        "date": part.get("fallback") or str(part.get("timestamp")),
    }
    return str(named.get(kind) or "")


_TOKEN = re.compile(r"(?P<url>https?://[^\s<>]+)|(?P<sigil>[@#])(?P<name>[\w.-]*\w)")


_LABEL = re.compile(r"(<(?:[@#]|!subteam\^)[A-Z0-9]+)\|[^<>]*>")


def posted(text: str, workspace: Workspace) -> str:
    """Turn the typed words of a message into what Slack sends: ids without names.

    https://docs.slack.dev/messaging/formatting-message-text
    """
    return _LABEL.sub(r"\1>", typed(text, workspace))


def typed(text: str, workspace: Workspace, *, names: bool = True) -> str:
    """Turn the words of a command into what Slack sends: entities, ids, links.

    `names=False` is a command without should_escape: the app gets @bob as typed.
    """
    if not names:
        return text

    def entity_of(match: re.Match[str]) -> str:
        if match["url"]:
            return f"<{match['url']}>"
        name = match["name"]
        if match["sigil"] == "#":
            for channel in workspace.channels.values():
                if channel.name == name and not channel.is_im:
                    # https://docs.slack.dev/interactivity/implementing-slash-commands: no name of a private channel
                    return f"<{channel.id}|>" if channel.is_private else f"<#{channel.id}|{channel.name}>"
        else:
            for user in workspace.users.values():
                if user.name == name:
                    return f"<@{user.id}|{user.name}>"
            for group in workspace.groups.values():
                if group.handle == name:
                    return f"<!subteam^{group.id}|@{group.handle}>"
            if name in ("here", "channel", "everyone"):
                return f"<!{name}>"
        return match[0]

    # Ids that were typed as Slack writes them stay what they are; the rest is escaped first.
    pieces = re.split(r"(<[@#!][^<>\s]+>)", text)
    return "".join(piece if index % 2 else _TOKEN.sub(entity_of, escape(piece)) for index, piece in enumerate(pieces))
