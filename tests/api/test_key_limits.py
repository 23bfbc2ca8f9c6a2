"""Limits of a key that hold whatever its program does at once, and in however many processes."""

import asyncio
from dataclasses import fields

import httpx

from bot.api.endpoints import CONNECTIONS, Interface, app
from bot.slack import http
from countersign.client import exchange
from countersign.client.exchange import Pause, Send, ServiceReply
from countersign.domain import api_keys
from countersign.domain.api_keys import ApiKey
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from localslack import LocalSlack
from tests.api.test_requests import ask
from tests.longest_wait import PATIENCE
from tests.slack.test_projector import card_of


async def limited(store: Store, program: httpx.AsyncClient, **limits: int) -> ApiKey:
    """Give the program a key of these limits."""
    issued = api_keys.issue("small", ("C0GENERAL",), await store.now(), **limits)
    await ApiKeys(store).put(issued.key)
    program.headers["authorization"] = f"Bearer {issued.token}"
    return issued.key


async def test_open_request_limit_holds_across_two_processes(
    store: Store, interface: Interface, program: httpx.AsyncClient
) -> None:
    """R29: also those that both of them are asking at once."""
    key = await limited(store, program, most_open=2)
    second = Interface(*(getattr(interface, field.name) for field in fields(Interface)[:8]))
    async with http.serving(app(second), "127.0.0.1", 0, CONNECTIONS) as port:
        address, headers = f"http://127.0.0.1:{port}", dict(program.headers)
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE, verify=False) as there:
            asking = [ask(web, f"{place} {n}") for n in range(10) for place, web in enumerate((program, there))]
            answers = await asyncio.gather(*asking)
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [429] * 18
    assert await store.client.zcard(store.keys.api_asking(key.id)) == 0


async def test_request_of_a_dead_process_frees_its_place(store: Store, program: httpx.AsyncClient) -> None:
    """After a minute it no longer counts against the key's limit."""
    key = await limited(store, program, most_open=1)
    long_ago = (await store.now()).timestamp() * 1000 - 61_000
    await store.client.zadd(store.keys.api_asking(key.id), {"of one that died": long_ago})
    assert (await ask(program)).status_code == 201


async def test_key_holds_a_limited_number_of_long_polls(
    slack: LocalSlack, store: Store, interface: Interface, program: httpx.AsyncClient
) -> None:
    """R29: it may look without waiting, and its client asks again by itself."""
    await limited(store, program, most_waiting=1)
    name = (await ask(program)).json()["id"]
    polling = asyncio.create_task(program.get(f"/v1/requests/{name}?wait=60"))
    while not interface.polls:  # noqa: ASYNC110 -- nothing tells when a poll has begun
        await asyncio.sleep(0)
    refused = await program.get(f"/v1/requests/{name}?wait=60")
    after = float(refused.headers["retry-after"])
    assert (refused.status_code, refused.json()["type"], after > 0) == (429, "urn:countersign:waiting", True)
    talk = exchange.wait(name)
    again = next(talk)
    assert talk.send(ServiceReply(429, refused.json(), after)) == Pause(after, refused.json()["detail"])
    assert isinstance(again, Send)
    assert talk.send(ServiceReply(0)) == again
    assert (await program.get(f"/v1/requests/{name}")).status_code == 200
    await slack.user("bob").click(await card_of(slack), "Approve")
    assert (await polling).json()["status"] == "approved"
    assert not +interface.waiting_polls
