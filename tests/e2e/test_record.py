"""The record as the real processes keep it."""

import asyncio
import re
import signal
from datetime import timedelta

from countersign.domain.events import Event, EventType
from countersign.domain.hash_chain import Verifier
from countersign.store.audit_log import Ledger
from countersign.store.record_codecs import EVENTS
from countersign.store.store import Store
from localslack import LocalSlack
from tests.longest_wait import PATIENCE
from tests.processes import Deployment
from tests.sample_requests import HERE


async def entries(store: Store) -> list[tuple[str, str]]:
    """Type and outcome of each; the chain is whole."""
    ledger = Ledger(store)
    verifier, found = Verifier(known=[(await ledger.position()).head]), []
    async for n, kept in ledger.all():
        verifier.take(kept, n)
        fields = kept.fields()
        found.append((fields["type"], fields["outcome"]))
    assert verifier.end() == []
    return found


async def recorded(store: Store, kind: str) -> list[tuple[str, str]]:
    """Returns when there is an entry of that kind."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await entries(store)
            if kind in dict(found):
                return found
            await asyncio.sleep(0.05)


async def test_audit_head_is_posted_once_despite_kill_9(there: Deployment, slack: LocalSlack, store: Store) -> None:
    """R4, R25: two of it, the one that keeps the record is killed."""
    first = await there.web(http=True, AUDIT_CHANNEL="#approvals")
    bob, dave = slack.user("bob"), slack.user("dave")
    posted = await slack.wait_message("#approvals", lambda m: "Record of" in m.text)
    assert re.search(r"head 1:[0-9a-f]{64}", posted.text)
    await dave.command("/approvals timeout 5m", channel="#general")
    found = await recorded(store, "settings_refused")
    assert found == [("key_created", "key_created"), ("settings_refused", "refused")]
    await there.web(http=True, AUDIT_CHANNEL="#approvals")
    await first.kill(signal.SIGKILL)
    slack.events_urls.pop(0)
    await bob.command("/approvals timeout 5m", channel="#general")
    found = await recorded(store, "settings_changed")
    assert found[-1] == ("settings_changed", "settings_changed")
    assert [m.text for m in slack.channel("#approvals").messages if "Record of" in m.text] == [posted.text]


async def test_weekly_digest_is_posted_once_despite_kill_9(there: Deployment, slack: LocalSlack, store: Store) -> None:
    """R4, R6: its setting switches it off; the process that posted it is killed, and the next one finds it there."""
    week = (await store.now()) - timedelta(weeks=1)
    passed = Event(EventType.CALL_PASSED, week, workspace=HERE, data={"tool": "look_up", "why": "rule “small”"})
    name = f"{int(week.timestamp() * 1000)}-0"
    await store.client.xadd(store.keys.events, {"event": EVENTS.dump(passed)}, id=name)
    without = await there.web(http=True, WEEKLY_DIGEST="no")
    await recorded(store, "call_passed")
    await without.kill(signal.SIGTERM)
    assert slack.channel("#approvals").messages == []
    slack.events_urls.clear()
    first = await there.web(http=True)
    digest = await slack.wait_message("#approvals", lambda m: "Approvals," in m.text)
    assert "1 call" in str(digest.blocks)
    await there.web(http=True)
    await first.kill(signal.SIGKILL)
    slack.events_urls.pop(0)
    await slack.user("bob").command("/approvals timeout 5m", channel="#general")
    await recorded(store, "settings_changed")
    assert [m.ts for m in slack.channel("#approvals").messages if "Approvals," in m.text] == [digest.ts]
