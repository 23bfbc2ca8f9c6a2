"""docs/http-api.md and the README: their programs run, with people who approve everything."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from countersign.domain import api_keys
from countersign.store.api_keys import ApiKeys
from countersign.store.store import Store
from localslack import LocalSlack, text_of

HERE = Path(__file__).resolve().parents[2]
PAGE = (HERE / "docs" / "http-api.md").read_text()
README = (HERE / "README.md").read_text()


async def test_the_program_of_the_page_asks_and_goes_on(slack: LocalSlack, url: str, token: str) -> None:
    program = re.findall(r"```python\n(.*?)```", PAGE, re.S)[0]
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        env={**os.environ, "APPROVALS_URL": url, "APPROVALS_KEY": token},
        stdout=asyncio.subprocess.PIPE,
    )
    bob = slack.user("bob")
    for question, button in (("Which region?", "eu"), ("Refund 45.00 EUR", "Approve"), ("Deploy 2.1?", "Approve")):
        card = await slack.wait_message("#approvals", lambda m, asks=question: asks in text_of(m) and bool(m.buttons))  # type: ignore[misc]
        await bob.click(card, button)
    words, _ = await running.communicate()
    assert words.decode() == "eu: 45.00 EUR were paid back.\n"
    assert running.returncode == 0


@pytest.mark.slow  # AutoGen takes seconds to import
async def test_the_readmes_one_line_asks_in_slack_for_an_autogen_script(
    slack: LocalSlack, store: Store, url: str
) -> None:
    """S1: the first code of the README, as it stands there, and a team around it."""
    first = re.findall(r"```python\n(.*?)```", README, re.S)[0]
    assert "slack_input(" in first
    team = """
import asyncio
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.replay import ReplayChatCompletionClient

writer = AssistantAgent("writer", ReplayChatCompletionClient(["Dear vendor, ten percent off, please."]))
done = asyncio.run(RoundRobinGroupChat([writer, human], max_turns=2).run(task="Write to the vendor."))
print(done.messages[-1].to_text())
"""
    issued = api_keys.issue("script", ("#approvals",), await store.now())
    await ApiKeys(store).put(issued.key)
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", first + team),
        env={**os.environ, "COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": issued.token},
        stdout=asyncio.subprocess.PIPE,
    )
    card = await slack.wait_message("#approvals", lambda m: "ten percent off" in text_of(m) and bool(m.buttons))
    await slack.user("bob").click(card, "Approve")
    words, _ = await running.communicate()
    assert words.decode().startswith("DECISION: APPROVED")
    assert running.returncode == 0
