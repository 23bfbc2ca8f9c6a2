"""`countersign ask`: what a shell script reads, and with which status it ends."""

import asyncio
import json
from pathlib import Path

import pytest

from countersign.commands.exit_statuses import ExitStatus
from localslack import LocalSlack
from tests.adapters.stage import Bob, cards
from tests.commands.conftest import Command, Shell, decided
from tests.free_ports import free_port

ASK = ("ask", "Which region?", "--channel", "#general")
OPTIONS = ("--option", "eu", "--option", "us")
FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


async def output(shell: Shell) -> str:
    """What it prints on standard output: the rest is quiet."""
    await shell.wait()
    return shell.printed


@pytest.mark.parametrize(
    ("options", "button", "window", "status", "printed"),
    [
        ((), "Approve", None, 0, ""),
        ((), "Request changes", {"answer": "Ask Carol."}, ExitStatus.CHANGES_REQUESTED, "Ask Carol."),
        ((), "Reject", {"reason": "no"}, ExitStatus.REJECTED, ""),
        (OPTIONS, "us", None, 0, "us"),
        (("--form", "form.json"), "Fill in", {"field_0": "Ada"}, 0, '{"name": "Ada"}'),
        (("--edit", "--message", "Dear all"), "Approve", None, 0, "Dear all"),
    ],
    ids=["approved", "changes", "rejected", "chosen", "form", "message"],
)
async def test_ask_prints_the_answer_for_a_script(
    command: Command,
    bob: Bob,
    tmp_path: Path,
    options: tuple[str, ...],
    button: str,
    window: dict[str, str] | None,
    status: int,
    printed: str,
) -> None:
    (tmp_path / "form.json").write_text(json.dumps(FORM))
    shell = await command(*ASK, "--quiet", *options).start()
    await decided(bob, shell, "Which region?", button, window)
    assert await shell.wait() == status, shell.printed
    lines = [line for line in shell.printed.splitlines() if not line.startswith("countersign ask: ")]
    assert "\n".join(lines) == printed


async def test_ask_prints_the_decision_as_json(command: Command, bob: Bob) -> None:
    shell = await command(*ASK, *OPTIONS, "--json", "--quiet").start()
    await decided(bob, shell, "Which region?", "eu")
    await shell.wait()
    decision = json.loads(shell.printed)
    assert (decision["outcome"], decision["chosen"], decision["names"]) == ("answered", ["eu"], ["bob"])
    assert {"request", "approved", "how", "at", "by", "words", "arguments", "message", "reported"} <= decision.keys()


async def test_ask_under_one_key_is_one_question(command: Command, bob: Bob, slack: LocalSlack) -> None:
    shell = await command(*ASK, *OPTIONS, "--key", "region", "--quiet").start()
    await decided(bob, shell, "Which region?", "us")
    await shell.wait()
    again = await command(*ASK, *OPTIONS, "--key", "region", "--quiet").start()
    assert (await again.wait(), again.printed, cards(slack)) == (0, "us", 1)


async def test_ask_reads_the_message_from_standard_input(command: Command, slack: LocalSlack) -> None:
    """Here there is nothing to read, so the question is its title."""
    shell = await command(*ASK, "--message-file", "-").start()
    await slack.wait_message("#approvals", lambda m: "Which region?" in m.text)
    await shell.kill()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--form", "absent"), 2, "absent can't be read"),
        (("--form", "broken"), 2, "broken is not a JSON schema"),
        (("--message", "a", "--message-file", "b"), 2, "not both"),
        (("--option", "same", "--option", "same"), ExitStatus.REFUSED, "twice"),
    ],
)
async def test_ask_refuses_questions_that_cannot_be_asked(
    command: Command, slack: LocalSlack, tmp_path: Path, arguments: tuple[str, ...], status: int, says: str
) -> None:
    (tmp_path / "broken").write_text("{")
    shell = await command(*ASK, *arguments).start()
    assert (await shell.wait(), says in shell.printed) == (status, True), shell.printed
    assert cards(slack) == 0


@pytest.mark.real_clock("under libfaketime 0.9.10 each time.sleep of Python 3.11 raises EINVAL")
async def test_ask_says_that_the_service_is_away(command: Command) -> None:
    away = {"COUNTERSIGN_URL": f"http://127.0.0.1:{free_port()}"}
    both = [await command(*ASK, "--timeout", "0.1", *more, **away).start() for more in ((), ("--json",))]
    assert await asyncio.gather(*(one.wait() for one in both)) == [ExitStatus.SERVICE_AWAY] * 2
