"""Sessions and streams: methods for apps that are agents.

Arguments, errors and tiers are those of https://docs.slack.dev/reference/methods, page by page. An invalid status is
`invalid_arguments`, as the live service answers (NousResearch/hermes-agent #111820), not the page's own code.
"""

import json
from typing import Any, Final

from .api_chat import CHAT_WRITE, own_message, room, streaming, thread_of
from .errors import Json, SlackError
from .methods import TIER_2, TIER_3, TIER_4, Arguments, Method
from .payload_checks import MARKDOWN_CHARACTERS, check_message_blocks, check_metadata
from .payload_shapes import Check, array, choice, shape, string, variants
from .platform import Platform
from .workspace import Message, Stream

STATUSES: Final = ("active", "processing", "suspended", "closed")
_TITLE: Final = 200
STREAM_BYTES: Final = 10_600
"""Of a streamed message; Slack documents no limit and answers `msg_too_long` there (openclaw/openclaw #143882)."""
_UNSUBSCRIBED: Final = "missing_agent_session_stopped_event_subscription"
_CHUNKS: Final[dict[str, Check]] = {
    "markdown_text": shape({"text": string()}),
    "task_update": shape(
        {"id": string(), "title": string(), "status": choice("pending", "in_progress", "complete", "error")},
        {"details": string(), "output": string(), "sources": array(shape({"url": string(), "text": string()}))},
    ),
    "plan_update": shape({"title": string()}),
    "blocks": shape({"blocks": array(variants({}))}),
}


def _set_status(platform: Platform, args: Arguments) -> Json:
    if not platform.config.agent:
        raise SlackError("feature_disabled")
    status, name = args.needed("status"), args.text("channel_id")
    if status not in STATUSES:
        raise SlackError("invalid_arguments", ["[ERROR] must be a valid enum value [json-pointer:/status]"])
    channel = room(platform, name, member=False)
    if platform.workspace.bot_user not in channel.members:
        raise SlackError("not_authorized")
    if not args.text("thread_ts"):
        raise SlackError("thread_ts_required")
    if len(args.text("title")) > _TITLE:
        raise SlackError("invalid_arguments", ["[ERROR] must be less than 201 characters [json-pointer:/title]"])
    initiator = args.text("initiator_user_id")
    if initiator and initiator not in channel.members:
        raise SlackError("user_not_found")
    return _session(platform, channel.id, str(thread_of(channel, args)), status, args.text("title"))


def _session(platform: Platform, channel: str, thread: str, status: str, title: str = "") -> Json:
    sessions = platform.sessions
    title = sessions.get((channel, thread), ("", title))[1]
    sessions[channel, thread] = status, title
    platform.sessions_set[channel, thread] = platform.config.clock()
    platform.workspace.changed()
    answer: Json = {"status": status, "agent_status": status, "title": title}
    if "agent_session_stopped" not in platform.config.bot_events:
        answer |= {"warning": _UNSUBSCRIBED, "response_metadata": {"warnings": [_UNSUBSCRIBED]}}
    return answer


def _start(platform: Platform, args: Arguments) -> Json:
    if not platform.config.agent:
        raise SlackError("channel_type_not_supported")
    channel = room(platform, args.needed("channel", "channel_not_found"))
    if channel.is_archived:
        raise SlackError("is_archived")
    if not channel.is_im:
        for name in ("recipient_user_id", "recipient_team_id"):
            if not args.text(name):
                raise SlackError(f"missing_{name}")
        if args.text("recipient_user_id") not in platform.workspace.users:
            raise SlackError("user_not_found")
    if args.text("task_display_mode", "timeline") not in ("timeline", "plan"):
        raise SlackError("invalid_arguments", ["[ERROR] must be a valid enum value [json-pointer:/task_display_mode]"])
    thread = thread_of(channel, args)
    chunks = _chunks(args)
    message = platform.workspace.post(channel, platform.workspace.bot_user, text="", thread_ts=thread, from_app=True)
    plan = args.text("task_display_mode") == "plan"
    message.stream = Stream(platform.config.clock(), plan=plan)
    _write(message, chunks)
    platform.said(message)
    _session(platform, channel.id, thread or message.ts, "processing")
    return {"channel": channel.id, "ts": message.ts}


