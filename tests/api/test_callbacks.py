"""Decisions are posted to the programs that asked for it: signed, until they arrive, and nowhere inside."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.api import callback_addresses, callbacks
from bot.api.callbacks import AFTER, AT_ONCE, QUEUE, CallbackDelivery, _following
from bot.slack import http
from bot.slack.handlers.context import Services
from countersign.domain import api_keys
from countersign.domain.actions import Action
from countersign.domain.callback_signing import headers
from countersign.domain.calls import Call
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId, RequestId, UserId
from countersign.domain.requests import Kind, Question, Verb
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.programs import ApiKeys, Callbacks
from countersign.store.store import Store
from countersign.usecases.run_requests import submit
from localslack import LocalSlack
from tests.api.conftest import LOOPBACK
from tests.sample_requests import HERE
from tests.slack.test_projector import card_of


class Receiver:
    """A program's own server: it answers with `statuses` in turn, the last one for ever."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses = [200]
        self.posted: list[tuple[dict[str, str], bytes]] = []

    async def take(self, request: Request) -> Response:
        self.posted.append((dict(request.headers), await request.body()))
        status = self.statuses[0] if len(self.statuses) == 1 else self.statuses.pop(0)
        return Response(status_code=status, headers={"location": f"{self.url}/inside"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = Starlette(routes=[Route("/{path:path}", made.take, methods=["GET", "POST"])])
    async with http.serving(app, "127.0.0.1", 0) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made


async def ask(program: httpx.AsyncClient, url: str, key: str = "one") -> httpx.Response:
    body = {"title": "Deploy?", "message": "To staging.", "callback_url": url}
    return await program.post("/v1/requests", json=body, headers={"idempotency-key": key})


async def deliver(delivery: CallbackDelivery) -> None:
    """Post all that is due, and wait for the answers."""
    await delivery.begin()
    await asyncio.gather(*delivery.in_hand.values())


async def settled(slack: LocalSlack, program: httpx.AsyncClient, url: str) -> str:
    """Ask with this callback, and let bob approve; returns the request."""
    first = await ask(program, url)
    assert first.status_code == 201, first.text
    await slack.user("bob").click(await card_of(slack), "Approve")
    return str(first.json()["id"])


async def test_callback_is_signed_and_retried_until_accepted(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, token: str, receiver: Receiver
) -> None:
    """Standard Webhooks: one id for all attempts, a time for each, and a signature that the key's secret checks."""
    receiver.statuses = [500, 200]
    name = await settled(slack, program, f"{receiver.url}/hook?team=7")
    kept, delivery = Callbacks(store), CallbackDelivery(store, "web", LOOPBACK)
    await deliver(delivery)
    assert await kept.due(await store.now(), 9) == [], "the next attempt is not yet"
    assert await kept.due(await store.now() + AFTER[2], 9) == [name]
    await kept.again(await store.now(), RequestId(name))
    await deliver(delivery)
    await deliver(delivery)
    assert len(receiver.posted) == 2, "what arrived is not posted again"
    parts = api_keys.parts_of(token)
    key = await ApiKeys(store).get(parts[0]) if parts else None
    assert key is not None
    for sent, body in receiver.posted:
        signed = f"{sent['webhook-id']}.{sent['webhook-timestamp']}.".encode() + body
        secret = base64.b64decode(key.secrets[-1].callback_secret.removeprefix("whsec_"))
        digest = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        assert sent["webhook-signature"] == f"v1,{digest}"
        assert sent["webhook-id"] == f"msg_{name}"
        told = json.loads(body)
        assert (told["type"], told["data"]["id"], told["data"]["decision"]["by"]) == (
            "request.decided",
            name,
            ["U0BOB"],
        )


async def test_callback_of_a_newer_version_is_left_for_it(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, receiver: Receiver
) -> None:
    """R5: during a rolling update an older process may hold the lease."""
    name = RequestId(await settled(slack, program, f"{receiver.url}/hook"))
    key, kept, delivery = store.keys.request(name), Callbacks(store), CallbackDelivery(store, "web", LOOPBACK)
    readable = await store.client.get(key)
    assert readable is not None
    version, _, rest = readable.partition(b" 2\n")
    await store.client.set(key, version + b" 99\n" + rest, keepttl=True)
    await deliver(delivery)
    assert await kept.due(await store.now(), 9) == [], "nor is it tried without a pause"
    assert await kept.due(await store.now() + callbacks.NEWER_AGAIN, 9) == [name]
    await store.client.set(key, readable, keepttl=True)
    await kept.again(await store.now(), name)
    await deliver(delivery)
    assert len(receiver.posted) == 1


def test_signature_matches_the_standard_webhooks_library() -> None:
    made = headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("status", [302, 410])
async def test_redirect_is_not_followed_and_gone_ends_callbacks(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, receiver: Receiver, status: int
) -> None:
    """After 410 nothing more is sent; after a redirect the next attempt is due later."""
    receiver.statuses = [status]
    name = await settled(slack, program, f"{receiver.url}/hook")
    await deliver(CallbackDelivery(store, "web", LOOPBACK))
    assert len(receiver.posted) == 1
    left = await Callbacks(store).due(await store.now() + timedelta(days=3), 9)
    assert left == ([] if status == 410 else [name])


async def test_callback_to_internal_address_or_revoked_key_is_dropped(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, token: str, receiver: Receiver
) -> None:
    """The address is judged again before each attempt: a name may have moved, or the setting may have changed."""
    name = await settled(slack, program, receiver.url.replace("127.0.0.1", "localhost"))
    await deliver(CallbackDelivery(store, "web", frozenset()))
    assert receiver.posted == []
    parts = api_keys.parts_of(token)
    key = await ApiKeys(store).get(parts[0]) if parts else None
    assert key is not None
    await ApiKeys(store).put(api_keys.revoke(key, await store.now()))
    await Callbacks(store).again(await store.now(), RequestId(name))
    await deliver(CallbackDelivery(store, "web", LOOPBACK))
    assert receiver.posted == []
    assert await Callbacks(store).due(await store.now() + timedelta(days=3), 9) == []


async def test_callback_address_is_part_of_the_request(program: httpx.AsyncClient) -> None:
    assert (await ask(program, "https://example.com/a")).status_code == 201
    other = await ask(program, "https://example.com/b")
    assert (other.status_code, "callback_url" in other.json()["detail"]) == (409, True)
    for wrong in ("ftp://example.com", "https://", "https://user:secret@example.com/", "x", "https://10.0.0.1/", "é"):
        answer = await ask(program, wrong, "two")
        assert (answer.status_code, "callback_url" in answer.json()["detail"]) == (400, True), wrong
        assert "secret@" not in answer.text


INSIDE = """127.0.0.1 10.0.0.1 169.254.169.254 0.0.0.0 100.64.0.1 224.0.0.1 255.255.255.255
::1 :: fe80::1 fec0::1 fd00::1 ff02::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::"""


SPECIAL = """
    0.1.2.3 100.64.0.1 192.0.0.1 192.0.0.8 192.0.0.9 192.0.0.10 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1
    192.88.99.1 192.175.48.1 198.18.0.1 198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.255 224.0.0.1 ::1.2.3.4
    64:ff9b:1::a00:1 64:ff9b::c000:1 100::1 100:0:0:1::1 2001:1::1 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1
    2001:20::1 2001:30::1 2001:db8::1 2002:c000:1:: 2002:a00:1:: 2620:4f:8000::1 3fff::1 3fff:fff:ffff::1 5f00::1
    4000::1 ::ffff:192.0.0.1 ::ffff:0:10.0.0.1 ff02::1
"""
"""An address of each entry in IANA's two special-purpose registries, and of embeddings of these."""


@pytest.mark.parametrize("address", SPECIAL.split())
def test_special_purpose_addresses_are_never_reached(address: str) -> None:
    assert not callback_addresses.may_reach(ip_address(address), frozenset())


@pytest.mark.parametrize("address", INSIDE.split())
def test_internal_addresses_need_their_network_in_the_settings(address: str) -> None:
    """Loopback, private, link-local and the rest, also dressed up as IPv6."""
    one = ip_address(address)
    assert not callback_addresses.may_reach(one, frozenset())
    assert not callback_addresses.may_reach(one, frozenset({ip_network("192.168.0.0/16")}))


def test_public_addresses_need_https_and_named_networks_do_not() -> None:
    """`http` is allowed only to networks that CALLBACK_NETWORKS names."""
    networks = frozenset({ip_network("10.1.0.0/16")})
    assert callback_addresses.may_reach(ip_address("93.184.216.34"), frozenset())
    assert callback_addresses.may_reach(ip_address("2606:2800:220:1::1"), frozenset())
    assert callback_addresses.may_reach(ip_address("10.1.2.3"), networks, plain=True)
    assert not callback_addresses.may_reach(ip_address("93.184.216.34"), networks, plain=True)
    with pytest.raises(InvalidInput, match="https"):
        callback_addresses.read("http://example.com/", frozenset())


def test_callback_attempts_become_rarer_and_end() -> None:
    decided = datetime(2026, 11, 23, tzinfo=UTC)
    waits, now = [], decided
    while (following := _following(decided, now)) is not None:
        waits.append(following - now)
        now = following
    assert len(waits) == len(AFTER) - 1
    assert now - decided < timedelta(days=3)
    assert waits == sorted(waits)


async def asked(store: Store, token: str, url: str, count: int) -> None:
    """As many decided requests of the key, each to be posted to this address."""
    parts = api_keys.parts_of(token)
    key = await ApiKeys(store).get(parts[0]) if parts else None
    assert key is not None
    await store.set_rulebook(Rulebook((Clause("all", Action.ALLOW, 1, tool="*"),)))
    question = Question("ci", 0, Kind.TOOL, "Ship?", "All of it.", (Verb.APPROVE,), Call("ship", "{}"))
    to = {"workspace": HERE, "channel": ChannelId("C0GENERAL"), "requester": UserId("U0BOT"), "task": "ship"}
    for number in range(count):
        await submit(store, key, f"{url} {number}", question, callback=url, **to)  # type: ignore[arg-type]


async def test_slow_receiver_delays_no_other(store: Store, bot: Services, token: str) -> None:
    """A hundred decisions for somebody who never answers are due first, and one for somebody else after them."""
    reached, other = asyncio.Event(), Receiver()
    posted: list[int] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        posted.append(1)
        await reader.read()
        writer.close()

    async def take(request: Request) -> Response:
        reached.set()
        return await other.take(request)

    async with (
        await asyncio.start_server(silent, "127.0.0.1", 0) as never,
        http.serving(Starlette(routes=[Route("/", take, methods=["POST"])]), "127.0.0.1", 0) as port,
    ):
        delivery = CallbackDelivery(store, "web", LOOPBACK)
        await asked(store, token, f"http://localhost:{never.sockets[0].getsockname()[1]}/", QUEUE + 20)
        await asked(store, token, f"http://127.0.0.1:{port}/", 1)
        await delivery.begin()
        await reached.wait()
        assert len(posted) <= AT_ONCE
        assert len(delivery.in_hand) <= QUEUE + 1
        assert len(await Callbacks(store).due(await store.now(), 999)) <= QUEUE + 1, "the rest is due a moment later"
        for task in list(delivery.in_hand.values()):
            task.cancel()
        await asyncio.gather(*delivery.in_hand.values(), return_exceptions=True)


async def test_silent_receiver_times_out_and_is_retried(
    store: Store, bot: Services, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its attempt ends, and the callback is due again later."""
    monkeypatch.setattr(callbacks, "_PATIENCE", 0.05)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as never:
        await asked(store, token, f"http://127.0.0.1:{never.sockets[0].getsockname()[1]}/", 1)
        await deliver(CallbackDelivery(store, "web", LOOPBACK))
    assert await Callbacks(store).due(await store.now(), 9) == []
    assert len(await Callbacks(store).due(await store.now() + AFTER[2], 9)) == 1


@pytest.mark.longer
async def test_backlog_of_callbacks_drains(store: Store, bot: Services, token: str, receiver: Receiver) -> None:
    count = 1000 if os.environ.get("LONG") else 20
    await asked(store, token, f"{receiver.url}/hook", count)
    delivery, kept = CallbackDelivery(store, "web", LOOPBACK), Callbacks(store)
    while left := await kept.due(await store.now() + timedelta(days=3), 2000):
        await kept.again(await store.now(), *left)
        await deliver(delivery)
    assert len({sent["webhook-id"] for sent, _ in receiver.posted}) == len(receiver.posted) == count


async def test_name_rebound_to_an_internal_address_is_not_reached(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name is looked up once for each attempt, and the judged address is connected to."""
    loop, asked_for = asyncio.get_running_loop(), list[str]()
    real, port = loop.getaddrinfo, int(receiver.url.rpartition(":")[2])

    async def moving(host: str, *args: Any, **more: Any) -> Any:
        if host != "moving.example":
            return await real(host, *args, **more)
        asked_for.append(host)
        first = "127.0.0.1" if len(asked_for) == 1 else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (first, port))]

    name = await settled(slack, program, f"http://moving.example:{port}/hook")
    monkeypatch.setattr(loop, "getaddrinfo", moving)
    await deliver(CallbackDelivery(store, "web", LOOPBACK))
    assert (len(receiver.posted), asked_for) == (1, ["moving.example"])
    await store.client.zadd(store.keys.callbacks, {name: 0})
    await deliver(CallbackDelivery(store, "web", LOOPBACK))
    assert len(receiver.posted) == 1, "the address inside that it moved to is judged anew, and not reached"
