"""The chat team is started in its window over real processes; `test_ways` plays each of its modes."""

import asyncio

from localslack import LocalSlack, text_of
from tests.processes import Town


async def test_the_mode_is_chosen_in_the_window(there: Town, slack: LocalSlack) -> None:
    """The options that a real worker announces."""
    await asyncio.gather(there.web(), there.worker())
    alice = slack.user("alice")
    await alice.command("/agent", channel="#general")
    await alice.click(await alice.wait_modal("Start a task"), "team", choose="chat")
    await alice.wait_modal("When people are asked")
    assert await alice.submit({"When people are asked": "adaptive", "task": "look around; delete the list"}) == {}
    asked = await slack.wait_message("#approvals", lambda m: "delete the list" in text_of(m))
    assert "look around" not in text_of(asked)
    assert "Respond" in asked.buttons
