"""Keeps one Slack message equal to one drawing, whatever Slack or this process does in between.

Posting is not idempotent, so the intent is stored first and the message carries our name for it in its metadata.
After an unclear failure (a lost reply, a kill between post and index) the message is looked up and adopted; a second
copy is deleted. Slack's limits: chat.postMessage about one a second per channel, so posts to a channel go one by one.
"""

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from slack_sdk.web.async_client import AsyncWebClient

from countersign import metrics
from countersign.domain.ids import ChannelId, RequestId, UserId, WorkspaceId, short_name
from countersign.metrics import Repair
from countersign.usecases.ports import Change, Committed, Message, Put, Seen, Store

from ..posted_messages import CLOCKS_DIFFER, EVENT_TYPE, Lookups, name_of
from ..slack_calls import PAUSE, Calls, CannotPost, still_good
from ..views.cards import Drawing

SECOND_LOOK: Final = timedelta(seconds=20)
"""After a message was posted that another process, frozen or cut off, may be about to post too."""
_LONGEST_POST: Final = timedelta(hours=1)
"""Before Slack took a message another process may have posted it too: it lets who posts much wait."""
_REMEMBERED: Final = timedelta(seconds=10)
"""How long a message that was looked for and does not stand is known not to, while its post was not tried again."""
_GONE: Final = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message belongs: a channel (or a user id, for a direct message), and a thread in it or ""."""

    channel: ChannelId | UserId
    thread: str = ""


class Poster:
    """Draws messages for one workspace."""

    def __init__(
        self, client: AsyncWebClient, store: Store, workspace: WorkspaceId, home: str, ours: frozenset[str]
    ) -> None:
        """`ours`: by whom Slack says that our messages are."""
        self.client = client
        self.workspace: Final = workspace
        self._calls = Calls(client)
        self.lookups = Lookups(self._calls, ours)
        self._absent: dict[str, tuple[int, float]] = {}
        self._store = store
        self._home = home if home.endswith("/") else home + "/"
        self._turn: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def link(self, message: Message) -> str:
        """The address under which Slack shows the message."""
        link = f"{self._home}archives/{message.channel}/p{message.ts.replace('.', '')}"
        return f"{link}?thread_ts={message.thread}&cid={message.channel}" if message.thread else link

    async def show(
        self,
        name: str,
        place: Place,
        drawing: Drawing,
        *,
        request: RequestId | None = None,
        post: bool = True,
        claim: str = "",
    ) -> Message | None:
        """Make the message of this name show the drawing; returns it, or None if there is none and `post` is False.

        A new one vouches for `claim`. CannotPost if Slack refuses for good, Outdated if another process may draw.
        Waits as long as Slack is away or asks to slow down.
        """
        drawn = short_name(drawing.text, repr(drawing.blocks), length=13)
        unclear = looked = False
        while True:
            seen = await self._store.message(name)
            if seen is None or not (seen.value.ts or seen.value.posting_since):
                if not post:
                    return None
                still_good(name)
                seen, found = await self._intend(name, place, request, claim, seen), None
                if seen is None:
                    continue
            elif seen.value.ts:
                if unclear:
                    await self._find(seen.value)
                return await self._redraw(seen, drawing, drawn, post)
            else:
                found, looked = await self._looked_for(seen), True
            if found is None and not post:
                return None
            if found is None:
                still_good(name)
                if looked:
                    await self._store.indexes.look_again(name, SECOND_LOOK)
            self._absent.pop(name, None)
            ts = found if found is not None else await self._post(seen.value, drawing)
            if ts is None:
                unclear = True
                await asyncio.sleep(PAUSE)
                continue
            known = replace(seen.value, ts=ts[1], channel=ChannelId(ts[0]), drawn="" if found else drawn, problem="")
            if request is None or place.thread:
                known = replace(known, posting_since=None)
            else:  # a card: rows may come while it is new, and silence may count from now on
                known = replace(known, stands_since=await self._store.now())
            if await self._store.commit(Change(messages=(Put(known, seen.version),))) is not Committed.DONE:
                await self._drop_orphan(name, known)
                continue
            if looked:
                _log.warning("%s was meant to be posted and %s.", name, "stood there" if found else "is now")
                metrics.repaired(Repair.NEVER_INDEXED if found else Repair.NEVER_POSTED)
            if not found:
                return known

    async def look_again(self) -> None:
        """Delete what a process posted that was frozen before its post, and killed right after it. StoreUnavailable,
        and CannotPost if Slack does not let us look."""
        for name in await self._store.indexes.to_look_at():
            seen = await self._store.message(name)
            if seen is not None and seen.value.ts:
                await self._find(seen.value)
            await self._store.indexes.looked_at(name)

    async def doubt(self, name: str) -> None:
        """Slack may show something else than was drawn last: what is drawn next is sent, even if it is the same."""
        seen = await self._store.message(name)
        if seen is not None and seen.value.drawn:
            await self._store.commit(Change(messages=(Put(replace(seen.value, drawn=""), seen.version),)))

    async def _intend(
        self,
        name: str,
        place: Place,
        request: RequestId | None,
        claim: str = "",
        planned: Seen[Message] | None = None,
    ) -> Seen[Message] | None:
        """The message before its post; None if another process has the same intent, and may have posted already."""
        now, version = await self._store.now(), planned.version if planned else 0
        message = Message(self.workspace, place.channel, name, "", place.thread, "", request, now, vouches=claim)
        if planned is not None:
            message = replace(message, rows=planned.value.rows, vouches=planned.value.vouches)
        if await self._store.commit(Change(messages=(Put(message, version),))) is Committed.DONE:
            return Seen(message, version + 1, now)
        return None

    async def _post(self, message: Message, drawing: Drawing) -> tuple[str, str] | None:
        """Channel and timestamp of the new message; None if it is unclear whether there is one."""
        async with self._turn[message.channel]:
            answer = await self._calls.call(
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
            while await self._calls.call("chat.update", content) is None:  # noqa: ASYNC110
                await asyncio.sleep(PAUSE)
        except CannotPost as wrong:
            if str(wrong) not in _GONE:
                raise
            _log.warning("Slack no longer lets us change %s (%s).", message.name, wrong)
            if str(wrong) == "message_not_found" and post:
                await self._store.commit(
                    Change(messages=(Put(replace(message, ts="", posting_since=seen.now), seen.version),))
                )
                place = Place(message.channel, message.thread)
                return await self.show(message.name, place, drawing, request=message.request)
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

    async def _looked_for(self, seen: Seen[Message]) -> tuple[str, str] | None:
        """As `_find`; what it did not find is not looked for again by whoever was `Outdated` meanwhile."""
        name, loop = seen.value.name, asyncio.get_running_loop()
        version, until = self._absent.pop(name, (0, 0.0))
        if version == seen.version and loop.time() < until:
            return None
        found = await self._find(seen.value)
        if found is None:
            self._absent[name] = seen.version, loop.time() + _REMEMBERED.total_seconds()
        return found

    async def _find(self, message: Message) -> tuple[str, str] | None:
        """The message of this name that stands in Slack; all copies of it but the known or else first are deleted."""
        found = [m for m in await self._since(message) if name_of(m) == message.name]
        found.sort(key=lambda m: (m["ts"] != message.ts, float(m["ts"])))
        for copy in found[1:]:
            _log.warning("Deleting a second copy of %s.", message.name)
            await self._calls.call("chat.delete", {"channel": message.channel, "ts": copy["ts"]})
        return (message.channel, found[0]["ts"]) if found else None

    async def _since(self, message: Message) -> list[dict[str, Any]]:
        return await self.lookups.since(message.channel, message.thread, _oldest(message))

    async def _drop_orphan(self, name: str, mine: Message) -> None:
        """Somebody recorded another message under this name while we were frozen: ours is the second copy."""
        seen = await self._store.message(name)
        if seen is not None and seen.value.ts and seen.value.ts != mine.ts:
            _log.warning("Deleting our second copy of %s.", name)
            await self._calls.call("chat.delete", {"channel": mine.channel, "ts": mine.ts})


def _oldest(message: Message) -> float:
    """From when on copies of the message may stand in Slack, by its clock."""
    if message.posting_since is not None:
        return (message.posting_since - CLOCKS_DIFFER).timestamp()
    return float(message.ts) - _LONGEST_POST.total_seconds()
