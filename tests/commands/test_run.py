"""`countersign run`: what people approve is what runs, and the exit status says what happened."""

import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from countersign.commands import waiting
from countersign.commands.execution import last_lines
from countersign.commands.exit_statuses import ExitStatus
from countersign.domain.actions import Action
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from localslack import LocalSlack, text_of
from tests.adapters.stage import Bob, cards
from tests.commands.conftest import Command, Shell, asked, decided
from tests.free_ports import free_port

RUN = ("run", "--channel", "#general", "--title", "Deploy", "--host", "ci")


async def approved(command: Command, bob: Bob, *arguments: str, **env: str) -> tuple[int, Shell]:
    shell = await command(*RUN, *arguments, **env).start()
    await decided(bob, shell, "Deploy", "Approve")
    return await shell.wait(), shell


async def test_run_executes_the_vector_without_a_shell(command: Command, bob: Bob, tmp_path: Path) -> None:
    """R13: blanks, quotes, `$` and `;` stay what they were; arguments that look like options do, too."""
    code = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd()]))"
    words = ["a b", "$HOME", "; rm -rf x", "--", "--title", "'"]
    status, shell = await approved(command, bob, "--", "python3", "-c", code, *words)
    assert status == 0, shell.printed
    assert json.loads(shell.lines[-2]) == [words, str(tmp_path)]


async def test_run_shows_everything_that_decides_what_runs(command: Command, bob: Bob, tmp_path: Path) -> None:
    """R44: vector, folder, account, machine, named variables and files; a hidden variable's value is not shown."""
    (tmp_path / "plan").write_bytes(b"\x00plan")
    (tmp_path / "plan.txt").write_text("+ one database\n")
    options = ("--env", "REGION", "--hide", "SECRET", "--file", "plan", "--attach", "plan.txt")
    shell = await command(*RUN, *options, "--", "make", "deploy now", REGION="eu", SECRET="open-sesame").start()
    await asked(bob, shell, "Deploy")
    shown = text_of(await bob.card("Deploy"))
    for fact in ("- make", "- deploy now", str(tmp_path), "Host: ci", "REGION: eu", "sha256:", "│ + one database"):
        assert fact in shown, fact
    assert "open-sesame" not in shown


async def test_run_ends_with_the_command_status_and_reports_it(
    command: Command, bob: Bob, slack: LocalSlack, program: httpx.AsyncClient
) -> None:
    """The card gets the status and the last lines, without colors; the terminal gets the output as it is."""
    script = "for n in 1 2 3; do echo line $n; done; printf '\\033[31mbad\\033[0m\\n' >&2; exit 7"
    status, shell = await approved(command, bob, "--lines", "2", "--", "sh", "-c", script)
    assert status == 7
    assert {"line 1", "line 2", "line 3", "\x1b[31mbad\x1b[0m"} <= {*shell.lines}
    card = await slack.wait_message("#approvals", lambda m: "Exit status 7" in str(m.blocks))
    assert "line 3" in str(card.blocks) or "bad" in str(card.blocks)
    assert "line 1" not in str(card.blocks).replace("line 1;", "")


async def test_run_reports_no_hidden_value(command: Command, bob: Bob, slack: LocalSlack) -> None:
    """R44: the command may print what nobody was shown."""
    script = ("sh", "-c", "echo got $SECRET")
    status, _ = await approved(command, bob, "--hide", "SECRET", "--", *script, SECRET="open-sesame")
    assert status == 0
    card = await slack.wait_message("#approvals", lambda m: "Exit status 0" in str(m.blocks))
    assert "got [SECRET]" in str(card.blocks) and "open-sesame" not in str(card.blocks)


async def test_run_reports_a_signal_as_shells_do(command: Command, bob: Bob) -> None:
    status, _ = await approved(command, bob, "--", "sh", "-c", "kill -TERM $$")
    assert status == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("button", "window", "status", "says"),
    [
        ("Reject", {"reason": "not today"}, ExitStatus.REJECTED, "Rejected by bob: not today"),
        ("Request changes", {"answer": "to staging"}, ExitStatus.CHANGES_REQUESTED, "to staging"),
        ("", None, ExitStatus.EXPIRED, "Nobody decided in time."),
    ],
)
async def test_run_ends_with_the_decision_status(
    command: Command, bob: Bob, tmp_path: Path, button: str, window: dict[str, str] | None, status: int, says: str
) -> None:
    """R17: expired is not rejected; nothing runs."""
    shell = await command(*RUN, "--", "touch", "ran").start()
    await asked(bob, shell, "Deploy")
    if button:
        await bob.presses("Deploy", button, window)
    else:
        await bob.lets_time_run_out()
    assert (await shell.wait(), says in shell.printed) == (status, True), shell.printed
    assert not (tmp_path / "ran").exists()


