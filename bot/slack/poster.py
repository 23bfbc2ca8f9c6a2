"""Keeps one Slack message equal to one drawing, whatever Slack or this process does in between.

Posting is not idempotent, so the intent is stored first and the message carries our name for it in its metadata.
After an unclear failure (a lost reply, a kill between post and index) the message is looked up and adopted; a second
copy is deleted. Slack's limits: chat.postMessage about one a second per channel, so posts to a channel go one by one.
"""

import asyncio
import logging
import math
from collections import defaultdict
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.web.async_client import AsyncWebClient

from bot import metrics
from bot.core.errors import CountersignError
from bot.core.ids import ChannelId, RequestId, WorkspaceId, digest_of
from bot.core.ports import Change, Committed, Message, Put, Seen, Store
from bot.metrics import Repair
from bot.slack.cards import Drawing

EVENT_TYPE: Final = "countersign"
_CLOCKS_DIFFER: Final = timedelta(minutes=5)
_TRANSIENT: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "rate_limited"}
)
good_until: Final[ContextVar[float]] = ContextVar("good_until")
"""Until when what is drawn in this task may be taken for what the store holds, by the loop's clock; unset: for ever."""
_GONE: Final = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_LONGEST_PAUSE: Final = 30.0
_log = logging.getLogger(__name__)


class CannotPost(CountersignError):
    """Slack will not take this message here, however often it is tried; the text is Slack's code."""


class Outdated(CountersignError):
    """What was to be drawn was read too long ago to be drawn over what stands there now."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message belongs: a channel (or a user id, for a direct message), and a thread in it or ""."""

    channel: ChannelId
    thread: str = ""


