"""The hook of a coding agent: what asks, what people see, and what the agent gets."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from countersign.domain.actions import Action
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import CountersignError
from countersign.domain.ids import RequestId
from countersign.domain.people import Actor
from countersign.domain.standing_permissions import Permission
from countersign.hook.gate import answer
from countersign.hook.protocols import PROTOCOLS
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from countersign.usecases import permission_use
from localslack import LocalSlack, text_of
from tests.adapters.stage import Bob, cards
from tests.free_ports import free_port
from tests.hook.conftest import Agent, decision
from tests.processes import HERE, hear_interrupts
from tests.store_fixtures import NoQueue

PUSH = {"command": "git push origin sale", "description": "Push the branch"}


async def test_approved_call_runs_and_the_card_shows_where(claude: Agent, bob: Bob) -> None:
    """The card shows command, repository, branch, folder, session, host and why it is asked."""
    asked = claude.asks("Bash", PUSH)
    shown = text_of(await bob.card("git push"))
    for fact in (
        "git push origin sale",
        "acme/shop, branch sale",
        str(claude.folder),
        "s1",
        "@",
        "leaves this machine",
    ):
        assert fact in shown, fact
    await bob.presses("git push", "Approve")
    assert decision(await asked) == ("allow", "Approved by bob.")


@pytest.mark.parametrize(
    ("button", "window", "says"),
    [("Reject", {"reason": "freeze"}, "freeze"), ("Request changes", {"answer": "to a branch"}, "to a branch")],
)
async def test_agent_reads_why_a_call_was_rejected(
    claude: Agent, bob: Bob, button: str, window: dict[str, str], says: str
) -> None:
    asked = claude.asks("Bash", PUSH)
    await bob.presses("git push", button, window)
    outcome, reason = decision(await asked)
    assert outcome == "deny" and says in reason


async def test_edited_command_runs_instead(claude: Agent, bob: Bob) -> None:
    """R18: the agent gets the changed input."""
    asked = claude.asks("Bash", {"command": "git push --force", "timeout": 1000})
    await bob.presses("git push", "Edit", {"field_0": "git push"})
    output = (await asked)["hookSpecificOutput"]
    assert output["updatedInput"] == {"command": "git push", "timeout": 1000}
    assert "Approved with changed arguments by bob" in output["permissionDecisionReason"]


async def test_allowed_calls_ask_nobody(claude: Agent, slack: LocalSlack) -> None:
    """An empty answer: the agent's own permissions decide."""
    inside = str(claude.folder / "new.py")
    for tool, arguments in (
        ("Bash", {"command": "pytest -q | tail"}),
        ("Read", {"file_path": "/etc/passwd"}),
        ("Write", {"file_path": inside, "content": "x"}),
        ("Write", {"file_path": "new.py", "content": "x"}),
    ):
        assert await claude.wants(tool, arguments) == {}, tool
    assert cards(slack) == 0


async def test_machine_rules_refuse_without_asking(claude: Agent, slack: LocalSlack) -> None:
    outcome, reason = decision(await claude.wants("Bash", {"command": "sudo shutdown -h now"}))
    assert (outcome, cards(slack)) == ("deny", 0)
    assert "People use this machine" in reason


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("Bash", {"command": "echo x | base64 -d | sh"}),
        ("Bash", {"command": "curl -s https://x.example"}),
        ("Bash", {"command": "echo x >> ~/.bashrc"}),
        ("Bash", {"command": "sed -i s/ask/pass/ ../hook.yaml"}),
        ("WebFetch", {"url": "https://x.example", "prompt": "read"}),
        ("Write", {"file_path": "/etc/hosts", "content": "x"}),
        ("Write", {"file_path": ".claude/settings.json", "content": "{}"}),
        ("Edit", {"file_path": "../other/a.py", "old_string": "a", "new_string": "b"}),
        ("Write", {"content": "without a path"}),
    ],
)
async def test_hook_asks_about_changes_outside_the_repository(
    claude: Agent, slack: LocalSlack, tool: str, arguments: dict[str, str]
) -> None:
    """And about files that decide what is asked. People do not answer here; the request stays open."""
    outcome, reason = decision(await claude.wants(tool, arguments, wait=0.01))
    assert outcome == "deny" and "Make exactly the same call again" in reason
    await slack.wait_message("#approvals", lambda m: bool(m.buttons))


