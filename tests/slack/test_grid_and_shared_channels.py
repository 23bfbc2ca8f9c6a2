"""People of several workspaces: an Enterprise Grid organisation, and channels shared with another company."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic import SecretStr

from bot.api.port import ApiPort
from bot.settings import WebSettings
from bot.slack import app
from bot.slack.handlers.context import Services
from bot.workspace import opened, store_of
from countersign import usecases
from countersign.domain.errors import WrongSettings
from countersign.domain.ids import UserId
from countersign.domain.requests import How, Status
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, Message, User
from tests.sample_requests import HERE, call, question
from tests.slack.socket_bot import Show, newest_ephemeral
from tests.slack.test_actions import ask, status
from tests.slack.test_grant_windows import drawing, now_is
from tests.slack.test_projector import all_drawn

ALONE = "Only members of the workspace"


@pytest.fixture
def wanda(slack: LocalSlack) -> UserId:
    """A member of ours and of another workspace of the organisation, which is her home; her id begins with W."""
    slack.workspace.enterprise, wanda = "E0ORG", UserId("W0WANDA")
    teams = ["T0HOME", slack.workspace.id]
    slack.workspace.users[wanda] = User(
        wanda, "wanda", "Wanda West", team_id="T0HOME", enterprise="E0ORG", enterprise_teams=teams
    )
    for channel in ("#general", "#approvals"):
        slack.invite(wanda, channel)
    return wanda


@pytest.fixture
def allowed(bot: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXTERNAL_CHANNELS=yes."""
    monkeypatch.setattr(bot.directory, "external_channels", True)


async def test_run_of_a_member_of_two_workspaces_belongs_here(
    slack: LocalSlack, store: Store, bot: Services, wanda: UserId
) -> None:
    """R9: the window's submission names her home; nobody here could decide what a run of another workspace asks."""
    person = slack.user(wanda)
    await person.command("/agent")
    await person.wait_modal()
    assert await person.submit({"team": "email", "task": "ask the vendor"}) == {}
    await bot.drain()
    (run,) = await store.indexes.active_runs(10)
    assert (run.workspace, run.requester) == (HERE, wanda)


async def test_organization_channel_is_not_external(
    slack: LocalSlack, store: Store, bot: Services, wanda: UserId
) -> None:
    slack.channel("#general").is_org_shared = True
    assert (await slack.user("alice").command("/approvals channel #general")).text.startswith("Saved.")


async def test_channel_shared_with_another_company_is_refused_for_approvals(
    slack: LocalSlack, store: Store, bot: Services
) -> None:
    """R10: it is refused where it is named and in the window, and no run starts whose cards would go there."""
    slack.invite("U0SAM", "#general")
    alice = slack.user("alice")
    refused = (await alice.command("/approvals channel #general")).text
    assert "<#C0GENERAL> is shared with another company" in refused and "othing was changed" in refused
    await alice.command("/approvals")
    window = await alice.wait_modal("Approval settings")
    filters = [e["filter"] for b in window.blocks if "filter" in (e := b.get("element", {}))]
    assert filters and all(one["exclude_external_shared_channels"] for one in filters)
    slack.channel("#approvals").is_ext_shared = True
    bot.directory.lookups.forget()
    started = (await alice.command("/agent email write to the vendor")).text
    assert "is shared with another company" in started and "Nothing was started" in started


async def test_request_is_rejected_when_its_approvals_channel_becomes_shared(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R21: what is asked is turned down, and its run's thread says why."""
    slack.invite("U0SAM", "#approvals")
    asked = await usecases.ask(store, lease, question())
    async with drawing(slack, store, bot):
        await all_drawn(slack, store)
    settled = await now_is(store, asked)
    assert settled.decision is not None
    assert (settled.status, settled.decision.how) == (Status.REJECTED, How.POLICY)
    assert slack.channel("#approvals").messages == []
    assert "shared with another company" in settled.decision.words


async def test_settings_warn_where_a_shared_channel_is_allowed(
    slack: LocalSlack, store: Store, bot: Services, allowed: None
) -> None:
    slack.invite("U0SAM", "#general")
    alice = slack.user("alice")
    saved = (await alice.command("/approvals channel #general")).text
    assert saved.startswith("Saved.")
    assert "Its people read every card there" in (await alice.command("/approvals show")).text
    await alice.command("/approvals")
    window = await alice.wait_modal("Its people read every card there")
    filters = [e["filter"] for b in window.blocks if "filter" in (e := b.get("element", {}))]
    assert not any(one["exclude_external_shared_channels"] for one in filters)


@pytest.mark.parametrize("allowed", [False, True])
async def test_web_starts_with_shared_approvals_channel_only_if_allowed(
    slack: LocalSlack, store: Store, redis_url: str, allowed: bool
) -> None:
    """R10: EXTERNAL_CHANNELS is what its directory goes by."""
    slack.invite("U0SAM", "#approvals")
    given: dict[str, Any] = {"redis_url": redis_url, "namespace": store.keys.namespace, "external_channels": allowed}
    settings = WebSettings(**given, slack_bot_token=SecretStr(slack.bot_token), slack_app_token=SecretStr("xapp-1"))
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(app.slack_clients(slack.bot_token, slack.api_url))
        web = opened(settings, store_of(settings, store.client, settings.namespace), clients, "web-1", ApiPort())
        if allowed:
            assert (await stack.enter_async_context(web)).identity.workspace == HERE
        else:
            with pytest.raises(WrongSettings, match="APPROVALS_CHANNEL: #approvals is shared with another company"):
                await stack.enter_async_context(web)


@pytest.mark.parametrize("button", ["Details", "Approve", "Reject", "Request changes", "Edit"])
async def test_outsider_in_a_shared_channel_sees_and_decides_nothing(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, button: str
) -> None:
    """R9, R15: nothing but what the channel itself shows them."""
    slack.invite("U0SAM", "#approvals")
    content = "x" * 20_000 if button == "Details" else "To: vendor@example.com"
    asked = await ask(store, lease, call() if button == "Edit" else question(content))
    sam = slack.user("sam")
    await sam.click(await show(asked), button)
    assert sam.modal is None
    assert (ALONE if button == "Details" else "another Slack workspace") in await newest_ephemeral(sam, 1)
    assert await status(store, asked) is Status.PENDING


async def test_outsider_that_slack_cannot_look_up_sees_nothing(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R9: not knowing is no yes."""
    asked = await ask(store, lease, question("x" * 20_000))
    card: Message = await show(asked)
    slack.faults.add("error", on="users.info", error="internal_error", times=None)
    sam = slack.user("sam")
    slack.invite("U0SAM", "#approvals")
    await sam.click(card, "Details")
    assert sam.modal is None
    assert "didn't confirm who you are" in await newest_ephemeral(sam, 1)
