"""Both processes as the two users that they are in Redis: all that they do is allowed, and nothing more."""

import asyncio
import re

import pytest
import redis.asyncio

from localslack import LocalSlack, text_of
from tests.e2e.test_main_job import ASK, card, mails, settled, told
from tests.processes import Town
from tests.redis_server import url_of


async def test_the_main_job_needs_nothing_that_its_users_may_not(
    there: Town, slack: LocalSlack, redis_url: str, namespace: str
) -> None:
    """Least privilege is no promise that breaks the service: parked, decided, gone on, stopped, and no refusal."""
    if url_of("web", redis_url, namespace) == redis_url:
        pytest.skip("The Redis that TEST_REDIS_URL names has no users for web and worker.")
    await asyncio.gather(there.web(), there.worker(PARK_AFTER="0s"))
    alice, bob = slack.user("alice"), slack.user("bob")
    await alice.command(ASK, channel="#general")
    shown = await card(slack)
    await bob.command("/approvals timeout 10m", channel="#approvals")
    await bob.click(shown, "Approve")
    await settled(slack, shown.ts)
    await told(slack, "Finished")
    assert len(mails(there)) == 1
    await alice.command(ASK, channel="#general")
    second = await card(slack, but=(shown.ts,))
    run = re.findall(r"/agent stop (r\w+)", "\n".join(text_of(m) for m in slack.channel("#general").messages))[-1]
    await alice.command(f"/agent stop {run}", channel="#general")
    await settled(slack, second.ts)
    async with redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as admin:
        log = [(entry["username"], entry["object"]) for entry in await admin.acl_log()]
    assert not [entry for entry in log if namespace in str(entry[1])]
