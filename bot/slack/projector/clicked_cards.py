"""Replace the card that somebody clicked through their click's response URL.

That is no `chat.update`, of which Slack takes fifty a minute: who clicks sees at once what became of it, however much
is to be drawn. In the step in which the attempt counts, the process that took the click says that it is going to
replace the card; the projector, which may be another process, waits for it. A response URL serves five answers in
thirty minutes; it is remembered for a window that was opened from the card.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final
from weakref import WeakValueDictionary

import aiohttp
from slack_sdk.webhook.async_client import AsyncWebhookClient

from countersign import usecases
from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.ids import RequestId
from countersign.usecases.ports import Admitted, Change, Committed, Message, Put, Store

from ..ports import Importance
from ..views.block_kit import Drawing
from . import card_drawing, card_grouping
from .message_sync import Place, Poster, digest

WITHIN: Final = timedelta(seconds=5)
"""From the attempt until its card is replaced; then the projector does it."""
GOOD_FOR: Final = 29 * 60.0
"""Seconds; Slack takes a response URL for thirty minutes."""
USES: Final = 3
"""Of five; the others are for what the person is told."""
_ANSWERS_WITHIN: Final = 3
_REMEMBERED: Final = 1000
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Click:
    url: str
    ts: str
    until: float
    uses: int = USES


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
        container, url = body.get("container") or {}, body.get("response_url")
        if container.get("type") != "message" or container.get("is_ephemeral") or not url:
            return
        self._clicks.pop(request, None)
        self._clicks[request] = _Click(
            str(url), str(container.get("message_ts")), asyncio.get_running_loop().time() + GOOD_FOR
        )
        if len(self._clicks) > _REMEMBERED:
            del self._clicks[next(iter(self._clicks))]

    async def held(self, seen: Admitted) -> tuple[Put[Message], ...]:
        """Return the clicked card as it is stored with an attempt."""
        click = self._click(seen.value.id)
        if click is None:
            return ()
        message = await card_grouping.message_of(self._store, seen)
        if message is None or message.value.ts != click.ts:
            self._clicks.pop(seen.value.id, None)  # it was not on the card
            return ()
        return (Put(replace(message.value, replaced_by=seen.now + WITHIN), message.version),)

    def replacing(self, request: RequestId) -> Coroutine[Any, Any, None] | None:
        """Return what replaces the card after an attempt; None if nobody clicked it here."""
        click = self._click(request)
        return None if click is None else self._in_turn(request, click)

    def _click(self, request: RequestId) -> _Click | None:
        click = self._clicks.get(request)
        gone = click is None or not click.uses or asyncio.get_running_loop().time() > click.until
        return None if gone else click

    async def _in_turn(self, request: RequestId, click: _Click) -> None:
        """Replace the card, one click after the other.

        Of many who click at once, only the first has anything to replace.
        """
        async with self._at_work.setdefault(click.ts, asyncio.Lock()):
            try:
                await self._replace(request, click)
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
        while (seen := await usecases.admitted(self._store, request)) is not None:
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

    async def _send(self, click: _Click, drawing: Drawing) -> bool:
        """Replace the card; False if it is unknown whether Slack did."""
        if not click.uses:
            return False
        click.uses -= 1
        hook = AsyncWebhookClient(click.url, session=self._session)
        card = {"replace_original": True, "text": drawing.text, "blocks": drawing.blocks}
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN):
                answer = await hook.send_dict(card)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as lost:
            _log.warning("Slack did not answer the replacement of a card (%r).", lost)
            return False
        if answer.status_code != 200:
            _log.warning("Slack did not replace a card (%s %s).", answer.status_code, answer.body)
        return answer.status_code == 200
