"""Programs that ask over HTTP beside the runs, and die at any moment. As a module this file is one of them.

Each asks under its own key, notes what it heard, reports, and ends; one that was killed is started again.
"""

import asyncio
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

from countersign import Client
from countersign.client.client import question
from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.usecases.program_requests import NOTHING_TO_REPORT

LINES: Final = "programs.jsonl"
TITLE: Final = "May {} go on?"
DONE: Final = "{} went on."
_MOST: Final = 6
"""Programs at once: each is a process."""
_EVERY: Final = 1.5
_JOINED: Final = 6.0
"""Seconds after which `web` asks Slack anew in which channels the app is."""
_MORTAL: Final = 0.5
"""The share of their lives that end by kill -9."""
_FIRST: Final = 100_000
"""Numbers of programs, which no task has."""


class Programs:
    """Programs beside a deployment.

    `deaths` counts those that were killed, `problems` are the last words of those that failed.
    """

    def __init__(
        self, urls: list[str], key: str, folder: Path, channels: list[str], seed: int, patience: float
    ) -> None:
        self.given: list[str] = []
        self.deaths = 0
        self.problems: list[str] = []
        self._urls, self._key, self._folder, self._channels = urls, key, folder, channels
        self._seed, self._patience = seed, patience
        self._lives: set[asyncio.Task[None]] = set()

    async def start_some(self) -> None:
        """Start one now and then, until cancelled."""
        await asyncio.sleep(_JOINED)
        while True:
            if len(self._lives) < _MOST:
                tag = f"tag{self._seed}x{_FIRST + len(self.given)}"
                self.given.append(tag)
                life = asyncio.create_task(self._live(tag), name=f"program {tag}")
                self._lives.add(life)
                life.add_done_callback(self._lives.discard)
            await asyncio.sleep(_EVERY)

    async def finish(self, within: float) -> None:
        """Wait until all have ended; those that take too long are ended."""
        lives = list(self._lives)
        if lives:
            await asyncio.wait(lives, timeout=within)
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)

    async def _live(self, tag: str) -> None:
        random = Random(f"program {tag}")
        channel = random.choice(self._channels)
        while True:
            env = {**os.environ, "COUNTERSIGN_URL": random.choice(self._urls), "COUNTERSIGN_KEY": self._key}
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", __name__, tag, channel, str(self._folder / LINES)),
                env=env,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            patience = random.expovariate(1 / self._patience) if random.random() < _MORTAL else None
            try:
                async with asyncio.timeout(patience):
                    words, _ = await process.communicate()
                if process.returncode and b"Invite it there" in words:  # this `web` has not looked yet
                    await asyncio.sleep(_JOINED)
                    continue
                if process.returncode:
                    self.problems.append(f"{tag}: {words.decode(errors='replace')[-500:]}")
                return
            except TimeoutError:
                self.deaths += 1
            finally:
                if process.returncode is None:
                    process.send_signal(signal.SIGKILL)
                    await process.wait()


def read(folder: Path) -> list[dict[str, Any]]:
    """All that programs heard."""
    path = folder / LINES
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wrongs(
    heard: Mapping[str, list[dict[str, Any]]],
    problems: list[str],
    requests: Mapping[RequestId, Request],
    runs: Mapping[RunId, Run],
) -> list[tuple[str, str, str]]:
    """Programs without one request, the decision as it is, and a report that stands: words, run, request."""
    cases = [(f"a program failed: {words}", "", "") for words in problems]
    asked: defaultdict[str, list[Request]] = defaultdict(list)
    for request in requests.values():
        asked[request.question.title].append(request)
    for tag, lines in heard.items():
        own = asked[TITLE.format(tag)]
        if len(own) != 1 or not lines:
            cases.append((f"{tag} has {len(own)} requests, and heard {lines}", "", ""))
            continue
        (request,) = own
        decision, run = request.decision, runs[request.run]
        truth = decision and (request.id, decision.outcome, list(decision.by), decision.words)
        for line in lines:
            if truth != (line["request"], line["outcome"], line["by"], line["words"]):
                cases.append((f"{tag} heard {line}, the store has {decision}", request.run, request.id))
        done = decision is not None and decision.outcome in (Status.APPROVED, Status.EDITED, Status.ANSWERED)
        if run.result != (DONE.format(tag) if done else NOTHING_TO_REPORT):
            cases.append((f"{tag} reported, and “{run.result}” stands", request.run, request.id))
    return cases


def main(tag: str, channel: str, path: str) -> None:
    """Ask, note the decision in one write, and report."""
    with Client() as client:
        decision = client.ask(question(channel, TITLE.format(tag), f"It would do what {tag} says."), key=tag)
        line: dict[str, Any] = {"tag": tag, "request": decision.request, "outcome": decision.outcome}
        line |= {"by": list(decision.by), "words": decision.words}
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(handle, json.dumps(line).encode() + b"\n")
        if decision.approved or decision.outcome == "answered":
            client.report(decision, succeeded=True, words=DONE.format(tag))


if __name__ == "__main__":
    main(*sys.argv[1:])
