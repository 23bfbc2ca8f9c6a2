"""An installation for a whole organization: one token, many workspaces, a namespace for each."""

from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from bot.installations import renewal, workspace_registry
from countersign.domain.ids import WorkspaceId
from countersign.domain.requests import Status
from localslack import LocalSlack, text_of
from tests.installations.office import Office, asked, card_of, fact
from tests.installations.test_tokens import current, reads
from tests.installations.test_two_workspaces import is_now, settled
from tests.sample_requests import APPROVALS

ORGANIZATION, ONE, TWO = WorkspaceId("E0LOCAL"), WorkspaceId("T0LOCAL"), WorkspaceId("T0SECOND")


@pytest.fixture(autouse=True)
def teams_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_registry, "TEAMS_EVERY", timedelta(0))


async def install(office: Office, *given: LocalSlack) -> str:
    """An organization installs the app, and its admins add it to these workspaces; the page at the end."""
    status, page = await office.install(office.first, invite=False, org=True)
    assert status == 200, page
    for slack in given:
        slack.add_by_organization()
        for channel in ("#approvals", "#general"):
            slack.invite("U0BOT", channel)
    for slack in given:
        await office.served(slack)
    return page


async def test_workspaces_of_an_organization_are_served_separately(office: Office) -> None:
    """R9: the same ids of people, channels and runs in both, and nothing of one in the other."""
    one, two = office.first, office.second
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(office.web())
        stores = [await stack.enter_async_context(office.store(slack)) for slack in (one, two)]
        page = await install(office, one, two)
        assert "Local organization" in page and "/manage/E0LOCAL/integrations/profile/A0LOCAL/workspaces/add" in page

        requests = [
            await asked(store, slack, "rsame", f"words for {slack.workspace.id}")
            for store, slack in zip(stores, (one, two), strict=True)
        ]
        cards = [await card_of(slack, f"words for {slack.workspace.id}") for slack in (one, two)]
        assert (await two.user("bob").click(cards[1], "Approve")).ok
        approved = await is_now(stores[1], requests[1].id, Status.APPROVED)
        assert approved.workspace == TWO and approved.decision is not None and approved.decision.by == ("U0BOB",)
        await settled(two, cards[1].ts)
        seen = await stores[0].request(requests[0].id)
        assert seen is not None and seen.value.status is Status.PENDING

        # Settings of one are not those of the other.
        alice = two.user("alice")
        await alice.command("/approvals timeout 15m", channel="#general")
        assert "15 min" in (await alice.command("/approvals show", channel="#general")).text
        assert "15 min" not in (await one.user("alice").command("/approvals show", channel="#general")).text
        await one.user("bob").open_home()
        await one.wait_for(lambda _: "words for T0LOCAL" in str([v.json for v in one.platform.modals.homes.values()]))
        assert not any("T0SECOND" in text_of(m) for c in one.workspace.channels.values() for m in c.posts.values())


async def test_click_without_a_workspace_finds_its_card(office: Office) -> None:
    """R1, R2: in a channel of several workspaces `team` is null, and the clicker may be of another one.

    A click that beats the index of its card finds it too.
    """
    one, two = office.first, office.second
    async with office.web(), office.store(two) as store:
        await install(office, one, two)
        two.channel("#approvals").is_org_shared = True
        bob = two.workspace.user("bob")
        bob.team_id, bob.enterprise, bob.enterprise_teams = ONE, ORGANIZATION, [ONE, TWO]
        for run in ("rindexed", "rearly"):
            request = await asked(store, two, run, f"shared: {run}")
            card = await card_of(two, f"shared: {run}")
            if run == "rearly":
                await store.client.hdel(store.keys.ts(TWO, APPROVALS, card.ts), card.ts)
            assert (await two.user("bob").click(card, "Approve")).ok
            payload = next(p for kind, p in reversed(two.deliveries) if kind == "interactive")
            assert payload["team"] is None and payload["user"]["team_id"] == ONE
            await is_now(store, request.id, Status.APPROVED)


async def test_workspace_joins_and_leaves_an_organizations_app(office: Office) -> None:
    """Its deadlines are kept when it has left, and it goes on when it has the app again."""
    one, two = office.first, office.second
    async with office.web(), office.store(two) as store, office.records() as records:
        await install(office, one)
        assert (await current(records.of(ORGANIZATION))).installation.teams == (ONE,)
        two.add_by_organization()
        for channel in ("#approvals", "#general"):
            two.invite("U0BOT", channel)
        await office.served(two)
        await asked(store, two, "rfirst", "before it left")
        await card_of(two, "before it left")

        two.remove_by_organization()

        async def left() -> bool:
            return (await current(records.of(ORGANIZATION))).installation.former == (TWO,)

        await fact(left)
        await office.served(one)
        late = await asked(store, two, "rlate", "nobody sees this yet")
        seen = await store.request(late.id)
        assert seen is not None and seen.value.status is Status.PENDING

        two.add_by_organization()
        await office.served(two)
        await card_of(two, "nobody sees this yet")


async def test_organization_removing_the_app_ends_all_workspaces(office: Office) -> None:
    """R40: by `account_inactive` alone; installing it again goes on everywhere."""
    one, two = office.first, office.second
    async with office.web(), office.records() as records, office.store(one) as store:
        await install(office, one, two)
        one.platform.uninstall_organization()

        async def ended() -> bool:
            return (await current(records.of(ORGANIZATION))).installation.ended == "account_inactive"

        await fact(ended)
        assert (await current(records.of(ORGANIZATION))).installation.teams == (ONE, TWO)
        await asked(store, one, "ragain", "drawn once it is back")
        await install(office, one, two)
        await card_of(one, "drawn once it is back")


async def test_renewed_organization_token_reaches_all_workspaces(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slack ends the token before it: each workspace draws with the new one."""
    one, two = office.first, office.second
    async with office.web(), office.records() as records, office.store(one) as first, office.store(two) as second:
        await install(office, one, two)
        before = (await current(records.of(ORGANIZATION))).installation.token
        with monkeypatch.context() as due:
            due.setattr(renewal, "BEFORE", timedelta(hours=13))

            async def renewed() -> bool:
                return (await current(records.of(ORGANIZATION))).installation.token != before

            await fact(renewed)
        for store, slack in ((first, one), (second, two)):
            await asked(store, slack, "rafter", "after the renewal")
            await card_of(slack, "after the renewal")


async def test_workspace_without_the_app_is_not_reached(office: Office) -> None:
    """Slack refuses an organization's token for any other workspace; a command there is answered with what to do."""
    one, two = office.first, office.second
    async with office.web():
        await install(office, one)
        two.platform.installed = True  # its command arrives all the same
        reply = await two.user("alice").command("/agent status", channel="#general")
        assert "is not installed in this workspace" in reply.text
        assert await reads(office.ops_ports[0], "/readyz", "ok")
        assert not any(call.args.get("team_id") == TWO for call in one.calls)
