"""Keep one Slack message equal to one drawing, whatever fails in between.

Posting is not idempotent, so the intent is stored first and the message carries our name for it in its metadata.
After an unclear failure (a lost reply, a kill between post and index) the message is looked up and adopted; a second
copy is deleted. Slack's limits: chat.postMessage about one a second per channel, so posts to a channel go one by one.
"""

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from slack_sdk.web.async_client import AsyncWebClient

from countersign import metrics
from countersign.domain.ids import ChannelId, RequestId, UserId, WorkspaceId, short_name
from countersign.metrics import Repair
from countersign.usecases.ports import Change, Committed, Message, Put, Seen, Store

from ..posted_messages import CLOCKS_DIFFER, EVENT_TYPE, Lookups, name_of
from ..slack_calls import PAUSE, Calls, CannotPost, still_good
from ..views.block_kit import Drawing

SECOND_LOOK: Final = timedelta(seconds=20)
"""After a message was posted that another process, frozen or cut off, may be about to post too."""
_LONGEST_POST: Final = timedelta(hours=1)
"""Before Slack took a message another process may have posted it too: it lets who posts much wait."""
_GONE: Final = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a message: a channel (or a user id, for a direct message), and a thread in it or ""."""

    channel: ChannelId | UserId
    thread: str = ""


@dataclass(slots=True)
class _Order:
    """A drawing, and the message that is to show it.

    `unclear`: whether a post of ours may have arrived without a reply.
    """

    name: str
    place: Place
    drawing: Drawing
    request: RequestId | None
    claim: str
    unclear: bool = False
    drawn: str = field(init=False)

    def __post_init__(self) -> None:
        self.drawn = short_name(self.drawing.text, repr(self.drawing.blocks), length=13)


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
        order = _Order(name, place, drawing, request, claim)
        while True:
            seen = await self._store.message(name)
            if seen is not None and seen.value.ts:
                if order.unclear:  # what we posted may be a second copy
                    await self._find(seen.value)
                return await self._redraw(seen, order, post)
            if seen is not None and seen.value.posting_since and await self._adopt(seen, order):
                continue
            if not post:
                return None
            still_good(name)
            posted = await self._post_first(seen, order)
            if posted is not None:
                return posted

    async def stands(self, name: str) -> bool:
        """Return whether the message of this name is known to stand in Slack."""
        seen = await self._store.message(name)
        return seen is not None and bool(seen.value.ts)

    async def look_again(self) -> None:
        """Delete what a process posted that was frozen before its post, and killed right after it. StoreUnavailable,
        and CannotPost if Slack does not let us look."""
        for name in await self._store.indexes.to_look_at():
            seen = await self._store.message(name)
            if seen is not None and seen.value.ts:
                await self._find(seen.value)
            await self._store.indexes.looked_at(name)

    async def doubt(self, name: str) -> None:
        """Send what is drawn next even if it is the same: Slack may show something else than was drawn last."""
        seen = await self._store.message(name)
        if seen is not None and seen.value.drawn:
            await self._store.commit(Change(messages=(Put(replace(seen.value, drawn=""), seen.version),)))

    async def _adopt(self, seen: Seen[Message], order: "_Order") -> bool:
        """Find the message that somebody meant to post, and store where it stands; False if it does not."""
        found = await self._find(seen.value)
        if found is not None and await self._record(seen, order, found, adopted=True):
            _log.warning("%s was meant to be posted and stood there.", order.name)
            metrics.repaired(Repair.NEVER_INDEXED)
        return found is not None

    async def _post_first(self, seen: Seen[Message] | None, order: "_Order") -> Message | None:
        """The message, newly posted; None if it has to be looked at again.

        `seen`: what is stored of it: nothing, its plan, or that somebody meant to post it, whose post may still arrive.
        """
        again = seen is not None and seen.value.posting_since is not None
        if again:
            await self._store.indexes.look_again(order.name, SECOND_LOOK)
        intent = seen if again else await self._intend(seen, order)
        if intent is None:
            return None
        posted = await self._post(intent.value, order.drawing)
        if posted is None:
            order.unclear = True
            await asyncio.sleep(PAUSE)
            return None
        known = await self._record(intent, order, posted)
        if known is not None and again:
            _log.warning("%s was meant to be posted and is now.", order.name)
            metrics.repaired(Repair.NEVER_POSTED)
        return known

    async def _record(
        self, seen: Seen[Message], order: "_Order", where: tuple[str, str], *, adopted: bool = False
    ) -> Message | None:
        """Store where the message stands; None if somebody stored another one, and this one is deleted."""
        drawn = "" if adopted else order.drawn
        known = replace(seen.value, ts=where[1], channel=ChannelId(where[0]), drawn=drawn, problem="")
        if order.request is None or order.place.thread:
            known = replace(known, posting_since=None)
        else:  # a card: rows may come while it is new, and silence may count from now on
            known = replace(known, stands_since=await self._store.now())
        if await self._store.commit(Change(messages=(Put(known, seen.version),))) is Committed.DONE:
            return known
        await self._drop_orphan(order.name, known)
        return None

    async def _intend(self, planned: Seen[Message] | None, order: "_Order") -> Seen[Message] | None:
        """The message before its post; None if another process has the same intent, and may have posted already."""
        now, version = await self._store.now(), planned.version if planned else 0
        place = order.place
        message = Message(
            self.workspace, place.channel, order.name, "", place.thread, "", order.request, now, vouches=order.claim
        )
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

    async def _redraw(self, seen: Seen[Message], order: "_Order", post: bool) -> Message | None:
        message, drawing = seen.value, order.drawing
        if message.drawn == order.drawn:
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
                unposted = replace(message, ts="", posting_since=seen.now)
                await self._store.commit(Change(messages=(Put(unposted, seen.version),)))
                place = Place(message.channel, message.thread)
                return await self.show(message.name, place, drawing, request=message.request)
        redrawn = replace(message, drawn=order.drawn)
        if await self._store.commit(Change(messages=(Put(redrawn, seen.version),))) is not Committed.DONE:
            await self._overtaken(redrawn)
        return redrawn

    async def _overtaken(self, mine: Message) -> None:
        """Mark as unknown what Slack shows, because another process drew this meanwhile: whoever looks next
        draws it anew."""
        while (seen := await self._store.message(mine.name)) is not None and seen.value != mine:
            unknown = Change(messages=(Put(replace(seen.value, drawn=""), seen.version),))
            if await self._store.commit(unknown) is Committed.DONE:
                return

    async def _find(self, message: Message) -> tuple[str, str] | None:
        """Find the message of this name in Slack, and delete all copies of it but the known or else first one."""
        found = [m for m in await self._since(message) if name_of(m) == message.name]
        found.sort(key=lambda m: (m["ts"] != message.ts, float(m["ts"])))
        for copy in found[1:]:
            _log.warning("Deleting a second copy of %s.", message.name)
            await self._calls.call("chat.delete", {"channel": message.channel, "ts": copy["ts"]})
        return (message.channel, found[0]["ts"]) if found else None

    async def _since(self, message: Message) -> list[dict[str, Any]]:
        return await self.lookups.since(message.channel, message.thread, _oldest(message))

    async def _drop_orphan(self, name: str, mine: Message) -> None:
        """Delete our second copy, if somebody recorded another message under this name while we were frozen."""
        seen = await self._store.message(name)
        if seen is not None and seen.value.ts and seen.value.ts != mine.ts:
            _log.warning("Deleting our second copy of %s.", name)
            await self._calls.call("chat.delete", {"channel": mine.channel, "ts": mine.ts})


def _oldest(message: Message) -> float:
    """From when on copies of the message may stand in Slack, by its clock."""
    if message.posting_since is not None:
        return (message.posting_since - CLOCKS_DIFFER).timestamp()
    return float(message.ts) - _LONGEST_POST.total_seconds()
