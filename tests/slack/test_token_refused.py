"""One workspace, whose token Slack refuses for a while: an address that is not allowed, a migration."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import bot.__main__ as web
from bot.settings import WebSettings
from bot.slack import answer_check
from bot.slack.projector import file_uploads
from bot.slack.projector.file_uploads import Files
from bot.slack.projector.message_sync import File, Place
from countersign import usecases
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from tests.free_ports import free_port
from tests.installations.office import card_of, fact
from tests.installations.test_tokens import answers, reads
from tests.installations.test_tokens import healthy as accepted
from tests.sample_requests import GENERAL, question
from tests.slack.test_overtaken import poster


@asynccontextmanager
async def served(
    slack: LocalSlack, store: Store, redis_url: str, **settings: Any
) -> AsyncIterator[asyncio.Future[int]]:
    """Run `web` for the workspace, with more settings; yields its port for probes, once it is ready."""
    given: dict[str, Any] = {
        **{"redis_url": redis_url, "namespace": store.keys.namespace, "port": 0, "reviewers": "members"},
        **{"slack_bot_token": slack.bot_token, "slack_app_token": slack.app_token, "slack_api_url": slack.api_url},
    }
    stop, port, ops_port = asyncio.Event(), asyncio.get_running_loop().create_future(), free_port()
    given |= {"ops_port": ops_port, **settings}
    work = asyncio.create_task(web.serve(WebSettings(**given), stop, lambda _: port.set_result(ops_port)))
    try:
        yield port
    finally:
        stop.set()
        await asyncio.gather(work, return_exceptions=True)


def address_disallowed(slack: LocalSlack) -> None:
    slack.platform.allowed_addresses = ("203.0.113.7",)


def migration(slack: LocalSlack) -> None:
    slack.platform.migrating = True


def revocation(slack: LocalSlack) -> None:
    slack.faults.add("error", on="*", error="token_revoked", times=None)


@pytest.mark.parametrize(
    ("begin", "code"),
    [(address_disallowed, "invalid_auth"), (migration, "org_login_required"), (revocation, "token_revoked")],
)
async def test_drawing_waits_while_slack_refuses_the_token(
    slack: LocalSlack,
    store: Store,
    redis_url: str,
    lease: Lease,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[LocalSlack], None],
    code: str,
) -> None:
    """R40, R46: `/readyz` and a metric say why, and what was asked meanwhile is drawn afterwards."""
    assert answer_check.CHECK_EVERY < 30, "R46: health says so within 30 s, also if nothing is drawn"
    monkeypatch.setattr(answer_check, "CHECK_EVERY", 0.05)
    async with served(slack, store, redis_url) as starting:
        port = await starting
        await slack.wait_connected(1)
        begin(slack)
        await fact(lambda: reads(port, "/readyz", f"Slack refuses the token of workspace T0LOCAL ({code})"))
        assert await answers(port, 200), "it still answers people"
        assert await reads(port, "/metrics", f'why="{code}",workspace="T0LOCAL"}} 1.0')
        await usecases.ask(store, lease, question("asked meanwhile"))
        asking = len(slack.calls)
        await slack.wait_for(lambda _: len(slack.calls) > asking)
        slack.platform.allowed_addresses, slack.platform.migrating = None, False
        slack.faults.clear()
        await card_of(slack, "asked meanwhile")
        await fact(lambda: healthy(starting))
        assert not await reads(port, "/metrics", "countersign_slack_token_refused{")
    refused = [call for call in slack.calls[asking:] if call.result and call.result.get("error") == code]
    assert len([call for call in refused if call.method == "chat.postMessage"]) <= 3, "calls wait for one that asks"


async def test_start_waits_for_a_workspace_migration(
    slack: LocalSlack, store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R40: only what somebody has to put right ends the start."""
    monkeypatch.setattr(web, "_FIRST_PAUSE", 0.01)
    migration(slack)
    async with served(slack, store, redis_url) as starting:
        await slack.wait_for(lambda _: len([call for call in slack.calls if call.method == "auth.test"]) > 2)
        assert not starting.done()
        slack.platform.migrating = False
        assert await fact(lambda: healthy(starting))


async def healthy(starting: asyncio.Future[int]) -> bool:
    return starting.done() and await accepted(starting.result())


async def test_upload_is_not_abandoned_while_the_token_is_refused(
    slack: LocalSlack, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R40: five refusals within two minutes said that the file could not be uploaded, for good."""
    monkeypatch.setattr(file_uploads, "TRIES", 2)
    monkeypatch.setattr(file_uploads, "PAUSE", file_uploads.PAUSE * 0)
    async with poster(slack, store) as posting:
        address_disallowed(slack)
        file = File("file/q1", Place(GENERAL), "content.txt", b"content", "Content")
        uploading = asyncio.create_task(Files(posting, store).attach(file))
        await slack.wait_for(lambda _: len([call for call in slack.calls if call.method == "auth.test"]) > 3)
        slack.platform.allowed_addresses = None
        await uploading
    seen = await store.message(file.name)
    assert seen is not None and (seen.value.ts, seen.value.problem) == ("content.txt", "")
