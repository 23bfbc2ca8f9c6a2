"""One run of the tests in a copy of this tree, as an ordinary user, in a folder that no shell takes as one word."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.any_time.matrix import Condition, Run

TREE: Final = Path(__file__).resolve().parents[2]
_PASSED_ON: Final = re.compile(r"PIP_|UV_|SSL_CERT|https?_proxy|no_proxy", re.IGNORECASE)
"""Variables that the copy's `make setup` needs where packages come by a mirror."""
_SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_NOBODY: Final = "nobody"
_ENTERED: Final = """
import fcntl, os, socket, struct, sys
if "lo" in sys.argv[1]:
    with socket.socket() as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x49))
if "ipv6" in sys.argv[1]:
    with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as f:
        f.write("1")
if "host" in sys.argv[1]:
    socket.sethostname("not-in-any-hosts-file")
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Runs in new namespaces: SIOCSIFFLAGS brings up the loopback, which is all the network that there is."""


@dataclass(frozen=True)
class Outcome:
    """What pytest said."""

    passed: int
    failed: tuple[str, ...]
    """Ids of tests."""
    seconds: float
    summary: str

    @property
    def green(self) -> bool:
        return self.passed > 0 and not self.failed and " error" not in self.summary


class Copy:
    """A clone of the last commit, with a `.venv` of its own."""

    def __init__(self, folder: Path, user: str | None = _NOBODY if os.getuid() == 0 else None) -> None:
        """`user`: None for the one that this is."""
        self._home = folder
        self.tree = folder / "mein schönes Projekt" / "countersign"
        self._user, self._group = user, "nogroup" if user else None

    def make(self) -> str:
        """Clone and set up; returns the commit. What an earlier pass has installed and compiled is kept."""
        installed = self._home / "installed"
        if (self.tree / ".venv").exists():
            (self.tree / ".venv").rename(installed)
        shutil.rmtree(self.tree, ignore_errors=True)
        self.tree.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", TREE, self.tree], check=True)
        if installed.exists():
            installed.rename(self.tree / ".venv")
        if self._user:  # -h: the links in .venv lead to the machine's own Python
            subprocess.run(["chown", "-hR", f"{self._user}:{self._group}", self._home], check=True)
        self._run(["make", "--silent", "setup"], self._env(None), check=True)
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=TREE, check=True, capture_output=True, text=True)
        return commit.stdout.strip()

    def test(self, run: Run, jobs: int, seed: str, log: Path, only: tuple[str, ...] = ()) -> Outcome:
        """Run a suite, or some tests of it; all that pytest says is appended to the log."""
        began = datetime.now(UTC)
        condition = run.condition or Condition("none")
        command = [*_entering(condition, self._user), *_faking(run, began), ".venv/bin/pytest", "-q", "-rfE"]
        command += ["-p", "no:cacheprovider", "--tb=short", "--show-capture=no", *condition.options]
        command += ["--random-order-seed", seed] if condition.options else []
        if only:
            command += [*only]
        else:
            command += ["-n", str(jobs), "--dist", "worksteal", "-m", _MARKED[run.suite]]
        done = self._run(command, self._env(run), umask=condition.umask)
        with log.open("a") as file:
            file.write(f"\n=== {run.name} ===\n{done.stdout}")
        last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
        passed = re.search(r"(\d+) passed", last)
        failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
        named = tuple(dict.fromkeys(failed)) or (() if done.returncode == 0 else (last,))
        seconds = (datetime.now(UTC) - began).total_seconds()
        return Outcome(int(passed[1]) if passed else 0, named, seconds, last)

    def _env(self, run: Run | None) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if _PASSED_ON.match(name)}
        env |= {"HOME": str(self._home), "PATH": _SYSTEM_PATH if self._user else os.environ["PATH"]}
        if run is None:
            return env
        if run.moment is not None:
            env |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "TZ": run.moment.zone}
        if run.condition is not None:
            env |= run.condition.env
            if run.condition.tmp:
                env["TMPDIR"] = str(self._made(self._home / run.condition.tmp))
        return env

    def _made(self, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        if self._user:
            shutil.chown(folder, self._user, self._group)
        return folder

    def _run(
        self, command: list[str], env: dict[str, str], *, umask: int = -1, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        entering = command[0] == "unshare" and self._user is not None  # needs root, and gives it up itself
        return subprocess.run(
            command,
            cwd=self.tree,
            env=env,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            user=None if entering else self._user,
            group=None if entering else self._group,
            extra_groups=[] if self._user and not entering else None,
            umask=umask,
            check=check,
        )


_MARKED: Final = {"quick": "not slow", "slow": "slow"}  # without LONG=1: more examples, which no hour changes


def _faking(run: Run, now: datetime) -> list[str]:
    """An offset: a fixed time would begin again in each process."""
    if run.moment is None:
        return []
    return ["faketime", "-f", f"{(run.moment.at - now).total_seconds():+.0f}"]


def _entering(condition: Condition, user: str | None) -> list[str]:
    """The way into namespaces where there is no network, no IPv6, or another host name."""
    what = [] if condition.network else ["lo"]
    what += [] if condition.ipv6 else ["ipv6"]
    what += [] if condition.resolves else ["host"]
    if not what:
        return []
    spaces = (["--net"] if "lo" in what else []) + (["--uts"] if "host" in what else [])
    rooted = [] if user else ["--user", "--map-root-user"]
    given_up = (
        ["setpriv", f"--reuid={user}", "--regid=nogroup", "--clear-groups"]
        if user
        else ["unshare", "--user", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}"]
    )
    python = shutil.which("python3", path=_SYSTEM_PATH) or sys.executable
    return ["unshare", *rooted, *spaces, python, "-c", _ENTERED, " ".join(what), *given_up]
