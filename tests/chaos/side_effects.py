"""What the teams here do outside, and what they heard: lines in files that the verdict reads, one write each."""

import asyncio
import json
import os
import random
import secrets
from pathlib import Path
from typing import Any, Final

from countersign.domain.request_endings import Decided
from countersign.domain.requests import Status
from countersign.frameworks.autogen.run_context import Run

EFFECTS: Final = "effects.jsonl"
HEARD: Final = "heard.jsonl"
_LONGEST: Final = 0.06
"""Seconds before and after the line is written: time enough for a process to die on either side of it."""


def hear(run: Run, decision: Decided) -> None:
    """An agent has this decision. Not an effect: a rebuilt run hears it again, and must hear the same."""
    line = {
        "run": run.run.id,
        "request": decision.request,
        "outcome": decision.outcome,
        "by": decision.by,
        "words": decision.words,
    }
    _append(run.settings.data_dir / HEARD, line)


async def act(run: Run, decision: Decided) -> str:
    """What was approved is done, once; what was not is not."""
    if decision.outcome is not Status.APPROVED:
        return f"not done: {decision.outcome}"

    return await run.step("act", lambda: _done(run, request=decision.request), content=decision.request)


async def act_on(run: Run, part: str) -> str:
    """What a tool does behind the gate, which knows what was approved; the part tells which request that was."""
    return await _done(run, part=part)


async def _done(run: Run, **what: str) -> str:
    await asyncio.sleep(random.uniform(0, _LONGEST))
    line = {"run": run.run.id, **what, "pid": os.getpid(), "id": secrets.token_hex(8)}
    _append(run.settings.data_dir / EFFECTS, line)
    await asyncio.sleep(random.uniform(0, _LONGEST))
    return "done"


def read(path: Path) -> list[dict[str, Any]]:
    """All lines of a file; none if there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _append(path: Path, line: dict[str, Any]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, json.dumps(line).encode() + b"\n")
    finally:
        os.close(handle)
