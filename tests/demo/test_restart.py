"""The demo over changes of its teams and a restart, and the lines that it prints to paste."""

import asyncio
import contextlib
import json
import mailbox
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Any

import aiohttp
import pytest

from agents import registry
from tests.free_ports import free_ports
from tests.longest_wait import PATIENCE
from tests.processes import HERE, Process

pytestmark = pytest.mark.slow

Json = dict[str, Any]


class Demo(Process):
    """`python -m demo` with its data in a folder."""

    def __init__(self, folder: Path, port: int) -> None:
        ours = {k: v for k, v in os.environ.items() if k not in ("REDIS_URL", "SMTP_URL", "REVIEWERS")}
        env = {**ours, "TEAMS": str(folder / "teams"), "LOG_LEVEL": "INFO"}
        super().__init__("demo", env, "--data", str(folder), "--port", str(port))
        self.page = f"http://127.0.0.1:{port}"

    async def act(self, user: str, **what: Any) -> None:
        """Do something on the page of the local Slack."""
        body = {"user": user, **what}
        async with aiohttp.ClientSession() as session, session.post(f"{self.page}/page/act", json=body) as response:
            answer = await response.json()
        assert answer["ok"], answer

    async def message(self, user: str, channel: str, match: Callable[[str], object]) -> Json:
        """The newest message that matches, as the page shows it to somebody."""
        live = f"{self.page}/page/live?user={user}&channel={channel}"
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session, session.ws_connect(live) as frames:
            async for frame in frames:
                messages = (json.loads(frame.data)["channel"] or {}).get("messages", [])
                fits = [message for message in messages if match(json.dumps(message, ensure_ascii=False))]
                if fits:
                    return dict(fits[-1])
        raise AssertionError("The page went away.")

    async def approve(self, card: Json) -> None:
        """Click Approve as bob."""
        elements = [(b["block_id"], e) for b in card["blocks"] if b["type"] == "actions" for e in b["elements"]]
        block, button = next((b, e) for b, e in elements if e["action_id"] == "decide_approve")
        click = {"block_id": block, "action_id": button["action_id"], "value": button["value"]}
        await self.act("U0BOB", do="click", channel="C0APPROVALS", message_ts=card["ts"], **click)


def command_lines(part: str) -> list[str]:
    """Command lines on this machine that hold this text, as anybody may read them."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found.append(file.read_bytes().decode(errors="replace"))
    return [line for line in found if part in line]


async def test_changed_team_is_reloaded_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """R4: what waits survives both; what does not load is said in the terminal and in Slack."""
    shutil.copytree(registry.EXAMPLES, tmp_path / "teams", ignore=shutil.ignore_patterns("__pycache__"))
    demo = Demo(tmp_path, free_ports(10))
    await demo.start()
    await demo.said("Ctrl-C stops everything")
    lines = command_lines(str(tmp_path))
    assert len(lines) > 2 and not [line for line in lines if re.search("xoxb|xapp|csk_|:[^/@]+@", line)]
    await demo.act("U0ALICE", do="post", channel="C0GENERAL", text="/agent email tell the vendor we need 10% off")
    card = await demo.message("U0BOB", "C0APPROVALS", lambda shown: "decide_approve" in shown)
    (tmp_path / "teams" / "broken.py").write_text("import warehouse\n")
    await demo.said("A team file has changed")
    await demo.said("“broken” cannot be started: its file .*'warehouse'")
    await demo.said("started: .*warehouse")
    lines = demo.lines
    assert await demo.kill(signal.SIGINT) == 0, demo.lines

    await demo.start()
    await demo.said("Ctrl-C stops everything")
    await demo.said("is ready; teams")
    assert (await demo.message("U0BOB", "C0APPROVALS", lambda shown: "decide_approve" in shown))["ts"] == card["ts"]
    await demo.act("U0ALICE", do="post", channel="C0GENERAL", text="/agent broken anything")
    await demo.message("U0ALICE", "C0GENERAL", lambda shown: "No module named 'warehouse'" in shown)
    await demo.approve(card)
    await demo.message("U0BOB", "C0APPROVALS", lambda shown: card["ts"] in shown and "*Approved*" in shown)
    await demo.message("U0ALICE", "C0GENERAL", lambda shown: "sent" in shown.lower())
    assert len(mailbox.Maildir(tmp_path / "mailbox", create=False)) == 1

    welcome = "\n".join(demo.lines)
    export, ask = re.findall(r"^ +(export COUNTERSIGN_URL.+|\S+ -c .+)$", welcome, re.M)
    program = await _shell(f"{export}\n{ask}")
    shall = await demo.message("U0BOB", "C0APPROVALS", lambda shown: "Shall we?" in shown)
    await demo.approve(shall)
    out, _ = await program.communicate()
    assert "outcome='approved'" in out.decode(), out
    [model] = re.findall(r"^ +(export OPENAI_BASE_URL.+)$", welcome, re.M)
    [script] = re.findall(r"```python\n(.*?slack_input.*?)```", (HERE / "README.md").read_text(), re.S)
    (tmp_path / "script.py").write_text(script)
    paste = re.split(r" -c ", ask)[0]
    program = await _shell(f"{export}\n{model}\nPYTHONPATH={quote(str(HERE))} {paste} {quote(str(tmp_path))}/script.py")
    await demo.approve(await demo.message("U0BOB", "C0APPROVALS", lambda shown: "My draft for" in shown))
    out, _ = await program.communicate()
    assert "APPROVE" in out.decode(), out
    [report] = re.findall(r"^ +(REDIS_URL=\S+ .+ audit report)$", welcome, re.M)
    out, _ = await (await _shell(report)).communicate()
    assert "At a glance" in out.decode(), out
    assert await demo.kill(signal.SIGINT) == 0, demo.lines
    errors = [line for line in (*lines, *demo.lines) if "Traceback" in line]
    assert len(errors) == 2, errors  # of the file that does not load, at each start


async def _shell(text: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        "bash", "-c", text, cwd=HERE, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
