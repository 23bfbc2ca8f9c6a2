"""`countersign resume`: continue programs that left their runs to people.

Each is started again once people have decided.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from countersign.client import AsyncClient, CountersignError, InvalidInput
from countersign.frameworks.run_files import check_folder, locked, read
from countersign.frameworks.saved_runs import catch_up


def main(arguments: list[str]) -> int:
    """Stay until no run of the folder waits.

    Returns 1 if a program failed, 2 if something is missing or cannot be read, 130 after Ctrl-C, which leaves all as it
    is.
    """
    parser = argparse.ArgumentParser(prog="countersign resume", description=str(__doc__))
    parser.add_argument("folder", type=Path, help="the folder where the programs keep their runs")
    folder: Path = parser.parse_args(arguments).folder
    try:
        return asyncio.run(_resume(folder))
    except KeyboardInterrupt:
        print(f"Stopped. The runs are still waiting; `countersign resume {folder}` continues.", file=sys.stderr)
        return 130
    except CountersignError as problem:
        print(problem, file=sys.stderr)
        return 2


async def _resume(folder: Path) -> int:
    check_folder(folder)
    async with AsyncClient() as client:
        await _report_the_rest(client, sorted(folder.glob("*.json")))  # noqa: ASYNC240 -- nothing else goes on yet
        runs = _left(folder)
        if not runs:
            print(f"No run in {folder} is waiting for people.", file=sys.stderr)
        ended = await asyncio.gather(*(_to_its_end(client, path, waits) for path, waits in runs.items()))
    return int(any(ended))


async def _report_the_rest(client: AsyncClient, paths: Sequence[Path]) -> None:
    """Report outcomes that the service was away to hear, of runs on which no program is at work."""
    for path in paths:
        key = read(path).key
        try:
            with locked(path, key):
                reported = await catch_up(client, read(path))
        except InvalidInput:  # a program has it, which reports by itself
            continue
        if not reported:
            print(f"The outcome of “{key}” isn't reported yet: the service isn't responding.", file=sys.stderr)


def _left(folder: Path) -> dict[Path, list[str]]:
    """Find the runs of the folder that were left to people, and the requests that they wait for."""
    return {path: waits for path in sorted(folder.glob("*.json")) if (waits := read(path).waits)}


async def _to_its_end(client: AsyncClient, path: Path, waits: list[str]) -> int:
    """Start the program after each decision, until its run waits no more; return its last exit status."""
    status = 0
    while waits:
        print(f"“{read(path).key}” is waiting for people.", file=sys.stderr)
        for request in waits:
            await client.decision(request)
        run = read(path)
        process = await asyncio.create_subprocess_exec(*_program(run.program), cwd=_directory(run.directory))
        status = await process.wait()
        if (left := read(path).waits) == waits:
            print(
                f"The program for “{run.key}” exited, but its run is still waiting. Run it yourself to see why.",
                file=sys.stderr,
            )
            return status or 1
        waits = left
    return status


def _program(command: list[str]) -> list[str]:
    """The command; where its interpreter is not, with this one."""
    return [command[0] if Path(command[0]).exists() else sys.executable, *command[1:]]


def _directory(named: str) -> Path:
    """The directory in which the program was started, or this one where there is no such."""
    return Path(named) if Path(named).is_dir() else Path.cwd()
