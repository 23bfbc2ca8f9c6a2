"""The real service, and a model on loopback that plays a script to each of the frameworks."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from countersign.domain import batching
from countersign.store.store import Store
from localslack import LocalSlack
from tests.adapters.stage import Bob, Script
from tests.api.conftest import bot, interface, program, token, url
from tests.openai_server import served

__all__ = ["bot", "interface", "program", "token", "url"]


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    it = Script()
    async with served(it.complete) as it.url:
        yield it
        it.goes_on()


@pytest.fixture(autouse=True)
def known(url: str, token: str, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service and the model are where the environment says."""
    monkeypatch.setenv("COUNTERSIGN_URL", url)
    monkeypatch.setenv("COUNTERSIGN_KEY", token)
    monkeypatch.setenv("OPENAI_BASE_URL", script.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-local")


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, calls of one turn share a card."""
    monkeypatch.setattr(batching, "WITHIN", timedelta(hours=1))


@pytest.fixture
def bob(slack: LocalSlack, store: Store, program: httpx.AsyncClient) -> Bob:
    return Bob(slack, store, program)
