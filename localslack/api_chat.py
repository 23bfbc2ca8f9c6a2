"""chat.*, reactions.add and response URLs: messages written by the app."""

from .errors import Json, SlackError
from .expiring_tokens import ResponseUrl
from .methods import HUNDREDS, TIER_3, TIER_4, Arguments, Method
from .payload_checks import MESSAGE_TEXT, UPDATE_TEXT, check_message_blocks, check_metadata, check_replacement
from .platform import Platform
from .workspace import TS, Channel, Message

STREAM_SECONDS = 300.0
CHAT_WRITE = ("chat:write",)


def room(platform: Platform, ref: str, *, member: bool = True) -> Channel:
    """A channel that the app may use, by its id.

    Raises SlackError channel_not_found (also for private ones that it is not in), not_in_channel.
    """
    workspace = platform.workspace
    channel = workspace.channels.get(ref)
    if channel is None:
        raise SlackError("channel_not_found")
    if workspace.bot_user not in channel.members:
        if channel.is_private:
            raise SlackError("channel_not_found")
        if member:
            raise SlackError("not_in_channel")
    return channel


def _destination(platform: Platform, ref: str) -> Channel:
    """Find the channel that chat.postMessage posts to.

    It is named by an id, the name of a public channel, a user's id for direct messages.
    """
    workspace = platform.workspace
    if ref in workspace.users:
        return workspace.direct(ref)
    if ref not in workspace.channels:
        named = workspace.channel(ref)
        if named.is_private:
            raise SlackError("channel_not_found")
        ref = named.id
    return room(platform, ref)


def _content(args: Arguments) -> Json:
    """Checked text, blocks and metadata of a message."""
    blocks = args.data("blocks", "invalid_blocks_format")
    if blocks is not None:
        if not isinstance(blocks, list):
            raise SlackError("invalid_blocks_format")
        check_message_blocks(blocks)
    metadata = args.data("metadata", "invalid_metadata_format")
    if metadata:
        check_metadata(metadata)
    text = args.text("text")[:MESSAGE_TEXT]
    attachments = args.data("attachments", "invalid_attachments")
    if not text.strip() and not blocks and not attachments:
        raise SlackError("no_text")
    return {"text": text, "blocks": blocks, "metadata": metadata}


def thread_of(channel: Channel, args: Arguments) -> str | None:
    """Return the thread that the call names, by its root."""
    thread_ts = args.text("thread_ts")
    if not thread_ts:
        return None
    if not TS.match(thread_ts):
        raise SlackError("invalid_thread_ts")
    if thread_ts not in channel.posts:
        raise SlackError("thread_not_found")
    return channel.posts[thread_ts].thread_ts or thread_ts


def _post_message(platform: Platform, args: Arguments) -> Json:
    channel = _destination(platform, args.needed("channel", "channel_not_found"))
    if channel.is_archived:
        raise SlackError("is_archived")
    content = _content(args)
    message = platform.workspace.post(
        channel,
        platform.workspace.bot_user,
        **{**content, "metadata": content["metadata"] or None},
        thread_ts=thread_of(channel, args),
        broadcast=args.flag("reply_broadcast"),
        from_app=True,
    )
    platform.said(message)
    shown = platform.message_json(message, metadata=True)
    return {"channel": channel.id, "ts": message.ts, "message": shown}


def own_message(platform: Platform, args: Arguments, refusal: str) -> tuple[Channel, Message]:
    """Return the app's own message; SlackError `refusal` if it is another author's."""
    channel = room(platform, args.needed("channel", "channel_not_found"))
    message = channel.posts.get(args.needed("ts"))
    if message is None or message.subtype == "tombstone":
        raise SlackError("message_not_found")
    if not message.from_app:
        raise SlackError(refusal)
    if channel.is_archived:
        raise SlackError("is_inactive")
    return channel, message


def streaming(platform: Platform, message: Message) -> bool:
    """Tell whether the message is a stream that Slack has not ended.

    Slack ends a stream after about five minutes: slackapi/python-slack-sdk #1859.
    """
    return message.stream is not None and platform.config.clock() - message.stream.since < STREAM_SECONDS


def _update(platform: Platform, args: Arguments) -> Json:
    channel, message = own_message(platform, args, "cant_update_message")
    if streaming(platform, message):
        raise SlackError("streaming_state_conflict")
    if len(args.text("text")) > UPDATE_TEXT:
        raise SlackError("msg_too_long")
    content = _content(args)
    _rewrite(platform, message, content)
    shown = platform.message_json(message, metadata=True)
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": shown}


