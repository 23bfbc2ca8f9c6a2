"""Storage of runs: their folder alone, or their requests too.

With COUNTERSIGN_STATE_KEY the file goes to the service with each question and each change, sealed as it is, so that
another machine may go on. The last outcome of a stop leaves it there until the next question or the end. The service
takes a copy only if its number is higher than that of the one before. So of two programs that go on with one copy, and
for one that has an old copy, the first step is refused.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from countersign.client.client import AsyncClient
from countersign.domain.errors import InvalidInput
from countersign.domain.program_states import LONGEST_STATE
from countersign.frameworks.run_files import KEY, SavedCall, SavedRun, locked, parsed, path_of, read, write
from countersign.secret_files import is_given

Post = Callable[[SavedCall, Mapping[str, Any]], Awaitable[None]]
"""Ask about the call, or find what was asked, with this state."""
_log = logging.getLogger(__name__)


class FolderStorage:
    """The folder alone: nothing leaves the machine."""

    def __init__(self, run: SavedRun) -> None:
        self.run = run

    async def begin(self) -> None:
        """Begin, or go on. ServiceRefused if a program went on with the run elsewhere."""

    async def asking(self, calls: Sequence[SavedCall]) -> None:
        """Save the run before people are asked about these calls."""
        self.run.save()

    async def changed(self) -> None:
        """Save the run as it is now. ServiceRefused as for `begin`."""
        self.run.save()

    async def reporting(self, call: SavedCall) -> bool:
        """Tell whether the run stays with this call beyond its outcome: no other has it."""
        return False

    async def end(self) -> None:
        """Keep the run no longer: it is over."""


class RequestStorage(FolderStorage):
    """The folder, and with requests: all without an outcome, or else the last one."""

    def __init__(self, run: SavedRun, post: Post) -> None:
        super().__init__(run)
        self._post = post
        self._one_by_one = asyncio.Lock()

    async def begin(self) -> None:
        async with self._one_by_one:
            await self._send([call for call in self.run.calls if call.kept])

    async def asking(self, calls: Sequence[SavedCall]) -> None:
        async with self._one_by_one:
            earlier = [call for call in self.run.calls if call.kept and call not in calls]
            asked = [call for call in calls if call.kept is not False]
            for call in asked:
                call.kept = True
            for call in earlier:
                call.kept = False
            self.run.save()
            await self._send(asked)
            await self._forget(earlier)

    async def changed(self) -> None:
        async with self._one_by_one:
            self.run.save()
            await self._send([call for call in self.run.calls if call.kept])

    async def reporting(self, call: SavedCall) -> bool:
        async with self._one_by_one:
            others = [other for other in self.run.calls if other.kept and other is not call]
            if call.kept and others:
                call.kept = False
                self.run.save()
                await self._send(others)  # before: whoever goes on must not count on a copy that is gone
                await self._forget([call])
            return bool(call.kept)

    async def end(self) -> None:
        async with self._one_by_one:
            if kept := [call for call in self.run.calls if call.kept]:
                for call in kept:
                    call.kept = False
                self.run.save()
                await self._forget(kept)

    async def _send(self, calls: Sequence[SavedCall]) -> None:
        if not calls:
            return
        text = self.run.path.read_bytes().decode()
        if len(text) <= LONGEST_STATE:
            self.run.sent, state = True, {"number": self.run.number, "sealed": text}
            for call in calls:
                await self._post(call, state)
            return
        _log.warning(
            "The run “%s” has %s characters when it is encrypted; the service keeps at most %s. It stays in %s alone.",
            *(self.run.key, f"{len(text):,}", f"{LONGEST_STATE:,}", self.run.path.parent),
        )
        await self._forget(calls)
        for call in calls:
            call.kept = False
        self.run.save()

    async def _forget(self, calls: Sequence[SavedCall]) -> None:
        for call in calls:
            await self._post(call, {"number": self.run.number, "sealed": ""})


def storage_of(run: SavedRun, post: Post) -> FolderStorage:
    """Choose where the run is kept: with its requests only if the program can seal it."""
    return RequestStorage(run, post) if is_given(KEY) else FolderStorage(run)


async def fetch(
    client: AsyncClient, folder: Path, key: str | None = None, *, lost: bool = False
) -> tuple[dict[Path, list[str]], list[str]]:
    """Bring runs that the service keeps into the folder.

    All, or that of the key if it is not there.

    Returns the requests of the runs that were left to people, by file (none for a run on which a program is at work),
    and what cannot be used, as sentences. A file that is newer, or that a program holds, stays as it is. `lost`: no
    program is at work on another machine, so all runs are as if they were left.
    """
    if not is_given(KEY) or (key is not None and path_of(folder, key).exists()):
        return {}, []
    newest: dict[str, tuple[SavedRun, bytes]] = {}
    requests: dict[str, list[str]] = {}
    problems = []
    for request, state in (await client.states()).items():
        content = state["sealed"].encode()
        try:
            run = parsed(content, f"the state of request {request}")
        except InvalidInput as problem:
            problems.append(str(problem))
            continue
        if key in (None, run.key) and run.number == state["number"]:
            requests.setdefault(run.key, []).append(request)
            if run.key not in newest or run.number > newest[run.key][0].number:
                newest[run.key] = run, content
    waits = {}
    for name, (run, content) in newest.items():
        path = path_of(folder, name)
        try:
            with locked(path, name):
                if not path.exists() or read(path).number < run.number:
                    write(path, content)
        except InvalidInput as problem:
            problems.append(str(problem))
        else:
            waits[path] = requests[name] if run.left or lost else []
    return waits, problems
