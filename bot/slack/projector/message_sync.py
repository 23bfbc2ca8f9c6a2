"""Keep a Slack message equal to its drawing, whatever fails.

Posting is not idempotent, so the intent is stored first and the message carries our name for it in its metadata. After
an unclear failure (a lost reply, a kill between post and index) the message is looked up and adopted; a second copy is
deleted.

The process that received a click replaces the card (`clicked_cards`), and the projector waits for it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from countersign import metrics
from countersign.domain.ids import ChannelId, RequestId, UserId, WorkspaceId, short_name
from countersign.metrics import Repair
from countersign.usecases.compare_and_set import Keep, Swap, update
from countersign.usecases.ports import Change, Committed, Message, Put, Seen, Store

from ..ports import PAUSE, Calls, CannotPost, Importance, Outdated, RowsAdded, drawing_task
from ..unconfirmed_posts import EVENT_TYPE, Copies, PostedMessages
from ..views.block_kit import Drawing
from ..views.spoken_text import spoken

SECOND_LOOK: Final = timedelta(seconds=20)
"""Delay of the second search for copies, in case a frozen or disconnected process posts the same message late."""
_LOOK: Final = 0.05
"""Seconds between two checks whether the clicked card was replaced."""
_GONE: Final = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a message: a channel, and a thread in it or ""."""

    channel: ChannelId
    thread: str = ""


class File(NamedTuple):
    """File that belongs in a thread, with our name for it."""

    name: str
    place: Place
    filename: str
    content: bytes
    title: str


@dataclass(slots=True)
class _Target:
    """A message and the drawing it should show; `unclear`: our post may have arrived."""

    name: str
    place: Place
    drawing: Drawing
    request: RequestId | None
    importance: Importance
    rows: tuple[RequestId, ...] | None
    unclear: bool = False
    drawn: str = field(init=False)

    def __post_init__(self) -> None:
        self.drawn = digest(self.drawing)


def digest(drawing: Drawing) -> str:
    """Return a digest of a drawing without its `incidental` parts."""
    blocks = repr(drawing.blocks)
    for fragment in filter(None, drawing.incidental):
        blocks = blocks.replace(fragment, "")
    return short_name(drawing.text, blocks, length=13)


def standing(message: Message, channel: ChannelId, ts: str, now: datetime) -> Message:
    """Return the record of a posted message whose content is not known yet."""
    found = replace(message, channel=channel, ts=ts, drawn="", problem="")
    is_note = message.thread and message.name != f"card/{message.request}"  # a conversation's card is also in a thread
    if message.request is None or is_note:
        return replace(found, posting_since=None)
    return replace(found, stands_since=now)  # a card: reminders are counted from now


class _Overtaken(Exception): ...  # another process is about to post the message