async def test_run_obeys_the_policy(command: Command, bob: Bob, store: Store, slack: LocalSlack) -> None:
    """The tool is `run`, and conditions read the vector; neither rule asks anybody."""
    rules = (
        Clause("no rm", Action.DENY, 1, tool="run", condition='command[0] == "rm"', why="Use the trash."),
        Clause("echo", Action.ALLOW, 2, tool="run", program="*", condition='command[0] == "echo"'),
    )
    await store.set_rulebook(Rulebook(rules))
    refused = await command(*RUN, "--", "rm", "-rf", "x").start()
    assert (await refused.wait(), "Use the trash." in refused.printed) == (ExitStatus.REJECTED, True)
    passed = await command(*RUN, "--", "echo", "hello").start()
    assert (await passed.wait(), "hello" in passed.lines) == (0, True), passed.printed
    assert cards(slack) == 0


@pytest.mark.parametrize("changed", ["file", "file gone", "program"])
async def test_run_refuses_changes_since_the_approval(command: Command, bob: Bob, tmp_path: Path, changed: str) -> None:
    """R37: compared right before the start."""
    (tmp_path / "plan").write_text("one")
    (tmp_path / "bin").mkdir()
    (tmp_path / "late").mkdir()
    program = tmp_path / "late" / "tool"
    program.write_text("#!/bin/sh\ntouch ran\n")
    program.chmod(0o755)
    path = f"{tmp_path}/bin:{tmp_path}/late:{os.environ['PATH']}"
    shell = await command(*RUN, "--file", "plan", "--", "tool", PATH=path).start()
    await asked(bob, shell, "Deploy")
    if changed == "program":
        program.rename(tmp_path / "bin" / "tool")
    elif changed == "file":
        (tmp_path / "plan").write_text("two")
    else:
        (tmp_path / "plan").unlink()
    await bob.presses("Deploy", "Approve")
    assert await shell.wait() == ExitStatus.DIFFERS, shell.printed
    assert "no longer what was approved" in shell.printed
    assert changed.split()[0] in shell.printed or "plan" in shell.printed
    assert not (tmp_path / "ran").exists()


async def test_run_starts_once_for_one_key(command: Command, bob: Bob, slack: LocalSlack, tmp_path: Path) -> None:
    """R8: the second run ends well and says why nothing ran; other content under the key is refused."""
    again = ("--key", "deploy-1", "--", "sh", "-c", "echo ran >> done")
    status, _ = await approved(command, bob, *again)
    assert status == 0
    second = await command(*RUN, *again).start()
    assert await second.wait() == 0
    assert "A run with this --key has ended, so nothing ran now." in second.printed
    other = await command(*RUN, "--key", "deploy-1", "--", "sh", "-c", "echo more >> done").start()
    assert (await other.wait(), "This idempotency key was used" in other.printed) == (ExitStatus.REFUSED, True)
    assert (tmp_path / "done").read_text() == "ran\n"
    assert cards(slack) == 1


async def test_failed_run_is_not_repeated_under_its_key(command: Command, bob: Bob, tmp_path: Path) -> None:
    again = ("--key", "deploy-1", "--", "sh", "-c", "echo ran >> done; exit 3")
    assert (await approved(command, bob, *again))[0] == 3
    second = await command(*RUN, *again).start()
    assert await second.wait() == ExitStatus.RAN_AND_FAILED
    assert "Exit status 3" in second.printed
    assert (tmp_path / "done").read_text() == "ran\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_run_withdraws_its_request_when_interrupted(
    command: Command, bob: Bob, program: httpx.AsyncClient, number: signal.Signals
) -> None:
    """Ctrl-C at a terminal, a CI that cancels a job, a connection that is lost."""
    shell = await command(*RUN, "--", "true").start()
    await asked(bob, shell, "Deploy")
    (request,) = (await program.get("/v1/requests")).json()["requests"]
    assert await shell.kill(number) == 128 + number
    assert (await program.get(f"/v1/requests/{request['id']}")).json()["status"] == "withdrawn"


