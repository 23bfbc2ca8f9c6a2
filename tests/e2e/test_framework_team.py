"""A team of another framework, from `/agent` to its outcome: Agent Framework over real processes."""

import asyncio
from pathlib import Path

import pytest

from localslack import LocalSlack, text_of
from tests.e2e.test_main_job import card, settled, told
from tests.processes import Deployment

TASK = "/agent access read billing for carol, 2 hours"


def granted(there: Deployment) -> list[str]:
    """Each grant: who, what and how."""
    file: Path = there.data / "access" / "grants.csv"
    return [line.rsplit(",", 2)[0] for line in file.read_text().splitlines()] if file.exists() else []


async def test_agent_framework_team_runs_to_its_outcome(there: Deployment, slack: LocalSlack) -> None:
    """R1, R13: a card, an approval, and what came of it on the card and in the thread."""
    await asyncio.gather(there.web(), there.worker())
    alice, bob = slack.user("alice"), slack.user("bob")
    await alice.command(TASK, channel="#general")
    asked = await card(slack)
    assert "Give carol read access to billing" in text_of(asked)
    assert granted(there) == []
    assert (await bob.click(asked, "Approve")).ok
    assert "carol has read access to billing until" in await told(slack, "Granted")
    assert "Approved" in text_of(await settled(slack, asked.ts))
    assert granted(there) == ["carol,billing,read"]


async def test_team_hears_of_a_rejected_call(there: Deployment, slack: LocalSlack) -> None:
    await asyncio.gather(there.web(), there.worker())
    alice, bob = slack.user("alice"), slack.user("bob")
    await alice.command(TASK, channel="#general")
    await bob.click(await card(slack), "Reject")
    await bob.wait_modal("Reject")
    assert await bob.submit({"reason": "She left."}) == {}
    assert "She left." in await told(slack, "“grant” was not done: it was rejected")
    assert granted(there) == []


@pytest.mark.parametrize("park_after", ["1h", "0s"], ids=["in memory", "parked"])
async def test_worker_killed_during_a_question_leaves_one_card(
    there: Deployment, slack: LocalSlack, park_after: str
) -> None:
    """R4, R8: the decision comes while no worker is there, and the next one goes on from the framework's own state."""
    _, worker = await asyncio.gather(there.web(), there.worker(PARK_AFTER=park_after))
    await slack.user("alice").command(TASK, channel="#general")
    asked = await card(slack)
    await worker.kill()
    assert (await slack.user("bob").click(asked, "Approve")).ok
    await settled(slack, asked.ts)
    assert granted(there) == []
    await there.worker()
    assert "carol has read access to billing until" in await told(slack, "Granted")
    assert granted(there) == ["carol,billing,read"]
    assert len(slack.channel("#approvals").messages) == 1
