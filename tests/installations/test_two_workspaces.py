"""Two workspaces that installed the app by OAuth: nothing of one is seen in the other."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest

from bot.installations import renewal
from countersign.domain.ids import RequestId, WorkspaceId
from countersign.domain.requests import Request, Status
from countersign.store.store import Store
from countersign.usecases.ports import Change, Put
from localslack import LocalSlack, text_of
from tests.installations.office import Office, asked, card_of, fact

RENEWALS = 3
"""Of each token, in each round."""


async def is_now(store: Store, request: RequestId, status: Status) -> Request:
    async def look() -> Request | None:
        seen = await store.request(request)
        return seen.value if seen is not None and seen.value.status is status else None

    found = await fact(look)
    assert found is not None
    return found


async def settled(slack: LocalSlack, ts: str) -> None:
    await slack.wait_message("#approvals", lambda m: m.ts == ts and "Approve" not in m.buttons)


def everything(slack: LocalSlack, *, homes: bool = False) -> str:
    """All words of all channels, Homes and messages to one person in a workspace."""
    posts = [m for room in slack.workspace.channels.values() for m in room.posts.values()]
    words = [text_of(message) for message in (*posts, *slack.workspace.ephemerals)]
    return " ".join([*([] if homes else words), *(str(view.json) for view in slack.platform.modals.homes.values())])


@pytest.mark.slow
async def test_two_workspaces_share_one_web_and_nothing_else(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Install two, work in both while their tokens are renewed all the time by two webs, and uninstall one."""
    one, two = office.first, office.second
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(office.web())
        stores = [await stack.enter_async_context(office.store(slack)) for slack in (one, two)]
        for slack in (one, two):
            status, page = await office.install(slack)
            assert (status, "is installed in" in page, "#approvals" in page) == (200, True, True)
            await office.served(slack)

        # Both work, with the same ids of people and channels in both.
        requests = [
            await asked(store, slack, "rsame", f"words for {slack.workspace.id}")
            for store, slack in zip(stores, (one, two), strict=True)
        ]
        cards = [await card_of(slack, f"words for {slack.workspace.id}") for slack in (one, two)]
        await one.user("bob").open_home()
        await one.wait_for(lambda _: "words for T0LOCAL" in everything(one, homes=True))
        assert (await one.user("bob").click(cards[0], "Approve")).ok
        approved = await is_now(stores[0], requests[0].id, Status.APPROVED)
        assert approved.workspace == "T0LOCAL"
        assert (await stores[1].request(requests[1].id)).value.status is Status.PENDING  # type: ignore[union-attr]
        assert "T0SECOND" not in everything(one)
        assert "T0LOCAL" not in everything(two)
        for slack, words in ((one, "T0SECOND"), (two, "T0LOCAL")):
            reply = await slack.user("carol").command("/approvals history", channel="#approvals")
            assert words not in str(reply)

        metrics = f"http://127.0.0.1:{office.ops_ports[0]}/metrics"
        async with aiohttp.ClientSession() as session, session.get(metrics) as shown_metrics:
            assert 'countersign_waiting{what="requests"} 1.0' in await shown_metrics.text()

        # Both webs renew both tokens while they work, and each renewal ends the token before it. By count, not by the
        # clock: on a machine that takes longer for a call than a token lives nothing would ever be drawn.
        before = renewals(one)
        for number in range(3):
            renewing = asyncio.create_task(renewed(monkeypatch, (one, two)))
            for store, slack in zip(stores, (one, two), strict=True):
                await asked(store, slack, f"rload{number}", f"load {number} of {slack.workspace.id}")
            shown = await asyncio.gather(*(card_of(s, f"load {number} of {s.workspace.id}") for s in (one, two)))
            for slack, card in zip((one, two), shown, strict=True):
                assert (await slack.user("carol").click(card, "Approve")).ok
                await settled(slack, card.ts)
            await renewing
        assert renewals(one) >= before + 3 * RENEWALS
        assert [call for call in one.calls if call.method == "oauth.v2.access" and not call.ok] == []

        # One is uninstalled: its request expires by its deadline, and the other goes on.
        two.uninstall()
        await fact(lambda: has_ended(office, WorkspaceId("T0SECOND")))

        async def logged() -> bool:
            return "Workspace T0SECOND (Second) has the app no more (account_inactive)" in caplog.text

        await fact(logged)  # a moment after it is stored
        seen = await stores[1].request(requests[1].id)
        assert seen is not None
        assert seen.value.status is Status.PENDING
        await stores[1].commit(Change(requests=(Put(replace(seen.value, deadline=seen.now), seen.version),)))
        await is_now(stores[1], requests[1].id, Status.EXPIRED)
        await asked(stores[0], one, "rafter", "after the other went")
        card = await card_of(one, "after the other went")
        assert (await one.user("bob").click(card, "Reject")).ok or one.user("bob").modal

        # And installed again: what happened meanwhile is drawn.
        await office.install(two)
        await office.served(two)
        await two.wait_message("#approvals", lambda m: m.ts == cards[1].ts and "Expired" in text_of(m))
        assert "T0LOCAL" not in everything(two)


async def renewed(monkeypatch: pytest.MonkeyPatch, workspaces: tuple[LocalSlack, ...]) -> None:
    """Have every token due until it was renewed a few times."""
    until = {slack.workspace.id: renewals(slack) + RENEWALS for slack in workspaces}
    with monkeypatch.context() as due:
        due.setattr(renewal, "BEFORE", timedelta(hours=13))

        async def enough() -> bool:
            return all(renewals(slack) >= until[slack.workspace.id] for slack in workspaces)

        await fact(enough)


def renewals(slack: LocalSlack) -> int:
    return sum(c.method == "oauth.v2.access" and c.args.get("grant_type") == "refresh_token" for c in slack.calls)


async def has_ended(office: Office, workspace: WorkspaceId) -> bool:
    async with office.records() as records:
        stored = await records.of(workspace)
    return stored is not None and not stored.installation.token
