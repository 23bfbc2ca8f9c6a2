"""Find the requests on a card by the link that Slack gives for it."""

import re
from typing import Final

from countersign.domain.errors import NotFound
from countersign.domain.ids import ChannelId, RequestId
from countersign.store.store import Store

from . import messages

_LINK: Final = re.compile(r"https?://[^/\s]+/archives/([A-Z0-9]+)/p([0-9]{10})([0-9]{6})(?:[?#]\S*)?")


async def meant(store: Store, words: str) -> tuple[RequestId, ...]:
    """Return the request of that id, stored or not, or all on the card of that link.

    A link is what Slack's “Copy link” gives, of a card or of a reminder about one. NotFound if it leads to
    none that we know: messages are known for 400 days.
    """
    if not words.startswith(("https:", "http:")):
        return (RequestId(words),)
    link, workspace = _LINK.fullmatch(words), await store.workspace()
    first = None
    if link is not None and workspace is not None:
        first = await store.message_request(workspace, ChannelId(link[1]), f"{link[2]}.{link[3]}")
    if first is None:
        raise NotFound(messages.no_card(words))
    card = await store.message(f"card/{first}")
    if card is not None and card.value.on:
        card = await store.message(card.value.on)
    return (card.value.rows if card is not None else ()) or (first,)
