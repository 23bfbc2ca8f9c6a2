"""Read Slack's payloads: their shape, their sender, and the id of an attempt.

A payload's shape is checked once, before a handler sees it: https://docs.slack.dev/reference/interaction-payloads.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from countersign.domain.errors import InvalidInput
from countersign.domain.ids import AttemptId, ChannelId, UserId, short_name

from ..views import confirmation_text

Check = Callable[[Any], bool]
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
    **dict.fromkeys(("type", "trigger_id", "response_url", "event_id", "callback_id"), str),
    "user": {"!id": str, "team_id": str},
    "team": {"!id": str},
    "channel": {"!id": str},
    "container": {"type": str, "message_ts": str, "thread_ts": str, "channel_id": str, "view_id": str},
    "message": {**dict.fromkeys(("ts", "thread_ts", "user", "bot_id"), str), "blocks": _BLOCKS},
    "view": _VIEW,
    "state": _STATE,
    "actions": [{"!action_id": str, "!block_id": str, "!type": str, "action_ts": str, **_ELEMENT}],
    "event": {
        **dict.fromkeys(("user", "channel", "tab", "text", "ts", "thread_ts", "subtype", "bot_id"), str),
        **{"!type": str, "view": {"id": str, "hash": str}},
    },
}
"""`!` marks a field that is always there; any other may be missing or null."""


class Sender(NamedTuple):
    """Sender of a payload, and their channel; None inside a modal.

    The payload does not tell the sender's workspace reliably: in an organisation a click names their home workspace.
    Use `people.account_check`.
    """

    user: UserId
    channel: ChannelId | None

    @property
    def here(self) -> ChannelId:
        """Return the channel of a command. InvalidInput if it is missing."""
        if self.channel is None:
            raise InvalidInput(confirmation_text.NO_CHANNEL)
        return self.channel


def sender(body: dict[str, Any]) -> Sender:
    """Return the sender of a payload. InvalidInput if it is missing."""
    user = body.get("user") or {}
    channel = (body.get("channel") or {}).get("id") or body.get("channel_id")
    person = UserId(user.get("id") or body.get("user_id") or "")
    return Sender(person, ChannelId(channel) if channel else None)


def delivery(body: dict[str, Any]) -> AttemptId:
    """Return the id of a command or a change of settings.

    It is the same each time that Slack delivers it (R8).
    """
    return AttemptId("s" + short_name(str(body["trigger_id"]), sender(body).user, length=20))


def attempt_id(body: dict[str, Any], *content: str) -> AttemptId:
    """Return the id of an attempt to decide.

    It is the same each time that Slack delivers it (R8). It depends on a window's input: after a refusal the same
    window may be sent again with other input.
    """
    user = sender(body).user
    if body.get("type") == "view_submission":
        return AttemptId("v" + short_name(str(body["view"]["id"]), user, *content, length=20))
    return AttemptId("c" + short_name(str(body["trigger_id"]), user, length=20))


def fits(body: Any) -> bool:
    """Tell whether this has the shape of a Slack payload."""
    if not _is_payload(body):
        return False
    kind = body.get("type")
    if body.get("command") is not None:
        return all(isinstance(body.get(name), str) for name in _COMMAND.keys() - {"channel_name"} | {"trigger_id"})
    if kind == "block_actions":
        return bool(body.get("actions")) and all(body.get(name) for name in ("user", "container", "trigger_id"))
    if kind == "shortcut":
        return all(body.get(name) for name in ("user", "callback_id", "trigger_id"))
    return kind != "view_submission" or bool(body.get("user") and body.get("view"))


def _check(shape: Any) -> Check:
    """Compile the check of a shape once, because each payload has a hundred fields."""
    if isinstance(shape, list | tuple):
        part = _check(shape[0])
        return lambda value: isinstance(value, list) and all(map(part, value))
    if not isinstance(shape, dict):
        return lambda value: isinstance(value, shape)
    parts = {name.removeprefix("!"): _check(part) for name, part in shape.items()}
    if (each := parts.get("*")) is not None:
        return lambda value: isinstance(value, dict) and all(map(each, value.values()))
    needed = [name[1:] for name in shape if name.startswith("!")]

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        for name in needed:
            if value.get(name) is None:
                return False
        for name, given in value.items():
            if given is not None and (part := parts.get(name)) is not None and not part(given):
                return False
        return True

    return check


_is_payload: Final = _check(_PAYLOAD)
