"""The interface over real HTTP, a real store and a local Slack, and a client with a key."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from bot.api import openapi
from bot.api.endpoints import CONNECTIONS, Interface, app
from bot.slack import http
from bot.slack.handlers.context import Services
from bot.slack.views.edit_modal import check_form
from countersign.domain import api_keys
from countersign.domain.ids import UserId
from countersign.store.programs import ApiKeys
from countersign.store.request_lists import Overview
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases.overview import card_link
from localslack import LocalSlack
from tests.adapters.stage import Bob
from tests.longest_wait import PATIENCE
from tests.sample_requests import HERE
from tests.slack.socket_bot import connected_bot
from tests.slack.test_projector import running_projector

DOCUMENT = openapi.document()
LOOPBACK = frozenset({ip_network("127.0.0.0/8"), ip_network("::1/128")})
"""The receivers of callbacks are on this machine."""


async def as_described(answer: httpx.Response) -> None:
    """Check an answer of an operation against the document."""
    for path, operations in DOCUMENT["paths"].items():
        operation = operations.get(answer.request.method.lower())
        if operation and re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), answer.request.url.path):
            content = operation["responses"][str(answer.status_code)].get("content")
            if content is None:
                assert not await answer.aread()
                return
            (media,) = content
            assert answer.headers["content-type"] == media
            if media == "application/x-ndjson":
                return
            fits((await answer.aread()) and answer.json(), content[media]["schema"])


def fits(body: Any, schema: dict[str, Any]) -> None:
    """Check a value against a schema of the document."""
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(body)


@pytest.fixture
async def bot(slack: LocalSlack, store: Store) -> AsyncIterator[Services]:
    """A bot whose cards are drawn."""
    async with connected_bot(slack, store) as services, running_projector(slack, store):
        yield services


@pytest.fixture
def interface(store: Store, wakeups: Wakeups, bot: Services) -> Interface:
    channels, card = bot.directory.channels, partial(card_link, Overview(store), bot.link)
    return Interface(
        *(store, ApiKeys(store), wakeups, channels, HERE, UserId("U0BOT"), check_form, LOOPBACK),
        card_link=card,
        users_named=bot.directory.users_named,
    )


@pytest.fixture
async def url(interface: Interface) -> AsyncIterator[str]:
    """The interface's address."""
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(http.serving(app(interface), "127.0.0.1", 0, CONNECTIONS))
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def token(store: Store) -> str:
    """A key for #general."""
    issued = api_keys.issue("ci", ("C0GENERAL",), await store.now())
    await ApiKeys(store).put(issued.key)
    return issued.token


@pytest.fixture
def service_in_environment(url: str, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is where the environment says, with the key that it says."""
    monkeypatch.setenv("COUNTERSIGN_URL", url)
    monkeypatch.setenv("COUNTERSIGN_KEY", token)


@pytest.fixture
def bob(slack: LocalSlack, store: Store, program: httpx.AsyncClient) -> Bob:
    return Bob(slack, store, program)


@pytest.fixture
async def program(url: str, token: str) -> AsyncIterator[httpx.AsyncClient]:
    """A program with that key. It reads no certificates, which would take longer than its requests."""
    headers = {"authorization": f"Bearer {token}"}
    hooks = {"response": [as_described]}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=PATIENCE, event_hooks=hooks, verify=False
    ) as client:
        yield client
