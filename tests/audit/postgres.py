"""A real PostgreSQL from the system's packages, started, killed and started again by a test."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from tests.free_ports import free_port
from tests.longest_wait import PATIENCE


class Postgres:
    """A real PostgreSQL of this test: a folder and a port of its own, started and killed as often as one likes."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self.folder = programs, folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"postgresql+asyncpg://audit@127.0.0.1:{self.port}/postgres"
        # PostgreSQL refuses to run as root, and its folder must be its user's own.
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            folder.mkdir()
            shutil.chown(folder, "postgres", "postgres")
        self._run("initdb", "-D", folder / "data", "-U", "audit", "-A", "trust", "--no-sync", "--no-instructions")

    def _run(self, program: str, *words: object) -> None:
        command = [str(self._programs / program), *map(str, words)]
        done = subprocess.run(command, **self._user, cwd="/", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        words = ["-D", self.folder / "data", "-p", self.port, "-k", "", "-h", "127.0.0.1", "-F"]
        self._process = subprocess.Popen(
            [str(self._programs / "postgres"), *map(str, words)],
            **self._user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        """kill -9 of the server and of every process of it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._end_orphans()
            self._process = None

    def _end_orphans(self) -> None:
        """Each backend is the leader of a session of its own, and writes on without its parent for a moment."""
        for status in Path("/proc").glob("[0-9]*/cwd"):
            with contextlib.suppress(OSError):
                if status.readlink().is_relative_to(self.folder / "data"):
                    os.kill(int(status.parent.name), signal.SIGKILL)

    async def up(self) -> None:
        """Returns when it answers."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(OSError, sqlalchemy.exc.SQLAlchemyError):
                    engine = create_async_engine(self.url)
                    try:
                        async with engine.connect():
                            return
                    finally:
                        await engine.dispose()
                await asyncio.sleep(0.05)


def _programs() -> Path | None:
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else debian[-1].parent if debian else None


@contextlib.contextmanager
def a_server() -> Iterator[Postgres]:
    """Not started yet; the test is skipped where there is none."""
    pytest.importorskip("asyncpg", reason="asyncpg is not installed: pip install '.[sql]'")
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with _folder() as folder:
        server = Postgres(programs, folder / "pg")
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Not in pytest's own, which only its user may enter."""
    with tempfile.TemporaryDirectory(prefix="countersign-pg-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
