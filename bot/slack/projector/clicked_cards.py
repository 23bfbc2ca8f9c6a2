"""Replace a clicked card through the response URL of the click.

Slack limits `chat.update` to fifty calls a minute, but not response URLs: the person who clicks sees the result at
once, however many messages wait to be drawn. The transaction that stores the attempt also announces that this process
will replace the card, and the projector, perhaps in another process, waits for it. A response URL takes five replies
within thirty minutes; it is remembered for windows that are opened from the card.

A signed click also proves where its card stands (R47). `held` stores a place that a killed process failed to store, and
recognises copies of a card, which are deleted.
"""

import asyncio
import json
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

import aiohttp
from slack_sdk.webhook.async_client import AsyncWebhookClient

from countersign import metrics
from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.ids import ChannelId, RequestId
from countersign.metrics import Repair
from countersign.usecases.ports import Change, Committed, Message, Put, SeenRequest, Store

from ...slack_proxy import proxy_for
from ..ports import Importance
from ..views.block_kit import Drawing
from ..views.spoken_text import spoken
from . import card_drawing, card_grouping
from .message_sync import Place, Poster, digest, standing

WITHIN: Final = timedelta(seconds=5)
"""Time to replace the card after an attempt; after that the projector draws it."""
GOOD_FOR: Final = 29 * 60.0
"""Seconds; a response URL works for thirty minutes."""
USES: Final = 3
"""Of five; the other two are for replies to the person."""
_ANSWERS_WITHIN: Final = 3
_REMEMBERED: Final = 1000
_log = logging.getLogger(__name__)


_CARD: Final = "card"
"""Key in a window's metadata for the message from which the window was opened."""


class _Standing(NamedTuple):
    """Place of one of our messages, as a payload proves it."""

    channel: ChannelId
    thread: str
    ts: str


@dataclass(slots=True)
class _Click:
    """A click on the message `ts`.

    `proven`: the message's place, if the payload proves it. `adopted`: the place was unknown and has been stored.
    `copy`: the stored message that the clicked message duplicates.
    """

    ts: str
    url: str
    until: float
    uses: int = USES
    proven: _Standing | None = None
    adopted: bool = False
    copy: Message | None = None


