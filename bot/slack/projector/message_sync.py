"""Keep one Slack message equal to one drawing, whatever fails in between.

Posting is not idempotent, so the intent is stored first and the message carries our name for it in its metadata.
After an unclear failure (a lost reply, a kill between post and index) the message is looked up and adopted; a second
copy is deleted.

A clicked card is replaced by whoever took the click (`clicked_cards`), and the projector waits for that.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from countersign import metrics
from countersign.domain.ids import ApiKeyId, ChannelId, RequestId, UserId, WorkspaceId, short_name
from countersign.metrics import Repair
from countersign.usecases.compare_and_set import Keep, Swap, update
from countersign.usecases.ports import Change, Committed, Message, Put, Seen, Store

from ..ports import PAUSE, Burst, Calls, CannotPost, Grown, Importance, Outdated, drawing_task
from ..posted_messages import EVENT_TYPE, Copies, Lookups
from ..views.block_kit import Drawing

SECOND_LOOK: Final = timedelta(seconds=20)
"""After a message was posted that another process, frozen or cut off, may be about to post too."""
_LOOK: Final = 0.05
"""Seconds between two looks whether a card was replaced by whoever took the click."""
_LONGEST_TEXT: Final = 4000
"""Characters of a message's words for notifications; Slack refuses to change one to more."""
_GONE: Final = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a message: a channel, and a thread in it or ""."""

    channel: ChannelId
    thread: str = ""


class File(NamedTuple):
    """A file that belongs in a thread, and our name for it."""

    name: str
    place: Place
    filename: str
    content: bytes
    title: str


@dataclass(slots=True)
class _Order:
    """A drawing and the message to show it; `unclear`: our post may have arrived."""

    name: str
    place: Place
    drawing: Drawing
    request: RequestId | None
    claim: str
    importance: Importance
    rows: tuple[RequestId, ...] | None
    unclear: bool = False
    drawn: str = field(init=False)

    def __post_init__(self) -> None:
        self.drawn = digest(self.drawing)


def digest(drawing: Drawing) -> str:
    """Name what a message shows; what is worth no change of it does not count."""
    blocks = repr(drawing.blocks)
    for fragment in filter(None, drawing.late):
        blocks = blocks.replace(fragment, "")
    return short_name(drawing.text, blocks, length=13)


class _Faster(Exception): ...  # another process means to post it too


class Poster:
    """Draws messages for one workspace."""

    def __init__(self, calls: Calls, store: Store, workspace: WorkspaceId, home: str, ours: frozenset[str]) -> None:
        """`ours`: authors of our messages, as Slack names them."""
        self.client = calls.client
        self.calls: Final = calls
        self.workspace: Final = workspace
        self._calls = calls
        self.lookups = Lookups(self._calls.call, ours)
        self.copies = Copies(store, self._calls.call, self.lookups)
        self._store = store
        self._home = home.removesuffix("/") + "/"
        self._at_work: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._direct: dict[UserId, ChannelId] = {}
        self.waiting: dict[ChannelId, dict[RequestId, None]] = {}
        """Requests whose cards are being drawn in a channel; the store knows which are not posted."""
        self.bursts: dict[ApiKeyId, Burst] = {}  # of each program
        self._cards: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

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
        importance: Importance = Importance.REST,
        rows: tuple[RequestId, ...] | None = None,
    ) -> Message | None:
        """Make the message of this name show the drawing, and return it.

        None if there is none and `post` is False. A new one vouches for `claim`. CannotPost if Slack refuses for good,
        Outdated if another process may draw, or if it shows other `rows` by now. Waits as long as Slack is away or asks
        to slow down.
        """
        order = _Order(name, place, drawing, request, claim, importance, rows)
        async with self._at_work.setdefault(name, asyncio.Lock()):
            return await self._show(order, post)

    async def _show(self, order: _Order, post: bool) -> Message | None:
        name = order.name
        # No `update`: a rule may run twice, and a round here posts. Each that was overtaken waits for Slack or `_LOOK`.
        while True:
            seen = await self._store.message(name)
            if seen is not None and seen.value.ts:
                if order.unclear:  # what we posted may be a second copy
                    await self.copies.find(seen.value)
                if seen.value.replaced_by is None or seen.now >= seen.value.replaced_by:
                    return await self._redraw(seen, order, post)
                if seen.value.drawn == order.drawn:
                    return seen.value
                await asyncio.sleep(_LOOK)
                if drawing_task.get() is not None:
                    raise Outdated(f"{name} is being replaced by whoever took the click; reading again.")
                continue
            if seen is not None and seen.value.posting_since and await self._adopt(seen, order):
                continue
            if not post:
                return None
            if (posted := await self._post_first(seen, order)) is not None:
                return posted

    def is_open(self, channel: str, importance: Importance) -> bool:
        """Tell whether a post would go to this channel at once."""
        return self._calls.is_open("chat.postMessage", channel, importance)

    def card(self, name: str) -> asyncio.Lock:
        """Return the lock of a card, whose rows may be of several runs."""
        return self._cards.setdefault(name, asyncio.Lock())

    async def direct(self, user: UserId) -> ChannelId:
        """The channel of the app's messages with somebody.

        Of Slack's methods only posting takes a user's id.
        """
        while user not in self._direct:
            if (opened := await self._calls.call("conversations.open", {"users": user})) is not None:
                self._direct[user] = ChannelId(opened["channel"]["id"])
            else:
                await asyncio.sleep(PAUSE)
        return self._direct[user]

    async def stands(self, name: str) -> bool:
        """Return whether the message of this name is known to stand in Slack."""
        seen = await self._store.message(name)
        return seen is not None and bool(seen.value.ts)

    async def doubt(self, name: str) -> None:
        """Have the next drawing sent even if it is the same: Slack may show another."""
        await self._forget(name, lambda message: not message.drawn)

    async def _adopt(self, seen: Seen[Message], order: _Order) -> bool:
        """Find a message that was meant to be posted, and store where it stands."""
        place = await self.copies.find(seen.value)
        if place is not None and await self._record(seen, order, place, adopted=True):
            _log.warning("%s was meant to be posted and stood there.", order.name)
            metrics.repaired(Repair.NEVER_INDEXED)
        return place is not None

    async def _post_first(self, seen: Seen[Message] | None, order: _Order) -> Message | None:
        """The message, newly posted; None if it has to be looked at again.

        `seen`: what is stored of it: nothing, its plan, or that somebody meant to post it, whose post may still arrive.
        """
        again = seen is not None and seen.value.posting_since is not None
        if again:
            await self._store.indexes.look_again(order.name, SECOND_LOOK)
        intent = seen

        async def mean() -> None:
            nonlocal intent
            intent = await self._intend(seen, order)

        try:
            posted = await self._post(order, None if again else mean)
        except _Faster:
            return None
        assert intent is not None, "nothing is posted that was not meant"
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
        self, seen: Seen[Message], order: _Order, where: tuple[str, str], *, adopted: bool = False
    ) -> Message | None:
        """Store where the message stands; delete it and return None if another does."""
        drawn = "" if adopted else order.drawn
        known = replace(seen.value, ts=where[1], channel=ChannelId(where[0]), drawn=drawn, problem="")
        in_thread = order.place.thread and order.name != f"card/{order.request}"  # a note, not a conversation's card
        if order.request is None or in_thread:
            known = replace(known, posting_since=None)
        else:  # a card: rows may come while it is new, and silence may count from now on
            known = replace(known, stands_since=await self._store.now())
        if await self._store.commit(Change(messages=(Put(known, seen.version),))) is Committed.DONE:
            return known
        await self.copies.drop(order.name, known)
        return None

    async def _intend(self, planned: Seen[Message] | None, order: _Order) -> Seen[Message]:
        """Store the intent to post; raise _Faster if another did, Grown if the card has."""
        now, version = await self._store.now(), planned.version if planned else 0
        place = order.place
        message = Message(
            self.workspace, place.channel, order.name, "", place.thread, "", order.request, now, vouches=order.claim
        )
        if planned is not None:
            if order.rows is not None and planned.value.rows and planned.value.rows != order.rows:
                raise Grown(f"{order.name} has grown; reading again.")
            message = replace(message, rows=planned.value.rows, vouches=planned.value.vouches)
        if await self._store.commit(Change(messages=(Put(message, version),))) is not Committed.DONE:
            raise _Faster
        return Seen(message, version + 1, now)

    async def _post(self, order: _Order, first: Callable[[], Awaitable[None]] | None) -> tuple[str, str] | None:
        """Return channel and timestamp of the new message; None if it is unclear."""
        answer = await self._calls.call(
            "chat.postMessage",
            {
                "channel": order.place.channel,
                "thread_ts": order.place.thread or None,
                "text": order.drawing.text[:_LONGEST_TEXT],
                "blocks": order.drawing.blocks,
                "metadata": {"event_type": EVENT_TYPE, "event_payload": {"name": order.name}},
                "unfurl_links": False,
                "unfurl_media": False,
            },
            order.importance,
            first=first,
        )
        return (answer["channel"], answer["ts"]) if answer is not None else None

    async def _redraw(self, seen: Seen[Message], order: _Order, post: bool) -> Message | None:
        message, text = seen.value, order.drawing.text[:_LONGEST_TEXT]
        if message.drawn == order.drawn:
            return message
        content = {"channel": message.channel, "ts": message.ts, "text": text, "blocks": order.drawing.blocks}
        try:
            while await self._calls.call("chat.update", content, order.importance) is None:  # noqa: ASYNC110
                await asyncio.sleep(PAUSE)
        except CannotPost as wrong:
            if str(wrong) not in _GONE:
                raise
            _log.warning("Slack no longer lets us change %s (%s).", message.name, wrong)
            if str(wrong) == "message_not_found" and post:
                unposted = replace(message, ts="", posting_since=seen.now)
                await self._store.commit(Change(messages=(Put(unposted, seen.version),)))
                order.place, order.request = Place(message.channel, message.thread), message.request
                return await self._show(order, post)
        redrawn = replace(message, drawn=order.drawn, replaced_by=None)
        if await self._store.commit(Change(messages=(Put(redrawn, seen.version),))) is not Committed.DONE:
            await self._forget(message.name, lambda stored: stored == redrawn)  # another process drew it meanwhile
        return redrawn

    async def _forget(self, name: str, known: Callable[[Message], bool]) -> None:
        """Have a message drawn anew by whoever looks next, unless it is `known`."""

        async def propose() -> Keep[None] | Swap[None]:
            if (seen := await self._store.message(name)) is None or known(seen.value):
                return Keep(None)
            return Swap(Change(messages=(Put(replace(seen.value, drawn=""), seen.version),)), None)

        await update(self._store, propose)
