"""Slack's checks of messages and views besides the shapes in `blocks.py`.

Numbers: https://docs.slack.dev/reference/block-kit/blocks, /reference/views, and slack-sdk's models. The sum of a
message's blocks is undocumented (slackapi/bolt-js #2509): about 13.2 kB. How Slack counts is unknown, so this takes
the strictest way: compact JSON with every character beyond ASCII escaped, six bytes each (twelve for an emoji).
"""

import json
from typing import Any

from .blocks import BLOCKS, plain
from .errors import Json, SlackError
from .payload_shapes import Check, array, boolean, problem, shape, string, variants

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
MESSAGE_TEXT = 40_000
# `msg_too_long` of https://docs.slack.dev/reference/methods/chat.update; a longer text of a post is cut
UPDATE_TEXT = 4_000
MESSAGE_BLOCK_BYTES = 13_200
VIEW_BYTES = 250_000
MARKDOWN_CHARACTERS = 12_000

_MESSAGES_ONLY = ("markdown", "plan", "task_card")
_VIEW_BLOCKS: dict[str, Check] = {kind: check for kind, check in BLOCKS.items() if kind not in _MESSAGES_ONLY}
_VIEW_COMMON: dict[str, Check] = {
    "private_metadata": string(3000, 0),
    "callback_id": string(255, 0),
    "external_id": string(255, 0),
    "clear_on_close": boolean,
    "notify_on_close": boolean,
    "submit_disabled": boolean,
}
_BLOCKS_OF_VIEW = array(variants(_VIEW_BLOCKS), VIEW_BLOCKS, 0)
_VIEW: dict[str, Check] = {
    "modal": shape(
        {"title": plain(24), "blocks": _BLOCKS_OF_VIEW},
        {**_VIEW_COMMON, "submit": plain(24), "close": plain(24)},
    ),
    "home": shape({"blocks": _BLOCKS_OF_VIEW}, _VIEW_COMMON),
}
_METADATA = shape({"event_type": string(255)}, {"event_payload": lambda value, pointer, problems: None})


def size_of(blocks: list[Json]) -> int:
    """Bytes of the blocks as compact JSON in ASCII."""
    return len(json.dumps(blocks, separators=(",", ":")))


def check_message_blocks(blocks: list[Json]) -> None:
    """Raise SlackError for blocks that Slack would refuse in a message."""
    if problems := problems_of_blocks(blocks):
        raise SlackError("invalid_blocks", problems, errors=[p.removeprefix("[ERROR] ") for p in problems])
    if size_of(blocks) > MESSAGE_BLOCK_BYTES:
        raise SlackError("msg_blocks_too_long")


def problems_of_blocks(blocks: Any) -> list[str]:
    """List what is wrong with the blocks of a message, apart from their size."""
    problems: list[str] = []
    array(variants(BLOCKS), MESSAGE_BLOCKS, 0)(blocks, "/blocks", problems)
    if not problems:
        _check_ids(blocks, "/blocks", problems)
        markdown = sum(len(block["text"]) for block in blocks if block["type"] == "markdown")
        if markdown > MARKDOWN_CHARACTERS:
            problem(problems, "/blocks", f"markdown blocks must be less than {MARKDOWN_CHARACTERS + 1} characters")
    return problems


def check_replacement(old: list[Json] | None, new: list[Json] | None) -> None:
    """Refuse blocks that `chat.update` does not put in the place of those.

    Raises SlackError.

    "Rich-text blocks cannot be replaced with non-rich-text blocks": https://docs.slack.dev/reference/methods/chat.update
    """
    if new and _has_rich_text(old) and not _has_rich_text(new):
        raise SlackError("block_mismatch")


def _has_rich_text(blocks: list[Json] | None) -> bool:
    return any(block["type"] == "rich_text" for block in blocks or ())


def check_view(view: Any, kinds: tuple[str, ...]) -> None:
    """Raise SlackError for a view that Slack would refuse."""
    if problems := problems_of_view(view, kinds):
        raise SlackError("invalid_arguments", problems)
    if len(json.dumps(view, ensure_ascii=False).encode()) > VIEW_BYTES:
        raise SlackError("view_too_large")


def problems_of_view(view: Any, kinds: tuple[str, ...]) -> list[str]:
    """List what is wrong with a view, apart from its size."""
    problems: list[str] = []
    variants({kind: _VIEW[kind] for kind in kinds})(view, "/view", problems)
    if not problems:
        blocks = view["blocks"]
        _check_ids(blocks, "/view/blocks", problems)
        inputs = any(block["type"] == "input" for block in blocks)
        if view["type"] == "modal" and inputs and "submit" not in view:
            problem(problems, "/view", "missing required field: submit (the view has input blocks)")
        if sum(bool(_parts(block, "focus_on_load")) for block in blocks) > 1:
            problem(problems, "/view/blocks", "only one element may have focus_on_load")
    return problems


def check_metadata(metadata: Any) -> None:
    """Raise SlackError unless it has a type and its payload is an object."""
    problems: list[str] = []
    _METADATA(metadata, "/metadata", problems)
    if problems:
        raise SlackError("invalid_metadata_format", problems)
    if not isinstance(metadata.get("event_payload", {}), dict):
        raise SlackError(
            "invalid_metadata_format", ["[ERROR] must be an object [json-pointer:/metadata/event_payload]"]
        )


def check_errors(answer: Any, view: Json) -> dict[str, str]:
    """The errors of a view_submission ack by block_id.

    Raises ValueError when Slack would not show them.
    """
    inputs = {block["block_id"] for block in view["blocks"] if block["type"] == "input"}
    if not isinstance(answer, dict) or not answer:
        raise ValueError("response_action errors needs a mapping of block_id to text in `errors`")
    for block_id, text in answer.items():
        if block_id not in inputs:
            raise ValueError(f"errors names the block {block_id!r}, which is no input block of the view")
        if not isinstance(text, str) or not text:
            raise ValueError(f"the error for the block {block_id!r} is no text")
    return dict(answer)


def _parts(block: Json, key: str) -> list[Json]:
    parts = [block.get("accessory"), block.get("element"), *(block.get("elements") or [])]
    return [part for part in parts if isinstance(part, dict) and part.get(key)]


def _check_ids(blocks: list[Json], pointer: str, problems: list[str]) -> None:
    """block_id once in a message or view, action_id once in a block."""
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        block_id = block.get("block_id")
        if block_id in seen:
            problem(problems, f"{pointer}/{index}/block_id", f'`block_id` "{block_id}" already exists')
        if block_id is not None:
            seen.add(block_id)
        actions = [part["action_id"] for part in _parts(block, "action_id")]
        for action_id in sorted({action for action in actions if actions.count(action) > 1}):
            text = f'`action_id` "{action_id}" already exists for `block_id` "{block_id}"'
            problem(problems, f"{pointer}/{index}", text)
