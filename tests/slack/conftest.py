"""A bot at the local Slack of the test, and the cards that it shows."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bot.slack.handlers import ack_deadline, modal_opening
from bot.slack.handlers.context import Services
from bot.slack.views.approval_card import card
from countersign.domain import batching
from countersign.domain.ids import RunId
from countersign.domain.requests import Request
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from localslack.workspace import Message
from tests.longest_wait import PATIENCE
from tests.short_pauses import short_pauses
from tests.slack.socket_bot import Show, connected_bot, post

__all__ = ["short_pauses"]
PAGES = "https://approve.example.com"


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is late, and a card grows for as long as the test takes: a test about being late says so itself."""
    monkeypatch.setattr(ack_deadline, "ACK_WITHIN", PATIENCE)
    monkeypatch.setattr(modal_opening, "OPEN_WITHIN", PATIENCE)
    monkeypatch.setattr(batching, "WITHIN", timedelta(seconds=PATIENCE))


@pytest.fixture
async def bot(slack: LocalSlack, store: Store) -> AsyncIterator[Services]:
    async with connected_bot(slack, store) as services:
        yield services
    assert slack.problems == []


@pytest.fixture
async def bot_with_pages(slack: LocalSlack, store: Store) -> AsyncIterator[Services]:
    """A bot whose people can prove who they are on pages."""
    async with connected_bot(slack, store, PAGES) as services:
        yield services
    assert slack.problems == []


@pytest.fixture
async def show(slack: LocalSlack, store: Store, lease: Lease, bot: Services) -> Show:
    """Posts the card of a request as the projector does, once."""

    async def shown(request: Request) -> Message:
        run = await store.run(RunId(request.run))
        assert run is not None
        drawing = card(request, run=run.value, run_link=None)
        return await post(slack, store, bot, drawing, request)

    return shown