async def test_link_out_of_the_repository_counts_as_outside(claude: Agent, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (claude.folder / "link").symlink_to(tmp_path / "elsewhere")
    outcome, _ = decision(await claude.wants("Write", {"file_path": "link/a", "content": "x"}, wait=0.01))
    assert outcome == "deny"


async def test_card_shows_the_diff_of_an_edit(claude: Agent, bob: Bob, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text("a = 1\nb = 2\n")
    edit = {"file_path": str(other), "old_string": "b = 2", "new_string": "b = 3"}
    asked = claude.asks("Edit", edit)
    shown = text_of(await bob.card("b = 3"))
    assert "-b = 2" in shown and "+b = 3" in shown
    await bob.presses("b = 3", "Approve")
    assert decision(await asked)[0] == "allow"


async def test_repeated_call_continues_the_wait_on_one_card(claude: Agent, bob: Bob, slack: LocalSlack) -> None:
    """R1: the agent was told to make the same call again."""
    assert decision(await claude.wants("Bash", PUSH, wait=0.01))[0] == "deny"
    await bob.presses("git push", "Approve")
    again = {**PUSH, "description": "Push again"}
    assert decision(await claude.wants("Bash", again)) == ("allow", "Approved by bob.")
    assert cards(slack) == 1


async def test_approval_is_for_one_call(claude: Agent, bob: Bob, slack: LocalSlack) -> None:
    asked = claude.asks("Bash", PUSH)
    await bob.presses("git push", "Approve")
    assert decision(await asked)[0] == "allow"
    assert decision(await claude.wants("Bash", PUSH, wait=0.01))[0] == "deny"
    await bob.presses("git push", "Approve")
    assert decision(await claude.wants("Bash", PUSH))[0] == "allow"
    assert cards(slack) == 2


async def test_branch_name_cannot_forge_a_fact(claude: Agent, bob: Bob) -> None:
    """R42."""
    (claude.folder / ".git" / "HEAD").write_text("ref: refs/heads/x\nHost: root@production")
    asked = claude.asks("Bash", PUSH)
    shown = text_of(await bob.card("git push"))
    assert "branch x Host: root@production" in shown
    await bob.presses("git push", "Reject", {"reason": "no"})
    await asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_interrupted_hook_withdraws_its_request(
    claude: Agent, bob: Bob, program: httpx.AsyncClient, number: signal.Signals
) -> None:
    """Nobody waits for the decision any more; the call is blocked."""
    command = (sys.executable, "-m", "countersign", "hook", "claude-code", "--rules", str(claude.rules))
    hook = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=hear_interrupts,
    )
    assert hook.stdin is not None
    hook.stdin.write(json.dumps(claude.message("Bash", PUSH)).encode())
    hook.stdin.close()
    await bob.card("git push")
    (request,) = (await program.get("/v1/requests")).json()["requests"]
    hook.send_signal(number)
    out, err = await hook.communicate()
    assert (hook.returncode, out) == (2, b"") and b"interrupted" in err
    assert (await program.get(f"/v1/requests/{request['id']}")).json()["status"] == "withdrawn"


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ({"hook_event_name": "PostToolUse", "tool_response": {"stdout": "secret"}}, "reports that it ran"),
        ({"hook_event_name": "PostToolUseFailure", "error": "exit 1"}, "reports an error: exit 1"),
    ],
)
async def test_card_shows_how_the_call_ended(
    claude: Agent, bob: Bob, slack: LocalSlack, result: dict[str, Any], shown: str
) -> None:
    """The output stays on the machine. A call that nobody was asked about, and a second report, change nothing."""
    asked = claude.asks("Bash", PUSH)
    await bob.presses("git push", "Approve")
    await asked
    for tool_input in ({"command": "ls"}, PUSH, PUSH):
        data = json.dumps({**claude.message("Bash", tool_input), **result}).encode()
        assert await answer(PROTOCOLS["claude-code"], data, claude.rules, None) == ""
    card = await slack.wait_message("#approvals", lambda m: shown in str(m.blocks))
    assert "secret" not in str(card.blocks)


async def test_lost_state_reuses_no_approval(claude: Agent, bob: Bob, tmp_path: Path) -> None:
    """The file with the count is a hint: an approval that was used is not used again without it."""
    asked = claude.asks("Bash", PUSH)
    await bob.presses("git push", "Approve")
    assert decision(await asked)[0] == "allow"
    for file in (tmp_path / "state").rglob("*"):
        if file.is_file():
            file.unlink()
    assert decision(await claude.wants("Bash", PUSH, wait=0.01))[0] == "deny"


async def test_rejected_call_is_not_asked_again_in_its_session(claude: Agent, bob: Bob, slack: LocalSlack) -> None:
    """R26: another session asks again."""
    asked = claude.asks("Bash", PUSH)
    await bob.presses("git push", "Reject", {"reason": "freeze"})
    await asked
    assert "freeze" in decision(await claude.wants("Bash", PUSH))[1]
    assert cards(slack) == 1
    other = claude.asks("Bash", PUSH, session="s2")
    await bob.presses("git push", "Approve")
    assert decision(await other)[0] == "allow"


async def test_expired_question_can_be_asked_again(claude: Agent, bob: Bob, slack: LocalSlack) -> None:
    """R17."""
    asked = claude.asks("Bash", PUSH)
    await bob.card("git push")
    await bob.lets_time_run_out()
    first = decision(await asked)[1]
    assert "NOBODY ANSWERED" in first
    await slack.wait_message("#approvals", lambda m: "Expired" in text_of(m) and "Approve" not in m.buttons)
    again = claude.asks("Bash", PUSH)
    await bob.presses("git push", "Approve")
    assert decision(await again)[0] == "allow"


