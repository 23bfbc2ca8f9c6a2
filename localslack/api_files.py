"""files.*: the three steps of an upload by slack-sdk's files_upload_v2."""

import mimetypes

from aiohttp import web

from .api_chat import room
from .arguments import Arguments
from .errors import Json, SlackError
from .platform import Platform, file_json
from .workspace import File


def _upload_url(platform: Platform, args: Arguments) -> Json:
    name, length = args.needed("filename"), args.number("length", 0)
    if length <= 0:
        raise SlackError("invalid_arguments", ["[ERROR] must be greater than 0 [json-pointer:/length]"])
    workspace = platform.workspace
    guessed = mimetypes.guess_type(name)[0] or "text/plain"
    file = File(workspace.number("F"), name, name, guessed, b"", workspace.wall_clock(), workspace.bot_user, length)
    workspace.files[file.id] = file
    return {"upload_url": f"{platform.base_url}/upload/v1/{file.id}", "file_id": file.id}


async def receive(platform: Platform, request: web.Request) -> web.Response:
    """The upload itself: the bytes as the body, or as the first part of a form."""
    file = platform.workspace.files.get(request.match_info["file"])
    if file is None or file.complete:
        return web.Response(status=404, text="not found")
    if request.content_type == "multipart/form-data":
        part = next(iter((await request.post()).values()), None)
        content = part.file.read() if isinstance(part, web.FileField) else str(part or "").encode()
    else:
        content = await request.read()
    if len(content) != file.expected:
        return web.Response(status=400, text=f"expected {file.expected} bytes, got {len(content)}")
    file.content = content
    return web.Response(text=f"OK - {len(content)}")


def _complete(platform: Platform, args: Arguments) -> Json:
    given = args.data("files", "invalid_arguments")
    if not isinstance(given, list) or not given:
        raise SlackError("invalid_arguments", ["[ERROR] missing required field: files"])
    refs = [ref for ref in [args.text("channel_id"), *args.text("channels").split(",")] if ref]
    channels = [room(platform, ref) for ref in refs]
    workspace = platform.workspace
    files = []
    for each in given:
        file = workspace.files.get(str(each.get("id"))) if isinstance(each, dict) else None
        if file is None or file.complete or not file.content:
            raise SlackError("file_not_found")
        file.title = str(each.get("title") or file.name)
        files.append(file)
    for file in files:
        file.complete = True
    for channel in channels:
        workspace.post(
            channel,
            workspace.bot_user,
            text=args.text("initial_comment"),
            thread_ts=args.text("thread_ts") or None,
            files=files,
            from_app=True,
            subtype="file_share",
        )
    return {"files": [file_json(platform, file.id) for file in files]}


def _info(platform: Platform, args: Arguments) -> Json:
    file = platform.workspace.files.get(args.text("file"))
    if file is None or not file.complete:
        raise SlackError("file_not_found")
    return {"file": file_json(platform, file.id)}


METHODS = {
    "files.getUploadURLExternal": _upload_url,
    "files.completeUploadExternal": _complete,
    "files.info": _info,
}
