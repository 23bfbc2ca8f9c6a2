"""Replace the card that somebody clicked through their click's response URL.

That is no `chat.update`, of which Slack takes fifty a minute: who clicks sees at once what became of it, however much
is to be drawn. In the step in which the attempt counts, the process that took the click says that it is going to
replace the card; the projector, which may be another process, waits for it. A response URL serves five answers in
thirty minutes; it is remembered for a window that was opened from the card.

A signed click also proves where its card stands (R47). If nobody has written that down, because a process was killed
between the post and its index, it is stored in the same step as the attempt. If the card is known to stand elsewhere,
the clicked message is a copy and is deleted.
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
"""From the attempt until its card is replaced; then the projector does it."""
GOOD_FOR: Final = 29 * 60.0
"""Seconds; Slack takes a response URL for thirty minutes."""
USES: Final = 3
"""Of five; the others are for what the person is told."""
_ANSWERS_WITHIN: Final = 3
_REMEMBERED: Final = 1000
_log = logging.getLogger(__name__)


_CARD: Final = "card"
"""The key in a window's metadata under which it carries the message that it was opened from."""


class _Standing(NamedTuple):
    """A message of ours, and the place where a payload proves that it stands."""

    channel: ChannelId
    thread: str
    ts: str


@dataclass(slots=True)
class _Click:
    """A click on the message `ts`.

    `proven`: where it stands, unless the payload leaves that open. `adopted` and `copy`: the stored message that it
    turned out to be, or to be a copy of.
    """

    ts: str
    url: str
    until: float
    uses: int = USES
    proven: _Standing | None = None
    adopted: bool = False
    copy: Message | None = None


class ClickedCards:
    """The cards that people clicked here, replaced over the connections of `session`."""

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
        else:  # a window that another process opened: its response URL is not known here
            click = _Click(proven.ts, "", until, 0, proven)
        self._clicks.pop(request, None)
        self._clicks[request] = click
        if len(self._clicks) > _REMEMBERED:
            del self._clicks[next(iter(self._clicks))]

    def carrying(self, view: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """Have a window carry the message that it was opened from.

        Another process may receive its submission.
        """
        if (proven := self._standing(body)) is None:
            return view
        return {**view, "private_metadata": json.dumps({**json.loads(view["private_metadata"]), _CARD: proven})}

    def _standing(self, body: dict[str, Any]) -> _Standing | None:
        """Read where the clicked message stands; None unless the payload proves that it is ours, and everybody's."""
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
        """Return the clicked message as it is stored with an attempt.

        The attempt `counts`, or is refused.
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
            self._clicks.pop(seen.value.id, None)  # it was not on the card
            return ()
        if unknown.value.ts:
            click.copy = unknown.value
            return ()
        click.adopted = True
        message = standing(unknown.value, unknown.value.channel, click.ts, seen.now)
        if counts and unknown is card and self._click(seen.value.id) is not None:
            message = replace(message, replaced_by=seen.now + WITHIN)
        return (Put(message, unknown.version),)

    async def _meant_for(self, at: _Standing, seen: SeenRequest, card: Put[Message] | None) -> Put[Message] | None:
        """Find the message of the request that was meant to stand there; None if the clicked one is known."""
        name = card_grouping.name_of(seen.value.id) if card is None else card.value.name
        others = [f"{name}/instead", *(f"{name}/{raised.number}" for raised in seen.value.raised)]
        stored = [card, *[await self._store.message(other) for other in others]]
        meant = [one if one is card else Put(one.value, one.version) for one in stored if one is not None]
        if any(one.value.ts == at.ts for one in meant):
            return None
        return next((one for one in meant if (one.value.channel, one.value.thread) == (at.channel, at.thread)), None)

    def replacing(self, request: RequestId) -> Coroutine[Any, Any, None] | None:
        """Return what replaces the card after an attempt; None if nobody clicked it here."""
        known = self._clicks.get(request)
        if known is not None and known.copy is not None:
            return self._in_turn(request, known)
        if known is not None and known.adopted:
            _log.warning("A click showed where the card of request %s stands.", request)
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
        """Replace the card, one click after the other.

        Of many who click at once, only the first has anything to replace.
        """
        async with self._at_work.setdefault(click.ts, asyncio.Lock()):
            try:
                if click.copy is None:
                    await self._replace(request, click)
                else:
                    await self._drop(request, click, click.copy)
            except StoreUnavailable as away:
                _log.warning("%s The card of request %s is drawn when it is back.", away, request)
            except CountersignError as wrong:
                _log.error("The card of request %s cannot be drawn: %s", request, wrong)

    async def _replace(self, request: RequestId, click: _Click) -> None:
        """Send the card as it is now, until nobody drew anything else meanwhile.

        Then the projector need not wait any longer.
        """
        # No `update`: a rule may run twice, and a round here takes one of the few uses of a response URL.
        overtaken, drawing = False, None
        message: Put[Message] | None = None
        before = shown = None  # what the card showed before it was sent, and since; "" if that is unknown
        while (seen := await self._store.request(request)) is not None:
            message = await card_grouping.message_of(self._store, seen)  # before the other rows of a burst are read
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
        # Nobody knows what stands there, and the projector may be done with it.
        if overtaken and shown == "" and message is not None and drawing is not None:
            place = Place(message.value.channel, message.value.thread)
            await self._poster.show(message.value.name, place, drawing, post=False, importance=Importance.SETTLED)

    async def _drop(self, request: RequestId, click: _Click, of: Message) -> None:
        """Settle a copy of a message, and delete it: if Slack does not, it shows no button that decides."""
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