class Poster:
    """Draws messages for one workspace."""

    def __init__(self, client: AsyncWebClient, store: Store, workspace: WorkspaceId, home: str) -> None:
        self._client = client
        self._store = store
        self._workspace = workspace
        self._home = home if home.endswith("/") else home + "/"
        self._turn: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def link(self, message: Message) -> str:
        """The address under which Slack shows the message."""
        link = f"{self._home}archives/{message.channel}/p{message.ts.replace('.', '')}"
        return f"{link}?thread_ts={message.thread}&cid={message.channel}" if message.thread else link

    async def show(
        self, name: str, place: Place, drawing: Drawing, *, request: RequestId | None = None, post: bool = True
    ) -> Message | None:
        """Make the message of this name show the drawing; returns it, or None if there is none and `post` is False.

        CannotPost if Slack refuses for good, Outdated past `good_until`. Waits as long as Slack is away or asks to slow
        down.
        """
        drawn = digest_of(drawing.text, repr(drawing.blocks))[:20]
        unclear = looked = False
        while True:
            seen = await self._store.message(name)
            if seen is None or not (seen.value.ts or seen.value.posting_since):
                if not post:
                    return None
                seen, found = await self._intend(name, place, request, seen), None
                if seen is None:
                    continue
            elif seen.value.ts:
                if unclear:
                    await self._find(seen.value)
                return await self._redraw(seen, drawing, drawn, post)
            else:
                found, looked = await self._find(seen.value), True
            if found is None and not post:
                return None
            if found is None:
                _still_good(name)
            ts = found if found is not None else await self._post(seen.value, drawing)
            if ts is None:
                unclear = True
                continue
            known = replace(seen.value, ts=ts[1], channel=ChannelId(ts[0]), drawn="" if found else drawn, problem="")
            if await self._store.commit(Change(messages=(Put(known, seen.version),))) is not Committed.DONE:
                await self._drop_orphan(name, known)
                continue
            if looked:
                _log.warning("%s was meant to be posted and %s.", name, "stood there" if found else "is now")
                metrics.repaired(Repair.NEVER_INDEXED if found else Repair.NEVER_POSTED)
            if not found:
                return known

    async def attach(self, name: str, place: Place, filename: str, content: bytes, title: str) -> None:
        """Put a file into a thread, once. CannotPost if Slack refuses for good."""
        seen = await self._store.message(name)
        if seen is not None and seen.value.ts:
            return
        fresh = False
        if seen is None:
            seen = await self._intend(name, place, None, None)
            fresh = seen is not None
            seen = seen or await self._store.message(name)
            assert seen is not None, "a message that exists already can be read"
        while fresh or not await self._has_file(seen.value, filename):
            fresh = False
            if await self._upload(place, filename, content, title):
                break
        await self._store.commit(Change(messages=(Put(replace(seen.value, ts=filename), seen.version),)))

    async def _intend(
        self, name: str, place: Place, request: RequestId | None, planned: Seen[Message] | None
    ) -> Seen[Message] | None:
        """The message before its post; None if another process has the same intent, and may have posted already."""
        now, version = await self._store.now(), planned.version if planned else 0
        message = Message(name, self._workspace, place.channel, thread=place.thread, request=request, posting_since=now)
        if planned is not None:
            message = replace(message, rows=planned.value.rows)
        if await self._store.commit(Change(messages=(Put(message, version),))) is Committed.DONE:
            return Seen(message, version + 1, now)
        return None

    async def _post(self, message: Message, drawing: Drawing) -> tuple[str, str] | None:
        """Channel and timestamp of the new message; None if it is unclear whether there is one."""
        async with self._turn[message.channel]:
            answer = await self._call(
                "chat.postMessage",
                {
                    "channel": message.channel,
                    "thread_ts": message.thread or None,
                    "text": drawing.text,
                    "blocks": drawing.blocks,
                    "metadata": {"event_type": EVENT_TYPE, "event_payload": {"name": message.name}},
                    "unfurl_links": False,
                    "unfurl_media": False,
                },
            )
        return (answer["channel"], answer["ts"]) if answer is not None else None

    async def _redraw(self, seen: Seen[Message], drawing: Drawing, drawn: str, post: bool) -> Message | None:
        message = seen.value
        if message.drawn == drawn:
            return message
        content = {"channel": message.channel, "ts": message.ts, "text": drawing.text, "blocks": drawing.blocks}
        try:
            while await self._call("chat.update", content) is None:
                pass
        except CannotPost as wrong:
            if str(wrong) not in _GONE:
                raise
            _log.warning("Slack no longer lets us change %s (%s).", message.name, wrong)
            if str(wrong) == "message_not_found" and post:
                await self._store.commit(
                    Change(messages=(Put(replace(message, ts="", posting_since=seen.now), seen.version),))
                )
                return await self.show(
                    message.name, Place(message.channel, message.thread), drawing, request=message.request
                )
        redrawn = replace(message, drawn=drawn)
        if await self._store.commit(Change(messages=(Put(redrawn, seen.version),))) is not Committed.DONE:
            await self._overtaken(redrawn)
        return redrawn

    async def _overtaken(self, mine: Message) -> None:
        """Another process drew this meanwhile, and Slack shows what came last, whichever that was: whoever looks next
        draws it anew."""
        while (seen := await self._store.message(mine.name)) is not None and seen.value != mine:
            unknown = Change(messages=(Put(replace(seen.value, drawn=""), seen.version),))
            if await self._store.commit(unknown) is Committed.DONE:
                return

    async def _find(self, message: Message) -> tuple[str, str] | None:
        """The message of this name that stands in Slack; all copies of it but the known or else first are deleted."""
        found = [m for m in await self._since(message) if _name_of(m) == message.name]
        found.sort(key=lambda m: (m["ts"] != message.ts, float(m["ts"])))
        for copy in found[1:]:
            _log.warning("Deleting a second copy of %s.", message.name)
            await self._call("chat.delete", {"channel": message.channel, "ts": copy["ts"]})
        return (message.channel, found[0]["ts"]) if found else None

    async def _since(self, message: Message) -> list[dict[str, Any]]:
        since = message.posting_since
        asked: dict[str, Any] = {
            "channel": message.channel,
            "oldest": f"{(since - _CLOCKS_DIFFER).timestamp():.6f}" if since else None,
            "include_all_metadata": True,
            "limit": 200,
        }
        method = "conversations.history"
        if message.thread:
            method, asked["ts"] = "conversations.replies", message.thread
        messages: list[dict[str, Any]] = []
        while True:
            answer = await self._call(method, asked)
            if answer is None:
                continue
            messages += answer["messages"]
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return messages
            asked["cursor"] = cursor

    async def _drop_orphan(self, name: str, mine: Message) -> None:
        """Somebody recorded another message under this name while we were frozen: ours is the second copy."""
        seen = await self._store.message(name)
        if seen is not None and seen.value.ts and seen.value.ts != mine.ts:
            _log.warning("Deleting our second copy of %s.", name)
            await self._call("chat.delete", {"channel": mine.channel, "ts": mine.ts})

    async def _has_file(self, message: Message, filename: str) -> bool:
        return any(f.get("name") == filename for m in await self._since(message) for f in m.get("files") or ())

    async def _upload(self, place: Place, filename: str, content: bytes, title: str) -> bool:
        """Whether the file certainly arrived."""
        async with self._turn[place.channel]:
            try:
                await self._client.files_upload_v2(
                    channel=place.channel, thread_ts=place.thread, filename=filename, content=content, title=title
                )
                return True
            except SlackApiError as refused:
                pause = _pause_after(refused)
                if pause is None:
                    raise CannotPost(_code(refused)) from refused
            except (aiohttp.ClientError, TimeoutError, OSError, SlackRequestError) as wrong:
                _log.warning("Slack did not answer the upload of %s (%r); looking whether it arrived.", filename, wrong)
                pause = 1.0
            await asyncio.sleep(pause)
            return False

    async def _call(self, method: str, content: dict[str, Any]) -> dict[str, Any] | None:
        """Slack's answer; None after a failure that leaves open whether it happened. CannotPost if it never will."""
        pause = 0.5
        while True:
            if method == "chat.update":
                _still_good(method)
            try:
                answer = await self._client.api_call(method, json={k: v for k, v in content.items() if v is not None})
                return dict(answer.data) if isinstance(answer.data, dict) else {}
            except SlackApiError as refused:
                asked = _pause_after(refused)
                if asked is None:
                    raise CannotPost(_code(refused)) from refused
                if refused.response.status_code == 429:
                    _log.info("Slack asks to wait %.0f s before the next %s.", asked, method)
                    await asyncio.sleep(asked)
                    continue
                _log.warning("%s failed (%s); looking whether it happened.", method, _code(refused))
            except (aiohttp.ClientError, TimeoutError, OSError) as wrong:
                _log.warning("Slack did not answer %s (%r); looking whether it happened.", method, wrong)
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))
            if method not in ("conversations.history", "conversations.replies"):
                return None
            pause *= 2


def _still_good(what: str) -> None:
    """Outdated if this process slept, or waited, so long that another one may have drawn something newer."""
    if asyncio.get_running_loop().time() > good_until.get(math.inf):
        raise Outdated(f"{what}: what it shows was read too long ago; reading again.")


def _name_of(message: dict[str, Any]) -> str | None:
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") != EVENT_TYPE:
        return None
    return str((metadata.get("event_payload") or {}).get("name"))


def _pause_after(refused: SlackApiError) -> float | None:
    """Seconds to wait before another try; None if no try will ever do."""
    if refused.response.status_code == 429:
        return float(refused.response.headers.get("Retry-After", 1))
    return 1.0 if refused.response.status_code >= 500 or _code(refused) in _TRANSIENT else None


def _code(refused: SlackApiError) -> str:
    data = refused.response.data
    return str(data.get("error", "unknown")) if isinstance(data, dict) else f"http_{refused.response.status_code}"