class ClickedCards:
    """Cards clicked in this process, replaced over the connections of `session`."""

    def __init__(self, store: Store, poster: Poster, session: aiohttp.ClientSession | None) -> None:
        self._store = store
        self._poster = poster
        self._session = session
        self._clicks: dict[RequestId, _Click] = {}
        self._at_work: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def clicked(self, request: RequestId, body: dict[str, Any]) -> None:
        """Remember the response URL of a click on this request's card."""
        container, url, until = body.get("container") or {}, body.get("response_url"), self._now() + GOOD_FOR
        proven = self._standing(body)
        if container.get("type") == "message" and not container.get("is_ephemeral") and url:
            click = _Click(str(container.get("message_ts")), str(url), until, proven=proven)
        elif proven is None or ((known := self._clicks.get(request)) is not None and known.ts == proven.ts):
            return
        else:  # another process opened the window, and this process does not know the response URL
            click = _Click(proven.ts, "", until, 0, proven)
        self._clicks.pop(request, None)
        self._clicks[request] = click
        if len(self._clicks) > _REMEMBERED:
            del self._clicks[next(iter(self._clicks))]

    def carrying(self, view: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """Add the message from which a window was opened to the window's metadata.

        Another process may receive its submission.
        """
        if (proven := self._standing(body)) is None:
            return view
        return {**view, "private_metadata": json.dumps({**json.loads(view["private_metadata"]), _CARD: proven})}

    def _standing(self, body: dict[str, Any]) -> _Standing | None:
        """Read the clicked message's place; None unless it is provably ours and public."""
        if (body.get("team") or {}).get("id") != self._poster.workspace:
            return None
        container, message = body.get("container") or {}, body.get("message") or {}
        if body.get("type") == "view_submission":
            carried = json.loads(body["view"]["private_metadata"]).get(_CARD)
            return None if carried is None else _Standing(ChannelId(carried[0]), carried[1], carried[2])
        channel, ts = ChannelId.named(container.get("channel_id") or ""), str(container.get("message_ts"))
        if container.get("type") != "message" or container.get("is_ephemeral") or channel is None:
            return None
        if message.get("ts") != ts or not self._poster.ours & {message.get("user"), message.get("bot_id")}:
            return None
        thread = container.get("thread_ts") or message.get("thread_ts") or ""
        return _Standing(channel, "" if thread == ts else thread, ts)

    async def held(self, seen: SeenRequest, counts: bool) -> tuple[Put[Message], ...]:
        """Return the clicked message to be stored with an attempt.

        `counts` is False for a refused attempt.
        """
        click = self._clicks.get(seen.value.id)
        if click is None:
            return ()
        click.adopted, click.copy = False, None
        card = await card_grouping.message_of(self._store, seen)
        if card is not None and card.value.ts == click.ts:
            if not counts or self._click(seen.value.id) is None:
                return ()
            return (Put(replace(card.value, replaced_by=seen.now + WITHIN), card.version),)
        unknown = None if click.proven is None else await self._meant_for(click.proven, seen, card)
        if unknown is None:
            self._clicks.pop(seen.value.id, None)  # the click was not on the request's card
            return ()
        if unknown.value.ts:  # the card is known to stand elsewhere, so the clicked message is a copy
            click.copy = unknown.value
            return ()
        # A process was killed between the post and its index: store the place together with the attempt.
        click.adopted = True
        message = standing(unknown.value, unknown.value.channel, click.ts, seen.now)
        if counts and unknown is card and self._click(seen.value.id) is not None:
            message = replace(message, replaced_by=seen.now + WITHIN)
        return (Put(message, unknown.version),)

    async def _meant_for(self, at: _Standing, seen: SeenRequest, card: Put[Message] | None) -> Put[Message] | None:
        """Find the request's message planned for this place; None if it is known there."""
        name = card_grouping.name_of(seen.value.id) if card is None else card.value.name
        others = [f"{name}/instead", *(f"{name}/{raised.number}" for raised in seen.value.raised)]
        stored = [card, *[await self._store.message(other) for other in others]]
        meant = [one if one is card else Put(one.value, one.version) for one in stored if one is not None]
        if any(one.value.ts == at.ts for one in meant):
            return None
        return next((one for one in meant if (one.value.channel, one.value.thread) == (at.channel, at.thread)), None)

    def replacing(self, request: RequestId) -> Coroutine[Any, Any, None] | None:
        """Return the coroutine that replaces the card; None if it was not clicked here."""
        known = self._clicks.get(request)
        if known is not None and known.copy is not None:
            return self._in_turn(request, known)
        if known is not None and known.adopted:
            _log.warning("A click revealed the place of the card of request %s.", request)
            metrics.repaired(Repair.NEVER_INDEXED)
            known.adopted = False
        click = self._click(request)
        return None if click is None else self._in_turn(request, click)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _click(self, request: RequestId) -> _Click | None:
        click = self._clicks.get(request)
        gone = click is None or not click.uses or self._now() > click.until
        return None if gone else click

    async def _in_turn(self, request: RequestId, click: _Click) -> None:
        """Replace the card, one click at a time.

        If many people click at once, only the first click has something to replace.
        """
        async with self._at_work.setdefault(click.ts, asyncio.Lock()):
            try:
                if click.copy is None:
                    await self._replace(request, click)
                else:
                    await self._drop(request, click, click.copy)
            except StoreUnavailable as away:
                _log.warning("%s The card of request %s will be drawn when the store is back.", away, request)
            except CountersignError as wrong:
                _log.error("The card of request %s cannot be drawn: %s", request, wrong)

    async def _replace(self, request: RequestId, click: _Click) -> None:
        """Send the current card, and repeat until no other draw interfered.

        After that the projector need not wait any longer.
        """
        # Not `update`: it may run its function twice, and each round here costs one of the few uses of a response URL.
        overtaken, drawing = False, None
        message: Put[Message] | None = None
        before = shown = None  # what the card showed before and after it was sent; "" if unknown
        while (seen := await self._store.request(request)) is not None:
            message = await card_grouping.message_of(
                self._store, seen
            )  # first, so that a row added later fails the commit
            if message is None or message.value.ts != click.ts:
                break
            card, drawn = await card_grouping.card_of(self._store, seen), message.value.drawn
            drawing = await card_drawing.picture(self._store, self._poster, card)
            newest = digest(drawing) if drawing is not None else drawn
            stands = drawn if shown is None else shown if drawn in (before, shown) else ""
            if drawing is not None and stands != newest:
                before = drawn
                shown = newest if await self._send(click, drawing) else ""
            replaced = replace(message.value, drawn=drawn if shown is None else shown, replaced_by=None)
            put = Change(messages=(Put(replaced, message.version),))
            if replaced == message.value or await self._store.commit(put) is Committed.DONE:
                break
            overtaken = True
        # It is unknown what the card shows, and the projector may have finished with it already.
        if overtaken and shown == "" and message is not None and drawing is not None:
            place = Place(message.value.channel, message.value.thread)
            await self._poster.show(message.value.name, place, drawing, post=False, importance=Importance.SETTLED)

    async def _drop(self, request: RequestId, click: _Click, of: Message) -> None:
        """Settle a copy of a message, then delete it.

        If Slack does not delete it, at least its buttons are gone.
        """
        if (seen := await self._store.request(request)) is not None:
            card = await card_grouping.card_of(self._store, seen)
            if (drawing := await card_drawing.picture(self._store, self._poster, card)) is not None:
                await self._send(click, drawing)
        await self._poster.copies.drop(of.name, replace(of, ts=click.ts))

    async def _send(self, click: _Click, drawing: Drawing) -> bool:
        """Replace the card; False if it is unknown whether Slack did."""
        if not click.uses:
            return False
        click.uses -= 1
        hook = AsyncWebhookClient(click.url, session=self._session)
        hook.proxy = proxy_for(click.url)
        card = {"replace_original": True, "text": spoken(drawing), "blocks": drawing.blocks}
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN):
                answer = await hook.send_dict(card)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as lost:
            _log.warning("Slack did not answer the replacement of a card (%r).", lost)
            return False
        if answer.status_code != 200:
            _log.warning("Slack did not replace a card (%s %s).", answer.status_code, answer.body)
        return answer.status_code == 200
