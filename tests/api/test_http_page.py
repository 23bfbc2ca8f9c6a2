"""docs/ask-from-python.md and the README: their programs run, with people who approve everything."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from countersign.domain import api_keys
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from demo import scripted_model
from localslack import LocalSlack, text_of

HERE = Path(__file__).resolve().parents[2]
PAGE = (HERE / "docs" / "ask-from-python.md").read_text()
README = (HERE / "README.md").read_text()


async def test_documented_program_asks_and_continues(slack: LocalSlack, url: str, token: str) -> None:
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
async def test_readme_program_asks_in_slack_for_autogen(slack: LocalSlack, store: Store, url: str) -> None:
    """S1: the first code of the README, as it stands there, with the model of the demo."""
    first = re.findall(r"```python\n(.*?)```", README, re.S)[0]
    assert "slack_input(" in first
    issued = api_keys.issue("script", ("C0APPROVALS",), await store.now())
    await ApiKeys(store).put(issued.key)
    async with scripted_model.served("127.0.0.1", 0) as model:
        service = {"COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": issued.token}
        running = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", first),
            env={**os.environ, **service, "OPENAI_BASE_URL": model, "OPENAI_API_KEY": "demo"},
            stdout=asyncio.subprocess.PIPE,
        )
        card = await slack.wait_message("#approvals", lambda m: "10% off" in text_of(m) and bool(m.buttons))
        assert scripted_model.NOTE in text_of(card)
        await slack.user("bob").click(card, "Approve")
        words, _ = await running.communicate()
    assert words.decode() == "APPROVE\n"
    assert running.returncode == 0