async def test_permission_covers_a_command_in_its_repository(
    claude: Agent, bob: Bob, slack: LocalSlack, program: httpx.AsyncClient, store: Store
) -> None:
    """R24: `git push` with any arguments here; another repository, and a longer script, are asked about."""
    asked = claude.asks("Bash", PUSH)
    card = await bob.card("git push")
    person = slack.user("bob")
    await person.click(card, "Approve and don't ask again…")
    await person.wait_modal("Don't ask again")
    assert await person.submit({"scope": "tool", "span": "hour"}) == {}
    assert decision(await asked)[0] == "allow"

    async def is_covered(command: str) -> bool:
        call = {"command": command}
        assert decision(await claude.wants("Bash", call, wait=0.01))[0] == "deny"
        (request,) = (await program.get("/v1/requests")).json()["requests"]
        covered = await permission_use.allow(store, NoQueue(), RequestId(request["id"]), giver) is not None
        if covered:
            assert decision(await claude.wants("Bash", call))[0] == "allow"
        await program.post(f"/v1/requests/{request['id']}/withdraw", json={})
        return covered

    assert await is_covered("git push origin another")
    assert not await is_covered("git push && rm -r x")
    assert not await is_covered("LD_PRELOAD=./x.so git push origin another")
    (claude.folder / ".git" / "config").write_text('[remote "origin"]\n\turl = https://github.com/acme/other\n')
    assert not await is_covered("git push origin another")


async def giver(permission: Permission, _: Rules) -> Actor:
    """Who gave a permission, as Slack has them: still somebody who may decide."""
    return Actor(permission.workspace, permission.by)


async def test_workspace_policy_decides_over_the_hook(claude: Agent, store: Store, slack: LocalSlack) -> None:
    rules = (
        Clause("deploys", Action.ALLOW, 1, tool="git push in acme/*", program="*"),
        Clause("no force", Action.DENY, 2, tool="git push*", condition='command like "*--force*"', why="Never force."),
    )
    await store.set_rulebook(Rulebook(rules))
    assert decision(await claude.wants("Bash", PUSH))[0] == "allow"
    outcome, reason = decision(await claude.wants("Bash", {"command": "git push --force"}))
    assert (outcome, cards(slack)) == ("deny", 0) and "Never force." in reason


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "got no message"),
        (b"hello", "not valid JSON"),
        (b'{"session_id": "s1", "tool_na', "not valid JSON"),
        (b"[]", "not an object"),
        (b"{}", "no arguments"),
        (b'{"tool_input": {}}', "no session_id"),
        (b'{"tool_input": {}, "session_id": "s", "cwd": "/", "tool_name": "Bash"}', "has no command"),
        (b'{"tool_input": "x", "session_id": "s", "cwd": "/", "tool_name": "Bash"}', "no arguments"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
async def test_unreadable_message_is_refused(claude: Agent, data: bytes, says: str) -> None:
    """R29."""
    with pytest.raises(CountersignError, match=says):
        await answer(PROTOCOLS["claude-code"], data, claude.rules, None)


async def test_huge_diff_is_refused_with_a_reason(claude: Agent, slack: LocalSlack) -> None:
    """R14: nobody can judge it, and the model reads what to do."""
    huge = {"file_path": "/srv/data.json", "content": "x" * 10_000_000}
    outcome, reason = decision(await claude.wants("Write", huge))
    assert (outcome, cards(slack)) == ("deny", 0)
    assert "10,000" in reason and "Make them shorter" in reason


@pytest.mark.parametrize("name", PROTOCOLS)
async def test_unreachable_service_blocks_calls_in_each_protocol(
    claude: Agent, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """R21: nobody could be asked, so nothing runs."""
    monkeypatch.setenv("COUNTERSIGN_URL", f"http://127.0.0.1:{free_port()}")
    tool = {"gemini": "run_shell_command", "copilot": "bash"}.get(name, "Bash")
    (claude.rules).write_text(claude.rules.read_text().replace("10m", "2s"))
    said = json.dumps(await Agent(name, claude.folder, claude.rules).wants(tool, PUSH))
    assert "deny" in said and "nobody could be asked" in said and "connection refused" in said


async def test_hanging_service_blocks_the_call_after_the_timeout(
    claude: Agent, unused_tcp_service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_URL", unused_tcp_service)
    claude.rules.write_text(claude.rules.read_text().replace("10m", "1s"))
    assert "nobody could be asked" in decision(await claude.wants("Bash", PUSH))[1]


async def test_revoked_key_blocks_the_call(claude: Agent, bob: Bob, program: httpx.AsyncClient) -> None:
    await bob.loses_its_key()
    outcome, reason = decision(await claude.wants("Bash", PUSH))
    assert outcome == "deny" and "revoked" in reason
