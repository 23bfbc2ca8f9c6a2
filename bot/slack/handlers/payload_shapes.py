"""The shape of Slack's payloads, as far as anybody here looks into them: looked at once, before a listener is.

https://docs.slack.dev/reference/interaction-payloads. `!` marks what is always there; all else may be missing or null.
"""

from typing import Any, Final

_OPTION: Final = {"!value": str}
_ELEMENT: Final = {
    "type": str,
    "value": str,
    "selected_option": _OPTION,
    "selected_options": [_OPTION],
    **dict.fromkeys(("selected_user", "selected_conversation", "selected_channel", "selected_date"), str),
    **dict.fromkeys(("selected_users", "selected_conversations", "selected_channels"), (str,)),
}
_STATE: Final = {"values": {"*": {"*": _ELEMENT}}}
_BLOCKS: Final = [{"!type": str, "block_id": str}]
_VIEW: Final = {
    **{"!id": str, "!callback_id": str, "!private_metadata": str, "hash": str, "root_view_id": str},
    **{"blocks": _BLOCKS, "state": _STATE},
}
_COMMAND: Final = dict.fromkeys(("command", "text", "user_id", "team_id", "channel_id", "channel_name"), str)
_PAYLOAD: Final[dict[str, Any]] = {
    **_COMMAND,
    **dict.fromkeys(("type", "trigger_id", "response_url", "event_id"), str),
    "user": {"!id": str, "team_id": str},
    "team": {"!id": str},
    "channel": {"!id": str},
    "container": {"type": str, "message_ts": str, "thread_ts": str, "channel_id": str, "view_id": str},
    "message": {"ts": str, "thread_ts": str, "blocks": _BLOCKS},
    "view": _VIEW,
    "state": _STATE,
    "actions": [{"!action_id": str, "!block_id": str, "!type": str, "action_ts": str, **_ELEMENT}],
    "event": {"!type": str, "user": str, "channel": str, "tab": str, "view": {"id": str, "hash": str}},
}


def fits(body: Any) -> bool:
    """Whether this has the shape of something that Slack sends."""
    if not _is(body, _PAYLOAD):
        return False
    kind = body.get("type")
    if body.get("command") is not None:
        return all(isinstance(body.get(name), str) for name in _COMMAND.keys() - {"channel_name"} | {"trigger_id"})
    if kind == "block_actions":
        return bool(body.get("actions")) and all(body.get(name) for name in ("user", "container", "trigger_id"))
    return kind != "view_submission" or bool(body.get("user") and body.get("view"))


def _is(value: Any, shape: Any) -> bool:
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(_has(value, name, part) for name, part in shape.items())
    if isinstance(shape, list | tuple):
        return isinstance(value, list) and all(_is(part, shape[0]) for part in value)
    return isinstance(value, shape)


def _has(value: dict[str, Any], name: str, shape: Any) -> bool:
    if name == "*":
        return all(_is(part, shape) for part in value.values())
    found = value.get(name.removeprefix("!"))
    return not name.startswith("!") if found is None else _is(found, shape)
