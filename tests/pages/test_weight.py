"""What the pages weigh and cost, and that opening one decides nothing."""

import itertools

import httpx
import pytest
from starlette.routing import Route

from bot.pages.site import Pages
from countersign import usecases
from countersign.domain.proof import Proof
from countersign.domain.requests import Status
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from tests.pages.reviewer import PUBLIC, Reviewer, status
from tests.pages.test_proof_pages import ask, log_in_again
from tests.sample_requests import question
from tests.slack.socket_bot import events
from tests.store_fixtures import new_run, update_lists

MANY = 1000
A_FIRST_PAGE = 50_000


async def test_opening_pages_decides_nothing(
    store: Store, lease: Lease, pages: Pages, bob: Reviewer, subtests: pytest.Subtests
) -> None:
    """R12: each route by GET and HEAD, by a scanner and by a reviewer, with what a form would send."""
    request = await ask(store, lease, Proof.OIDC)
    form = await bob.form(f"/requests/{request.id}", "approve")
    confirmation = (await bob.client.post(f"/requests/{request.id}", data=form)).headers["location"]
    await log_in_again(bob, confirmation)
    values = {
        "id": [str(request.id), str(request.run), "0" * 64],
        "nonce": [confirmation.removeprefix("/confirm/")],
        "number:int": ["0"],
        "name": ["pages.css"],
    }
    before = len(await events(store))
    routes = [one for one in pages.routes if isinstance(one, Route) and "GET" in (one.methods or ())]
    assert len(routes) > 10
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=pages), base_url=PUBLIC) as scanner:
        for route, client, method in itertools.product(routes, (scanner, bob.client), ("GET", "HEAD")):
            name = route.path.partition("{")[2].partition("}")[0]
            for value in values.get(name, [""]):
                path = route.path.replace(f"{{{name}}}", value)
                with subtests.test(f"{method} {path}"):
                    await client.request(method, path, params=form)
                    assert await status(store, request) is Status.PENDING
                    assert len(await events(store)) == before


async def test_a_first_page_is_light(store: Store, bob: Reviewer, lease: Lease) -> None:
    """With its style and its script, before anything is compressed."""
    for number in range(30):
        await usecases.ask(store, lease, question(f"Mail {number}", asked=number))
    await update_lists(store)
    files = [await bob.get(path) for path in ("/", "/static/pages.css", "/static/pages.js", "/static/icon.svg")]
    assert all(file.status_code == 200 for file in files)
    assert sum(len(file.content) for file in files) < A_FIRST_PAGE


@pytest.mark.slow
async def test_a_full_inbox_costs_little_more(store: Store, bob: Reviewer) -> None:
    """Counted in keys that Redis looks up and bytes that it sends, for an inbox that was opened before."""

    async def cost() -> tuple[int, int]:
        page = await bob.get("/")
        assert page.status_code == 200
        before = await store.client.info("stats")
        await bob.get("/")
        after = await store.client.info("stats")
        looked = sum(after[name] - before[name] for name in ("keyspace_hits", "keyspace_misses"))
        return looked, after["total_net_output_bytes"] - before["total_net_output_bytes"]

    async def fill(runs: range) -> None:
        for number in runs:
            lease = await new_run(store, f"r{number}")
            for row in range(20):
                await usecases.ask(store, lease, question(f"Mail {number}", asked=row))
        await update_lists(store)

    empty = await cost()
    await fill(range(1))
    one_page = await cost()
    await fill(range(1, MANY // 20))
    full = await cost()
    assert full[0] <= 5 * empty[0], (empty, full)
    assert full[1] <= 5 * one_page[1], (one_page, full)