class Poster:
    """Draws messages for one workspace."""

    thread_replies = False
    """Whether Slack sends the app what people write in threads; a card invites replies only then."""
    pages = ""
    """Address of the pages on which people prove who they are; "" without pages."""

    def __init__(self, calls: Calls, store: Store, workspace: WorkspaceId, home: str, ours: frozenset[str]) -> None:
        """`ours`: authors of our messages, as Slack names them."""
        self.calls: Final = calls
        self.workspace: Final = workspace
        self.ours: Final = ours
        self.lookups = PostedMessages(self.calls.call, ours)
        self.copies = Copies(store, self.calls.call, self.lookups)
        self._store = store
        self._home = home.removesuffix("/") + "/"
        self._at_work: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._direct: dict[UserId, ChannelId] = {}

    def link(self, message: Message) -> str:
        """Return the message's permalink."""
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
        importance: Importance = Importance.REST,
        rows: tuple[RequestId, ...] | None = None,
    ) -> Message | None:
        """Make the message of this name show the drawing, and return it.

        None if the message does not exist and `post` is False. CannotPost if Slack refuses for good, Outdated if
        another process may draw or the message has other `rows` by now. Waits while Slack is away or asks to slow down.
        """
        target = _Target(name, place, drawing, request, importance, rows)
        async with self._at_work.setdefault(name, asyncio.Lock()):
            return await self._show(target, post)

    async def _show(self, target: _Target, post: bool) -> Message | None:
        name = target.name
        # Not `update`: it may run its function twice, and each round here may post. A round that lost the race waits
        # for Slack or for `_LOOK`, so the loop cannot spin.
        while True:
            seen = await self._store.message(name)
            if seen is not None and seen.value.ts:
                if target.unclear:  # our unconfirmed post may be a second copy
                    await self.copies.find(seen.value)
                # A process that received a click replaces the card until `replaced_by`; draw it ourselves after that.
                if seen.value.replaced_by is None or seen.now >= seen.value.replaced_by:
                    return await self._redraw(seen, target, post)
                if seen.value.drawn == target.drawn:
                    return seen.value
                await asyncio.sleep(_LOOK)
                if drawing_task.get() is not None:
                    raise Outdated(f"{name} is being replaced after a click; reading again.")
                continue
            # The intent was stored, but not the result: the message may be in Slack already.
            if seen is not None and seen.value.posting_since and await self._adopt(seen, target):
                continue
            if not post:
                return None
            if (posted := await self._post_first(seen, target)) is not None:
                return posted

    def is_open(self, channel: str, importance: Importance) -> bool:
        """Tell whether a post would go to this channel at once."""
        return self.calls.is_open("chat.postMessage", channel, importance)

    async def direct(self, user: UserId) -> ChannelId:
        """Return the channel of the app's direct messages with a person.

        Only Slack's posting methods accept a user id as the channel.
        """
        while user not in self._direct:
            if (opened := await self.calls.call("conversations.open", {"users": user})) is not None:
                self._direct[user] = ChannelId(opened["channel"]["id"])
            else:
                await asyncio.sleep(PAUSE)
        return self._direct[user]

    async def first_standing(self, *names: str) -> Message | None:
        """Return the first of these messages that is known to be in Slack."""
        for name in names:
            seen = await self._store.message(name)
            if seen is not None and seen.value.ts:
                return seen.value
        return None

    async def missing(self, files: Sequence[str]) -> set[str]:
        """Return the names of the files that could not be uploaded."""
        return {name for name, file in (await self._store.messages(files)).items() if file.problem}

    async def doubt(self, name: str) -> None:
        """Send the next drawing even if it is unchanged: Slack may show another one."""
        await self._forget_drawn(name, lambda message: bool(message.drawn))

    async def _adopt(self, seen: Seen[Message], target: _Target) -> bool:
        """Find a message whose post was intended, and store its place."""
        place = await self.copies.find(seen.value)
        if place is not None and await self._record(seen, target, place, adopted=True):
            _log.warning("%s had been posted but not recorded; its place is recorded now.", target.name)
            metrics.repaired(Repair.NEVER_INDEXED)
        return place is not None

    async def _post_first(self, seen: Seen[Message] | None, target: _Target) -> Message | None:
        """Post the message; None if its record must be read again.

        `seen` is the stored record: None, a plan, or the intent of another process, whose post may still arrive.
        """
        again = seen is not None and seen.value.posting_since is not None
        if again:
            # The process that stored the intent may only be frozen, and post its copy after this one.
            await self._store.indexes.look_again(target.name, SECOND_LOOK)
        intent = seen

        async def store_intent() -> None:
            nonlocal intent
            intent = await self._store_intent(seen, target)

        try:
            posted = await self._post(target, None if again else store_intent)
        except _Overtaken:
            return None
        assert intent is not None, "nothing is posted without a stored intent"
        if posted is None:  # the reply was lost: the next round looks the message up before it posts
            target.unclear = True
            await asyncio.sleep(PAUSE)
            return None
        message = await self._record(intent, target, posted)
        if message is not None and again:
            _log.warning("%s had not been posted as intended; it is posted now.", target.name)
            metrics.repaired(Repair.NEVER_POSTED)
        return message

    async def _record(
        self, seen: Seen[Message], target: _Target, where: tuple[str, str], *, adopted: bool = False
    ) -> Message | None:
        """Store the message's place; delete it and return None if it is a copy."""
        now, asked = await self._store.now(), list[datetime]()
        message = standing(seen.value, ChannelId(where[0]), where[1], now)
        message = message if adopted else replace(message, drawn=target.drawn)
        if target.rows is not None:
            asked = await self._store.indexes.unposted(message.rows or target.rows)
        if await self._store.commit(Change(messages=(Put(message, seen.version),))) is Committed.DONE:
            for at in asked:
                metrics.card_posted((now - at).total_seconds())
            return message
        await self.copies.drop(target.name, message)
        return None

    async def _store_intent(self, planned: Seen[Message] | None, target: _Target) -> Seen[Message]:
        """Store the intent to post.

        _Overtaken if another process stored one, RowsAdded if the card has more rows.
        """
        now, version = await self._store.now(), planned.version if planned else 0
        place = target.place
        message = Message(self.workspace, place.channel, target.name, "", place.thread, "", target.request, now)
        if planned is not None:
            if target.rows is not None and planned.value.rows and planned.value.rows != target.rows:
                raise RowsAdded(f"{target.name} has more rows; reading again.")
            message = replace(message, rows=planned.value.rows)
        if await self._store.commit(Change(messages=(Put(message, version),))) is not Committed.DONE:
            raise _Overtaken
        return Seen(message, version + 1, now)

    async def _post(self, target: _Target, before_call: Callable[[], Awaitable[None]] | None) -> tuple[str, str] | None:
        """Return the new message's channel and timestamp; None if the outcome is unclear."""
        answer = await self.calls.call(
            "chat.postMessage",
            {
                "channel": target.place.channel,
                "thread_ts": target.place.thread or None,
                "text": spoken(target.drawing),
                "blocks": target.drawing.blocks,
                "metadata": {"event_type": EVENT_TYPE, "event_payload": {"name": target.name}},
                "unfurl_links": False,
                "unfurl_media": False,
            },
            target.importance,
            before_call=before_call,
        )
        return (answer["channel"], answer["ts"]) if answer is not None else None

    async def _redraw(self, seen: Seen[Message], target: _Target, post: bool) -> Message | None:
        if (message := seen.value).drawn == target.drawn:
            return message
        text, blocks = spoken(target.drawing), target.drawing.blocks
        content = {"channel": message.channel, "ts": message.ts, "text": text, "blocks": blocks}
        try:
            while await self.calls.call("chat.update", content, target.importance) is None:  # noqa: ASYNC110
                await asyncio.sleep(PAUSE)
        except CannotPost as wrong:
            if str(wrong) not in _GONE:
                raise
            _log.warning("Slack no longer lets us change %s (%s).", message.name, wrong)
            # Somebody deleted the message: post it again, after a search for copies.
            if str(wrong) == "message_not_found" and post:
                unposted = replace(message, ts="", posting_since=seen.now)
                await self._store.commit(Change(messages=(Put(unposted, seen.version),)))
                target.place, target.request = Place(message.channel, message.thread), message.request
                return await self._show(target, post)
        redrawn = replace(message, drawn=target.drawn, replaced_by=None)
        if await self._store.commit(Change(messages=(Put(redrawn, seen.version),))) is not Committed.DONE:
            # Slack may now show our older drawing over a newer one: forget it, so that the next draw is sent.
            by_another = await self._forget_drawn(message.name, lambda stored: stored != redrawn)
            if by_another and (task := drawing_task.get()):
                task.overtaken = True
                raise Outdated(f"{message.name} was drawn by another process in the meantime; reading again.")
        return redrawn

    async def _forget_drawn(self, name: str, is_outdated: Callable[[Message], bool]) -> bool:
        """Mark an outdated message for redrawing, and tell whether it was outdated."""

        async def propose() -> Keep[bool] | Swap[bool]:
            if (seen := await self._store.message(name)) is None or not is_outdated(seen.value):
                return Keep(False)
            return Swap(Change(messages=(Put(replace(seen.value, drawn=""), seen.version),)), True)

        return (await update(self._store, propose)).value
