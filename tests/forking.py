"""Processes that are forked from one which has imported everything: importing takes longer than most of the tests.

Else they are what `python -m <module>` is: a memory and an environment of their own, and kill -9 ends them. The demo's
story, chaos and the benchmark start the real thing.
"""

import asyncio
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
_NURSERY = multiprocessing.get_context("forkserver")
_NURSERY.set_forkserver_preload(["tests.preloaded_modules"])


class Forked:
    """Like asyncio's own process, as far as the tests need it. Make it with `forked`."""

    def __init__(self, process: multiprocessing.process.BaseProcess, stdout: asyncio.StreamReader | None) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self.stdout = stdout
        self._process = process
        self._over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(process.sentinel, self._ended)

    @property
    def returncode(self) -> int | None:
        return self._over.result() if self._over.done() else None

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        return await asyncio.shield(self._over)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        assert self._process.exitcode is not None
        self._over.set_result(self._process.exitcode)
        self._process.close()


async def forked(module: str, *arguments: str, env: Mapping[str, str], listen: bool = False) -> Forked:
    """`python -m module arguments` with that environment; `listen`: what it says comes by `stdout`."""
    ours, theirs = _NURSERY.Pipe(duplex=False) if listen else (None, None)
    process = _NURSERY.Process(target=_be, args=(module, arguments, dict(env), theirs), daemon=True)
    await asyncio.to_thread(process.start)
    stdout = None
    if ours is not None and theirs is not None:
        theirs.close()
        stdout = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(stdout)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(os.dup(ours.fileno()), "rb"))
        ours.close()
    return Forked(process, stdout)


def _be(module: str, arguments: tuple[str, ...], env: dict[str, str], says: Connection | None) -> None:
    """What the child does with its life."""
    if says is not None:
        for number in (1, 2):
            os.dup2(says.fileno(), number)
        says.close()
    sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    os.chdir(HERE)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [str(HERE), *env.get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv[1:] = arguments
    sys.modules.pop(f"{module}.__main__", None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
