"""files.*: the three steps of an upload by slack-sdk's files_upload_v2."""

import asyncio
import mimetypes

from aiohttp import web

from .api_chat import room
from .errors import Json, SlackError
from .methods import TIER_4, Arguments, Method
from .platform import Platform
from .workspace import Channel, File


def _upload_url(platform: Platform, args: Arguments) -> Json:
    _check_allowed(platform)
    name, length = args.needed("filename"), args.number("length", 0)
    if length <= 0:
        raise SlackError("invalid_arguments", ["[ERROR] must be greater than 0 [json-pointer:/length]"])
    workspace = platform.workspace
    guessed = mimetypes.guess_type(name)[0] or "text/plain"
    file = File(workspace.number("F"), name, name, guessed, b"", workspace.wall_clock(), workspace.bot_user, length)
    workspace.files[file.id] = file
    return {"upload_url": f"{platform.base_url}/upload/v1/{file.id}", "file_id": file.id}


async def content_of(request: web.Request) -> bytes:
    """The bytes of an upload: the body, or the first part of a form."""
    if request.content_type != "multipart/form-data":
        return await request.read()
    part = next(iter((await request.post()).values()), None)
    return part.file.read() if isinstance(part, web.FileField) else str(part or "").encode()


def receive(platform: Platform, file_id: str, content: bytes) -> Json:
    """Keep the bytes of an upload. SlackError where Slack refuses them."""
    file = platform.workspace.files.get(file_id)
    if file is None or file.complete:
        raise SlackError("not_found")
    if len(content) != file.expected:
        raise SlackError(f"expected {file.expected} bytes, got {len(content)}")
    file.content = content
    return {"ok": True}


def _check_allowed(platform: Platform) -> None:
    if not platform.config.file_uploads:
        raise SlackError("file_uploads_disabled")


def _complete(platform: Platform, args: Arguments) -> Json:
    """Finish an upload; its message comes some time later (slackapi/bolt-js #2115)."""
    _check_allowed(platform)
    uploads = args.data("files", "invalid_arguments")
    if not isinstance(uploads, list) or not uploads:
        raise SlackError("invalid_arguments", ["[ERROR] missing required field: files"])
    refs = [ref for ref in [args.text("channel_id"), *args.text("channels").split(",")] if ref]
    channels = [room(platform, ref) for ref in refs]
    workspace = platform.workspace
    files = []
    for upload in uploads:
        file = workspace.files.get(str(upload.get("id"))) if isinstance(upload, dict) else None
        if file is None or file.complete or not file.content:
            raise SlackError("file_not_found")
        file.title = str(upload.get("title") or file.name)
        files.append(file)
    for file in files:
        file.complete = True
    content: Json = {"text": args.text("initial_comment"), "thread_ts": args.text("thread_ts") or None, "files": files}
    platform.delivery.background(_share(platform, channels, content))
    return {"files": [platform.file_json(file) for file in files]}


async def _share(platform: Platform, channels: list[Channel], content: Json) -> None:
    await asyncio.sleep(platform.config.file_share_seconds)
    workspace = platform.workspace
    for channel in channels:
        message = workspace.post(channel, workspace.bot_user, **content, from_app=True, subtype="file_share")
        platform.said(message)


def _info(platform: Platform, args: Arguments) -> Json:
    file = platform.workspace.files.get(args.text("file"))
    if file is None or not file.complete:
        raise SlackError("file_not_found")
    return {"file": platform.file_json(file)}


METHODS = {
    "files.getUploadURLExternal": Method(_upload_url, TIER_4, ("files:write",), reads=True),
    "files.completeUploadExternal": Method(_complete, TIER_4, ("files:write",)),
    "files.info": Method(_info, TIER_4, ("files:read",), reads=True),
}