def _append(platform: Platform, args: Arguments) -> Json:
    channel, message = _streaming(platform, args)
    chunks = _chunks(args)
    if not chunks:
        raise SlackError("no_text")
    _write(message, chunks)
    platform.workspace.changed()
    return {"channel": channel, "ts": message.ts}


def _stop(platform: Platform, args: Arguments) -> Json:
    channel, message = _streaming(platform, args)
    status = args.text("session_status", "active")
    if status not in STATUSES:
        raise SlackError("invalid_arguments", ["[ERROR] must be a valid enum value [json-pointer:/session_status]"])
    metadata = args.data("metadata", "invalid_metadata_format")
    if metadata:
        check_metadata(metadata)
    _write(message, _chunks(args))
    blocks = args.data("blocks", "invalid_blocks_format") or []
    check_message_blocks([*(message.blocks or []), *blocks])
    message.blocks = platform.workspace.with_ids([*(message.blocks or []), *blocks])
    message.metadata, message.stream = metadata or message.metadata, None
    platform.edited(message)
    _session(platform, channel, message.thread_ts or message.ts, status)
    return {"channel": channel, "ts": message.ts, "message": platform.message_json(message, metadata=True)}


def _streaming(platform: Platform, args: Arguments) -> tuple[str, Message]:
    channel, message = own_message(platform, args, "message_not_found")
    if not streaming(platform, message):
        raise SlackError("message_not_in_streaming_state")
    return channel.id, message


def _chunks(args: Arguments) -> list[Json]:
    text, chunks = args.text("markdown_text"), args.data("chunks", "invalid_chunks") or []
    if len(text) > MARKDOWN_CHARACTERS:
        raise SlackError("msg_too_long")
    problems: list[str] = []
    array(variants(_CHUNKS), None, 0)(chunks, "/chunks", problems)
    if problems:
        raise SlackError("invalid_chunks", problems)
    return [*([{"type": "markdown_text", "text": text}] if text else []), *chunks]


def _write(message: Message, chunks: list[Json]) -> None:
    """Add the chunks to the message, and draw it as Slack's client does."""
    stream = message.stream
    assert stream is not None, "only a stream is written to"
    stream.written += len(json.dumps(chunks, ensure_ascii=False).encode())
    if stream.written > STREAM_BYTES:
        raise SlackError("msg_too_long")
    for chunk in chunks:
        if chunk["type"] == "task_update":
            card = {"task_id": chunk["id"], **{k: v for k, v in chunk.items() if k in ("title", "status")}}
            stream.tasks[chunk["id"]] = card
        elif chunk["type"] == "plan_update":
            stream.title = chunk["title"]
        elif chunk["type"] == "markdown_text":
            stream.text += chunk["text"]
    tasks: list[Any] = list(stream.tasks.values())
    drawn: list[Json] = [{"type": "task_card", **task} for task in tasks]
    if stream.plan and tasks:
        drawn = [{"type": "plan", "title": stream.title or "Plan", "tasks": tasks}]
    message.blocks = [*drawn, *([{"type": "markdown", "text": stream.text}] if stream.text else [])]
    message.text = stream.text


METHODS = {
    "agents.sessions.setStatus": Method(_set_status, TIER_3, CHAT_WRITE),
    "chat.startStream": Method(_start, TIER_2, CHAT_WRITE),
    "chat.appendStream": Method(_append, TIER_4, CHAT_WRITE),
    "chat.stopStream": Method(_stop, TIER_2, CHAT_WRITE),
}
