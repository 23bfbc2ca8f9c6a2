"""docs/http-api.md: its program runs, with people who approve everything."""

import asyncio
import os
import re
import sys
from pathlib import Path

from localslack import LocalSlack, text_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "http-api.md").read_text()


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