@pytest.mark.parametrize(
    ("options", "status"),
    [(("--key", "k"), "pending"), (("--key", "k", "--on-interrupt", "withdraw"), "withdrawn")],
)
async def test_interrupt_of_a_run_obeys_key_and_option(
    command: Command, bob: Bob, program: httpx.AsyncClient, options: tuple[str, ...], status: str
) -> None:
    shell = await command(*RUN, *options, "--", "true").start()
    await asked(bob, shell, "Deploy")
    (request,) = (await program.get("/v1/requests")).json()["requests"]
    assert await shell.kill(signal.SIGTERM) == 128 + signal.SIGTERM
    assert (await program.get(f"/v1/requests/{request['id']}")).json()["status"] == status


async def test_running_command_gets_the_signals(command: Command, bob: Bob, slack: LocalSlack) -> None:
    """The command ends as it likes, and its status is reported."""
    script = "trap 'echo stopping; exit 9' TERM; echo began; while :; do sleep 0.01; done"
    shell = await command(*RUN, "--", "sh", "-c", script).start()
    await decided(bob, shell, "Deploy", "Approve")
    await shell.said("^began$")
    assert await shell.kill(signal.SIGTERM) == 9
    await slack.wait_message("#approvals", lambda m: "Exit status 9" in str(m.blocks) and "stopping" in str(m.blocks))


async def test_run_does_not_wait_for_leftover_processes(command: Command, bob: Bob, tmp_path: Path) -> None:
    """A daemon that keeps the output open."""
    os.mkfifo(tmp_path / "gate")
    status, shell = await approved(command, bob, "--", "sh", "-c", "cat gate & echo started")
    assert (status, "started" in shell.lines) == (0, True)
    shell.end()


@pytest.mark.real_clock("under libfaketime 0.9.10 each time.sleep of Python 3.11 raises EINVAL")
async def test_run_reports_an_unreachable_service_immediately(command: Command, tmp_path: Path) -> None:
    away = {"COUNTERSIGN_URL": f"http://127.0.0.1:{free_port()}"}
    shell = await command(*RUN, "--timeout", "0.1", "--", "touch", "ran", **away).start()
    assert await shell.wait() == ExitStatus.SERVICE_AWAY
    assert "connection refused" in shell.printed and "Nothing ran." in shell.printed
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("make",), 2, "write the command after --"),
        (("--",), 2, "write the command after --"),
        (("--", "no-such-program"), 127, "no-such-program was not found"),
        (("--", "./plan"), 126, "./plan can't be executed"),
        (("--file", "absent", "--", "true"), 2, "absent can't be read"),
        (("--file", ".", "--", "true"), 2, ". is not a regular file"),
        (("--attach", "binary", "--", "true"), 2, "binary is not UTF-8 text"),
        (("--attach", "long", "--", "true"), 2, "Attach a summary."),
        (("--", "echo", os.fsdecode(b"\xff")), 2, "aren't UTF-8"),
    ],
)
async def test_run_refuses_unshowable_commands(
    command: Command, slack: LocalSlack, tmp_path: Path, arguments: tuple[str, ...], status: int, says: str
) -> None:
    """Before anybody is asked."""
    (tmp_path / "plan").write_text("no program")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "long").write_text("x" * 100_000)
    shell = await command(*RUN, *arguments).start()
    assert (await shell.wait(), says in shell.printed) == (status, True), shell.printed
    assert cards(slack) == 0


async def test_run_logs_why_it_waits_without_a_terminal(command: Command, bob: Bob) -> None:
    """In cron and CI there is no terminal: the log has the card's channel and link, unless it is to be quiet."""
    _, shell = await approved(command, bob, "--", "true")
    assert "Waiting for a decision in #approvals" in shell.printed
    assert "approved by bob." in shell.printed
    _, quiet = await approved(command, bob, "--quiet", "--", "true")
    assert quiet.printed == ""


def test_long_wait_says_that_it_still_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some CI systems end a job that prints nothing."""
    monkeypatch.setattr(waiting, "_STILL", 0.001)
    shown = ""
    with waiting.noted(quiet=False):
        while "Still waiting for a decision" not in shown:
            shown += capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "many", "shown"),
    [
        (b"a\nb\nc\n", 2, "b\nc"),
        (b"10%\r50%\r100%\n", 5, "100%"),
        (b"\x1b[1mbold\x1b[0m\r\nnext\n\n", 5, "bold\nnext"),
        (b"\x1b]0;title\x07ok", 5, "ok"),
        (b"\xff\n", 1, "\ufffd"),
        (b"a\n", 0, ""),
    ],
)
def test_reported_last_lines_are_plain_text(output: bytes, many: int, shown: str) -> None:
    assert last_lines(output, many) == shown
