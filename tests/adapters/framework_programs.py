"""Examples of docs/adapters.md as programs, with a model that plays a script."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path

from localslack import LocalSlack, text_of
from tests.longest_wait import PATIENCE
from tests.processes import Process

HERE = Path(__file__).resolve().parent.parent.parent
STOPS = """
import os, pathlib, time

def stop(name: str) -> None:
    if pathlib.Path(name).exists():
        pathlib.Path(name).unlink()  # first: who hears the line ends this program, and starts it again
        print(f"stops at {name}", flush=True)
        time.sleep(10_000)

def did(*values: object) -> None:
    with open("done", "a") as file:
        print(*values, file=file)
    stop("in the call")

TASKS = {
    "refund": [("refund", {"order": 17, "euros": 45.0})],
    "two": [("refund", {"order": 70017, "euros": 45.0}), ("refund", {"order": 70018, "euros": 9.0})],
    "ask": [("ask_human", {"question": "Which region?", "options": ["eu", "us"]})],
}
CALLS = [(f"c{n}", name, arguments) for n, (name, arguments) in enumerate(TASKS[os.environ.get("TASK", "refund")])]
"""
"""What the models are made of: a file of that name makes the program stop there, once."""


def examples(page: str, section: str, kind: str = "python") -> list[str]:
    """The blocks of code in a section of a page of docs/."""
    text = (HERE / "docs" / page).read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{kind}\n(.*?)```", text, re.S)


class Program(Process):
    """An example as a process in a folder of its own. `start` again goes on with the same folder."""

    def __init__(self, folder: Path, code: str, models: str, env: dict[str, str], python: Path | None = None) -> None:
        super().__init__("program", {**env, "PYTHONPATH": "" if python else str(HERE)})
        self.folder, self.python = folder, python or Path(sys.executable)
        (folder / "program.py").write_text(
            code.replace("    return f", "    my_models.did(order, euros)\n    return f")
            .replace("from agent_framework.openai import OpenAIChatClient\n", "")
            .replace('OpenAIChatClient("gpt-5-mini")', "my_models.client")
            .replace('model="gpt-5-mini"', "model=my_models.model")
        )
        (folder / "my_models.py").write_text(STOPS + models)
        with (folder / "program.py").open("r+") as file:
            rest = file.read()
            file.seek(0)
            file.write("import my_models\n" + rest)

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(self.python, "program.py"),
            cwd=self.folder,
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send the signal to it and to what it started, and wait for the end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)
        return await super().kill(number)

    async def ended(self) -> str:
        """All that it printed, once it ended well."""
        assert await self.wait() == 0, "\n".join(self.lines)
        return "\n".join(self.lines[:-1])

    def done(self) -> list[str]:
        """What it really did."""
        path = self.folder / "done"
        return path.read_text().splitlines() if path.exists() else []

    def stops(self, where: str) -> None:
        """Have it stop there, once: `in the call` or `before the end`."""
        (self.folder / where).touch()

    async def stopped(self, where: str) -> None:
        """Wait until it stops there: it, or code that it runs, whose words nobody hears."""
        async with asyncio.timeout(PATIENCE):
            while True:
                assert self.running, "\n".join(self.lines)
                if not (self.folder / where).exists():
                    return
                await asyncio.sleep(0.01)


def environment(url: str, token: str, **more: str) -> dict[str, str]:
    """Where the service is, and how the program is known there."""
    return {"COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": token, "HOME": os.environ.get("HOME", "/"), **more}


def cards(slack: LocalSlack, words: str) -> int:
    """How many messages of the approvals' channel have these words."""
    return sum(words in text_of(message) for message in slack.channel("#approvals").messages)
