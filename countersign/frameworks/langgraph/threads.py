"""Threads of LangGraph that are left to people, with their newest checkpoints.

Their copy is in the file of the run, and with COUNTERSIGN_STATE_KEY also with its requests: see `run_storage`.
LangGraph itself serialises it. A program takes a thread over before it does what was approved, so a second one is
refused.
"""

import asyncio
import base64
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from countersign.client.client import AsyncClient
from countersign.domain.errors import InvalidInput
from countersign.frameworks import extra
from countersign.frameworks.run_files import LeftToPeople, SavedCall, SavedRun, run_of_this_program
from countersign.frameworks.run_storage import FolderStorage, fetch, storage_of

with extra("langgraph"):
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

Saver = BaseCheckpointSaver[Any]
T = TypeVar("T")
_ONE_BY_ONE: Final = threading.Lock()
"""Calls of one turn run side by side, and share the file of their thread."""
_WRITTEN_WITHIN: Final = 10.0
"""Seconds that LangGraph, which writes checkpoints beside the next step, may take for one."""
_log = logging.getLogger(__name__)


class LeftThread:
    """One thread in its folder, and the copy of its checkpoints.

    Everything here blocks: call it in a thread of its own.
    """

    def __init__(self, folder: Path, thread: str, saver: Saver) -> None:
        self._folder, self._thread, self._saver = folder, thread, saver

    def ask(self, questions: Sequence[tuple[Mapping[str, Any], str]], step: int | None = None, ns: str = "") -> None:
        """Ask with these bodies and keys, and keep a copy.

        LeftToPeople, unless all of them are decided.
        """

        async def asking(client: AsyncClient, run: SavedRun, storage: FolderStorage) -> None:
            calls = [run.call(key, "", dict(body), None) for body, key in questions]
            if any(call.kept is None for call in calls):
                run.left, run.state = True, self._copy(step, ns)
                await storage.asking([call for call in run.calls if call.kept or call in calls])
            begun = dict([await client.submit(call.arguments, key=call.id) for call in calls])
            others = [request for request in run.waits if request not in begun]
            run.save(waits=others + [request for request, decided in begun.items() if not decided])
            if run.waits != others:
                raise LeftToPeople(self._folder)

        self._alone(asking)

    def take_over(self) -> None:
        """Go on with the thread. ServiceRefused if another program did."""

        async def taking(client: AsyncClient, run: SavedRun, storage: FolderStorage) -> None:
            run.left = False
            await storage.changed()

        self._alone(taking)

    def settle(self, keys: Iterable[str]) -> None:
        """Keep no copy with these questions any more."""
        over = {*keys}

        async def settling(client: AsyncClient, run: SavedRun, storage: FolderStorage) -> None:
            for call in [call for call in run.calls if call.id in over and call.kept]:
                call.kept = False
                run.save()
                await client.submit({**call.arguments, "state": {"number": run.number, "sealed": ""}}, key=call.id)

        self._alone(settling)

    def _alone(self, do: Callable[[AsyncClient, SavedRun, FolderStorage], Awaitable[None]]) -> None:
        async def opened() -> None:
            async with AsyncClient() as client:

                async def post(call: SavedCall, state: Mapping[str, Any]) -> None:
                    await client.submit({**call.arguments, "state": state}, key=call.id)

                run = run_of_this_program(self._folder, self._thread)
                storage = storage_of(run, post)
                await storage.begin()
                await do(client, run, storage)

        with _ONE_BY_ONE:
            in_a_thread(lambda: asyncio.run(opened()))

    def _copy(self, step: int | None, ns: str) -> Any:
        """The newest checkpoint of each graph of the thread, once that of this step is written."""
        until = time.monotonic() + _WRITTEN_WITHIN
        while True:
            newest = _newest(self._saver.list(_config(self._thread)))
            if step is None or (ns in newest and newest[ns].metadata.get("step", step) >= step):
                break
            if time.monotonic() > until:
                raise InvalidInput(
                    "The graph's checkpoint isn't written while it runs, so it can't be kept. Use another "
                    "`durability` than “exit”. Nobody was asked."
                )
            time.sleep(0.05)
        if any(one.metadata.get("counters_since_delta_snapshot") for one in newest.values()):
            raise InvalidInput("A graph with delta channels needs all of its checkpoints, so no copy can be kept.")
        root = newest[""].checkpoint["id"]
        now = [(ns, one) for ns, one in newest.items() if not ns or one.metadata.get("parents", {}).get("") == root]
        rows = [(ns, one.checkpoint, one.metadata, one.pending_writes or []) for ns, one in now]
        kind, content = self._saver.serde.dumps_typed(rows)
        return {"id": root, "kind": kind, "content": base64.b64encode(content).decode()}


def restore(saver: Saver, config: RunnableConfig, folder: str | Path) -> None:
    """Write a thread that was left to people into the checkpointer.

    Nothing is written where that has as much of it. The copy is in the folder, or with COUNTERSIGN_STATE_KEY with its
    requests. InvalidInput if the folder's was encrypted with another key.
    """
    thread, path = str(config["configurable"]["thread_id"]), Path(folder)

    async def fetched() -> None:
        async with AsyncClient() as client:
            await fetch(client, path, thread)

    in_a_thread(lambda: asyncio.run(fetched()))
    if not (copy := run_of_this_program(path, thread).state):
        return
    known = saver.get_tuple(_config(thread, ""))
    if known is not None and known.checkpoint["id"] >= copy["id"]:
        return
    for ns, checkpoint, metadata, writes in saver.serde.loads_typed((copy["kind"], base64.b64decode(copy["content"]))):
        at = saver.put(_config(thread, ns), checkpoint, metadata, checkpoint["channel_versions"])
        for task, channel, value in writes:
            saver.put_writes(at, [(channel, value)], task)


async def arestore(saver: Saver, config: RunnableConfig, folder: str | Path) -> None:
    """Write the thread back as `restore` does, within an event loop."""
    await asyncio.to_thread(restore, saver, config, folder)


def in_a_thread(do: Callable[[], T]) -> T:
    """Run this where no event loop is, whoever calls it."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(do).result()


def _newest(every: Iterable[CheckpointTuple]) -> dict[str, CheckpointTuple]:
    newest: dict[str, CheckpointTuple] = {}
    for one in every:
        ns = one.config["configurable"].get("checkpoint_ns", "")
        if ns not in newest or one.checkpoint["id"] > newest[ns].checkpoint["id"]:
            newest[ns] = one
    return newest


def _config(thread: str, ns: str | None = None) -> RunnableConfig:
    return {"configurable": {"thread_id": thread} | ({} if ns is None else {"checkpoint_ns": ns})}
