"""Wrong settings, and Redis or Slack away: a clear sentence, nothing lost, nothing half done."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from countersign.store.embedded_server import EmbeddedRedis
from localslack import LocalSlack, text_of
from tests.e2e.test_main_job import ASK, card, settled, told
from tests.processes import Deployment, Process, deployment


async def test_wrong_settings_are_all_reported_at_the_start(there: Deployment) -> None:
    web = await Process("bot", {"SLACK_BOT_TOKEN": "xoxp-1", "PORT": "x", "ON_TIMEOUT": "maybe"}).start()
    worker = await Process("agents", {"REDIS_URL": "nowhere", "MODEL_CONFIG": "no-such-file.yaml"}).start()
    assert (await web.wait(), await worker.wait()) == (2, 2)
    said = "\n".join(web.lines)
    for name in ("SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "PORT", "ON_TIMEOUT"):
        assert name in said
    assert "REDIS_URL" in "\n".join(worker.lines)
    assert "Traceback" not in said + "\n".join(worker.lines)


async def test_start_refused_by_slack_says_why(there: Deployment, slack: LocalSlack) -> None:
    tokens = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token, "SLACK_API_URL": slack.api_url}
    web = await Process(
        "bot", {**there.common, **tokens, "PORT": "0", "APPROVALS_CHANNEL": "#nowhere"}, fork=True
    ).start()
    assert await web.wait() == 2
    assert "APPROVALS_CHANNEL: the app is not in #nowhere" in "\n".join(web.lines)
    assert "Traceback" not in "\n".join(web.lines)


AT_ODDS = """\
  - {name: refunds, tool: refund, then: allow}
  - {name: refunds too, tool: refund, then: ask, quorum: 2, reviewers: [U0BOB]}
"""
AT_ODDS_TOLD = (
    "line 4: “refunds too” needs 2 approvals, but only 1 may approve",
    "line 4: “refunds too” says ask of the same actions of which “refunds” in line 3 says allow",
)


async def test_invalid_policy_ends_the_start_with_its_problems(
    there: Deployment, slack: LocalSlack, tmp_path: Path
) -> None:
    """R10: when it is configured."""
    (tmp_path / "policy.yaml").write_text(f"version: 1\nrules:\n{AT_ODDS}")
    env = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token, "SLACK_API_URL": slack.api_url}
    web = await Process("bot", {**there.common, **env, "PORT": "0", "POLICY": f"{tmp_path}/policy.yaml"}).start()
    assert await web.wait() == 2
    said = "\n".join(web.lines)
    assert "Traceback" not in said
    for sentence in AT_ODDS_TOLD:
        assert sentence in said


async def test_processes_wait_for_redis_and_stop_when_told(slack: LocalSlack, tmp_path: Path) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    env = {"REDIS_URL": nowhere, "SLACK_API_URL": slack.api_url}
    tokens = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token, "PORT": "0"}
    web = await Process("bot", {**env, **tokens}, fork=True).start()
    worker = await Process("agents", {**env, "DATA_DIR": str(tmp_path)}, fork=True).start()
    for process in (web, worker):
        await process.said("does not answer")
        assert await process.kill(signal.SIGTERM) == 0


async def test_redis_outage_loses_nothing(slack: LocalSlack, tmp_path: Path) -> None:
    """R4, R7: a click meanwhile gets a sentence; what waited before is decided afterwards, once."""
    folder = tmp_path / "redis"
    async with AsyncExitStack() as until_it_goes:
        server = await until_it_goes.enter_async_context(EmbeddedRedis(folder, namespace="bad"))
        async with deployment(slack, server.url, "bad", tmp_path, fork=True) as there:
            web, _ = await asyncio.gather(there.web(), there.worker())
            alice, bob = slack.user("alice"), slack.user("bob")
            await alice.command(ASK, channel="#general")
            asked = await card(slack)
            await until_it_goes.aclose()
            await bob.click(asked, "Approve")
            assert await bob.wait_ephemeral("can't reach its database")
            assert web.running
            async with EmbeddedRedis(folder, namespace="bad") as again:
                assert again.url == server.url
                await bob.click(asked, "Approve")
                assert "Approved" in text_of(await settled(slack, asked.ts))
                await told(slack, "Put in a folder")
                await there.end()


async def test_slack_outage_loses_nothing(there: Deployment, slack: LocalSlack) -> None:
    """R21: what happened meanwhile is drawn afterwards, once."""
    await asyncio.gather(there.web(), there.worker())
    slack.faults.add("server_error", on="chat.*", status=503, times=None)
    await slack.user("alice").command(ASK, channel="#general")
    await slack.wait_for(lambda _: len([c for c in slack.calls if c.method == "chat.postMessage"]) > 2)
    slack.faults.clear()
    slack.cut_sockets()
    asked = await card(slack)
    await slack.wait_connected(1)
    await slack.user("bob").click(asked, "Approve")
    assert "Approved" in text_of(await settled(slack, asked.ts))
    await told(slack, "Put in a folder")
    assert len(slack.channel("#approvals").messages) == 1