def _rewrite(platform: Platform, message: Message, content: Json) -> None:
    """Update a message; text without blocks removes its blocks.

    SlackError block_mismatch where Slack keeps rich text.

    Metadata stays unless new metadata is given ({} removes it).
    """
    workspace = platform.workspace
    check_replacement(message.blocks, content["blocks"])
    message.text = content["text"]
    message.blocks = workspace.with_ids(content["blocks"])
    if content.get("metadata") is not None:
        message.metadata = content["metadata"] or None
    message.edited = {"user": workspace.bot_user, "ts": f"{workspace.wall_clock():.6f}"}
    platform.edited(message)
    workspace.changed()


def _delete(platform: Platform, args: Arguments) -> Json:
    channel, message = own_message(platform, args, "cant_delete_message")
    channel.remove(message)
    platform.removed(message)
    platform.workspace.changed()
    return {"channel": channel.id, "ts": message.ts}


def _post_ephemeral(platform: Platform, args: Arguments) -> Json:
    channel = room(platform, args.needed("channel", "channel_not_found"))
    user = args.needed("user", "user_not_found")
    if user not in platform.workspace.users:
        raise SlackError("user_not_found")
    if user not in channel.members:
        raise SlackError("user_not_in_channel")
    if channel.is_archived:
        raise SlackError("is_archived")
    content, thread_ts = _content(args), thread_of(channel, args)
    if thread_ts and not channel.replies.get(thread_ts):
        # Shown "only if there is already an active thread": https://docs.slack.dev/reference/methods/chat.postEphemeral
        return {"message_ts": platform.workspace.next_ts(channel)}
    message = platform.workspace.post(
        channel,
        platform.workspace.bot_user,
        text=content["text"],
        blocks=content["blocks"],
        thread_ts=thread_ts,
        from_app=True,
        ephemeral_to=user,
    )
    platform.posted_since.setdefault(user, []).append(message)
    return {"message_ts": message.ts}


def _permalink(platform: Platform, args: Arguments) -> Json:
    channel = room(platform, args.needed("channel", "channel_not_found"), member=False)
    message = channel.posts.get(args.text("message_ts"))
    if message is None:
        raise SlackError("message_not_found")
    query = f"?thread_ts={message.thread_ts}&cid={channel.id}" if message.is_reply else ""
    path = f"/archives/{channel.id}/p{message.ts.replace('.', '')}{query}"
    return {"channel": channel.id, "permalink": platform.base_url + path}


def _react(platform: Platform, args: Arguments) -> Json:
    channel = room(platform, args.needed("channel", "channel_not_found"))
    message = channel.posts.get(args.text("timestamp"))
    if message is None:
        raise SlackError("message_not_found")
    name, bot = args.needed("name", "invalid_name"), platform.workspace.bot_user
    reaction = next((r for r in message.reactions if r["name"] == name), None)
    if reaction is None:
        message.reactions.append({"name": name, "users": [bot], "count": 1})
    elif bot in reaction["users"]:
        raise SlackError("already_reacted")
    else:
        reaction["users"].append(bot)
        reaction["count"] += 1
    platform.workspace.changed()
    return {}


def respond(platform: Platform, url: ResponseUrl, answer: Json) -> None:
    """Handle what the app sent to a response URL.

    Raises SlackError as the Web API would.
    """
    workspace = platform.workspace
    channel = workspace.channels[url.channel]
    seen = [m for m in workspace.ephemerals if m.ts == url.message_ts and m.ephemeral_to == url.user]
    original = seen[0] if url.ephemeral and seen else channel.posts.get(url.message_ts or "")
    args = Arguments(answer)
    if args.flag("delete_original"):
        if original is None:
            raise SlackError("message_not_found")
        if original.ephemeral:
            workspace.ephemerals.remove(original)
        else:
            channel.remove(original)
        workspace.changed()
        return
    content = _content(args)
    if args.flag("replace_original") and original is not None:
        if platform.config.replacing_drops_metadata:
            content = {**content, "metadata": {}}
        _rewrite(platform, original, content)
        if original.ephemeral:
            url.answers.append(original)
        return
    in_channel = args.text("response_type") == "in_channel"
    message = workspace.post(
        channel,
        workspace.bot_user,
        text=content["text"],
        blocks=content["blocks"],
        # https://docs.slack.dev/interactivity/handling-user-interaction#publishing_in_thread
        thread_ts=(args.text("thread_ts") or None) if in_channel else None,
        from_app=True,
        ephemeral_to=None if in_channel else url.user,
    )
    if message.ephemeral:
        url.answers.append(message)
    platform.said(message)


METHODS = {
    "chat.postMessage": Method(_post_message, HUNDREDS, CHAT_WRITE),
    "chat.update": Method(_update, TIER_3, CHAT_WRITE),
    "chat.delete": Method(_delete, TIER_3, CHAT_WRITE),
    "chat.postEphemeral": Method(_post_ephemeral, TIER_4, CHAT_WRITE),
    "chat.getPermalink": Method(_permalink, HUNDREDS, reads=True),
    "reactions.add": Method(_react, TIER_3, ("reactions:write",)),
}
