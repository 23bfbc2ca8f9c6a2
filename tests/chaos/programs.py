"""Programs that ask over HTTP beside the runs, and die at any moment. As a module this file is one of them.

Each asks under its own key, notes what it heard, reports, and ends; one that was killed is started again. Some ask for
words, some for a choice, some act behind `requires_approval`, and some are told by a callback, too.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any, Final

from countersign import NotApproved, requires_approval
from countersign.client import AlreadyRan, Client, Question, exchange, executions
from countersign.client.exchange import Decision
from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.usecases.unreported_outcomes import NOTHING_TO_REPORT

LINES: Final = "programs.jsonl"
TITLE: Final = "May {} go on?"
ARGUMENT: Final = ": times 1"
"""What the service adds to the title of a call, in the place of its mark."""
DONE: Final = "{} went on."
DOUBT: Final = "Did “{}” happen?"
SAY_DONE: Final = "People say that it was done."
ACTS: Final = "acts.jsonl"
KINDS: Final = ("words", "choice", "action", "callback")
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
        self, urls: list[str], key: str, folder: Path, channels: list[str], seed: int, patience: float, receiver: str
    ) -> None:
        self.given: list[str] = []
        self.deaths = 0
        self.problems: list[str] = []
        self._urls, self._key, self._folder, self._channels = urls, key, folder, channels
        self._seed, self._patience, self._receiver = seed, patience, receiver
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
                *(sys.executable, "-m", __name__, tag, channel, str(self._folder), self._receiver),
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


def kind_of(tag: str) -> str:
    """What the program of this name asks for."""
    return Random(f"kind {tag}").choice(KINDS)


def wrongs(
    heard: Mapping[str, list[dict[str, Any]]],
    problems: list[str],
    requests: Mapping[RequestId, Request],
    runs: Mapping[RunId, Run],
    acts: Sequence[Mapping[str, Any]] = (),
) -> list[tuple[str, str, str]]:
    """Programs without one request, the decision as it is, and a report that stands: words, run, request."""
    cases = [(f"a program failed: {words}", "", "") for words in problems]
    asked: defaultdict[str, list[Request]] = defaultdict(list)
    for request in requests.values():
        asked[request.question.title.replace(ARGUMENT, "?")].append(request)
    for tag, lines in heard.items():
        own, did = asked[TITLE.format(tag)], [act for act in acts if act["tag"] == tag]
        if len(own) != 1 or not (lines or did):
            cases.append((f"{tag} has {len(own)} requests, and heard {lines}", "", ""))
            continue
        (request,) = own
        decision, run = request.decision, runs[request.run]
        truth = decision and (request.id, decision.outcome, list(decision.by), decision.words, list(decision.chosen))
        for line in lines:
            if truth != (line["request"], line["outcome"], line["by"], line["words"], line["chosen"]):
                cases.append((f"{tag} heard {line}, the store has {decision}", request.run, request.id))
        done = decision is not None and decision.outcome in (Status.APPROVED, Status.EDITED, Status.ANSWERED)
        result = "" if request.question.call is not None else DONE.format(tag)
        said = [_said(doubt) for doubt in asked[DOUBT.format(tag)]]
        if run.result not in ([result, *filter(None, said)] if done else [NOTHING_TO_REPORT]):
            cases.append((f"{tag} reported, and “{run.result}” stands", request.run, request.id))
        if request.question.call is not None:
            doubts = asked[DOUBT.format(tag)]
            cases += [(words, request.run, request.id) for words in _wrong_acts(tag, request, run, did, doubts)]
    return cases


def _said(doubt: Request) -> str:
    """What people said that came of an attempt; "" if they said that it is to be done, or do not know."""
    decision = doubt.decision
    if decision is None or decision.outcome is not Status.ANSWERED:
        return ""
    return SAY_DONE if decision.chosen == (executions.DONE,) else "" if decision.chosen else decision.words


def _wrong_acts(
    tag: str, request: Request, run: Run, acts: Sequence[Mapping[str, Any]], doubts: Sequence[Request]
) -> list[str]:
    """What is wrong with what a program did. One killed before its report acts again only if people say so."""
    decision, call = request.decision, request.question.call
    began = [act for act in acts if "times" in act]
    ended = {act["life"] for act in acts if "times" not in act}
    if decision is None or call is None or decision.outcome not in (Status.APPROVED, Status.EDITED):
        return [f"{tag} acted without approval: {began}"] if began else []
    words = []
    wanted = json.loads(decision.arguments or call.arguments)["times"]
    if not began and not doubts:
        words.append(f"{tag} was approved and did nothing")
    if any(act["times"] != wanted for act in began):
        words.append(f"{tag} acted on something else than {wanted}: {began}")
    again = sum(doubt.decision is not None and doubt.decision.chosen == (executions.AGAIN,) for doubt in doubts)
    if len(began) > 1 + again or sum(act["life"] in ended for act in began) > 1:
        words.append(f"{tag} acted twice: {acts}")
    if run.ended_at is not None and any(act["at"] > run.ended_at.timestamp() for act in began):
        words.append(f"{tag} acted again after its report at {run.ended_at}: {acts}")
    return words


def _note(path: Path, line: Mapping[str, Any]) -> None:
    """Append a line in one write."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(handle, json.dumps(line).encode() + b"\n")
    os.close(handle)


def _heard(folder: Path, tag: str, decision: Decision) -> None:
    line: dict[str, Any] = {"tag": tag, "request": decision.request, "outcome": decision.outcome}
    line |= {"by": list(decision.by), "words": decision.words, "chosen": list(decision.chosen)}
    _note(folder / LINES, line)


def _act(tag: str, channel: str, folder: Path) -> None:
    """Do something once people approved it, and note each time that it was done."""
    life = token_hex(8)

    def count(times: int) -> None:
        _note(folder / ACTS, {"tag": tag, "life": life, "times": times, "at": time.time()})

    count.__name__ = tag  # by which its question is found, if people are asked whether it was done
    try:
        requires_approval(channel, title=TITLE.format(tag), key=lambda _: tag)(count)(1)
    except NotApproved as refused:
        _heard(folder, tag, refused.decision)
    except AlreadyRan as before:
        _heard(folder, tag, before.decision)
    else:
        _note(folder / ACTS, {"tag": tag, "life": life})


def main(tag: str, channel: str, folder: Path, receiver: str) -> None:
    """Ask, note the decision in one write, and report."""
    exchange.TRIES_TO_REPORT = sys.maxsize  # type: ignore[misc]  # a report that is given up would leave its run open for a day
    kind = kind_of(tag)
    if kind == "action":
        return _act(tag, channel, folder)
    options = ["eu", "us"] if kind == "choice" else []
    url = receiver if kind == "callback" else ""
    message = f"It would do what {tag} says."
    asked = Question(channel, TITLE.format(tag), message, options, callback_url=url, key=tag)
    with Client() as client:
        decision = client.judge(asked)
        _heard(folder, tag, decision)
        if decision.approved or decision.outcome == "answered":
            client.report(decision, succeeded=True, words=DONE.format(tag))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
