"""Processes of the demo, and a worker that is replaced when its teams change."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

BESIDE: Final = __package__.removesuffix("demo")
"""The package around the others: none in a checkout, `countersign.` where it is installed."""
HERE: Final = Path(__file__).resolve().parent
ROOT: Final = None if BESIDE else HERE.parent
READY_WITHIN: Final = 60.0
LOOKED_EVERY: Final = 0.5
"""Seconds between two looks at the team files."""


@asynccontextmanager
async def process(name: str, module: str, *args: str, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python -m …` as a process; prefix its output with its name.

    It is ended politely first, then by force.
    """
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"{BESIDE}{module}",
        *args,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    speaking = asyncio.create_task(_repeat(name, running))
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        try:
            async with asyncio.timeout(15):
                await running.wait()
        except TimeoutError:
            running.kill()
            await running.wait()
        await speaking


async def _repeat(name: str, running: asyncio.subprocess.Process) -> None:
    assert running.stdout is not None
    async for line in running.stdout:
        print(f"  {name:8} {line.decode(errors='replace').rstrip()}", flush=True)


async def answers(url: str, running: asyncio.subprocess.Process) -> None:
    """Return when the address answers 200.

    RuntimeError if its process ends or takes too long.
    """
    async with aiohttp.ClientSession() as session, asyncio.timeout(READY_WITHIN):
        while running.returncode is None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise RuntimeError(f"{url} does not answer: its process ended; see its output above.")


async def work(env: dict[str, str]) -> None:
    """Run a worker until it ends, and replace it when a team file changes."""
    while True:
        async with process("worker", "agents", **env) as running:
            over = asyncio.create_task(running.wait())
            changed = asyncio.create_task(
                _changed(Path(ROOT or ".", os.environ.get("TEAMS") or HERE.parent / "agents/teams"))
            )
            try:
                await asyncio.wait([over, changed], return_when=asyncio.FIRST_COMPLETED)
                if over.done():
                    return
            finally:
                over.cancel()
                changed.cancel()
            print("  worker   A team file has changed: loading the teams again; runs continue.", flush=True)


async def _changed(folder: Path) -> None:
    """Return once a Python file of the folder has changed, and is written."""
    before = now = await asyncio.to_thread(_states, folder)
    while now == before:
        await asyncio.sleep(LOOKED_EVERY)
        now = await asyncio.to_thread(_states, folder)
        if now != before:
            await asyncio.sleep(LOOKED_EVERY)


def _states(folder: Path) -> dict[Path, tuple[int, int]]:
    states = {}
    for path in folder.glob("*.py"):
        with contextlib.suppress(FileNotFoundError):
            states[path] = (path.stat().st_mtime_ns, path.stat().st_size)
    return states
