"""Executors of code: in Docker if there is one, else on the worker's own machine.

AutoGen's own executor for that machine waits for ever for code whose children outlive it or that ignores SIGTERM, and
leaves them running. Here all processes of a block end with it (`_subreaper`). The code runs from the approved bytes,
which no other process can change, and not from a file in a folder. Otherwise it may do whatever the worker's user may
do.
"""

import asyncio
import contextlib
import fcntl
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult

LONGEST_OUTPUT: Final = 100_000
"""Bytes of a block's output that come back: its end, where errors stand."""
TIMED_OUT: Final = 124
ISOLATE: Final = True
"""Whether code gets process ids of its own, where the system allows it."""
_SUPERVISOR: Final = Path(__file__).with_name("_subreaper.py")
_PASSED: Final = re.compile(r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_[A-Z]+|TZ|TMPDIR|TERM")
"""What code sees of the worker's environment: nothing that could be a secret."""
_IN_PYTHON: Final = (
    "import os, runpy, sys; sys.path.append(os.getcwd()); runpy.run_path(sys.argv.pop(1), None, '__main__')"
)
"""The folder comes behind Python's own modules and what is installed, so that no file in it stands for one of them."""
_PYTHON: Final = (sys.executable, "-I", "-c", _IN_PYTHON)
_PROGRAMS: Final = {"python": _PYTHON, "py": _PYTHON, "sh": ("sh",), "shell": ("sh",), "bash": ("bash",)}
_NAMED: Final = re.compile(r"^(?:#|//)\s*filename:\s*(\w[\w.-]*)\s*$")
"""The first line by which AutoGen's prompts let a block be kept as a file for later ones."""
WITHIN: Final = timedelta(minutes=1)
"""How long code may run, unless the team says otherwise."""


def code_executor(work_dir: Path, *, within: timedelta = WITHIN) -> CodeExecutor:
    """Return an executor in Docker if there is one, else one on the worker's machine.

    The card says which.
    """
    seconds = max(1, int(within.total_seconds()))
    work_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(Exception):  # no package, no daemon, no permission: all of them mean no Docker
        client = importlib.import_module("docker").from_env(timeout=2)
        try:
            client.ping()
        finally:
            client.close()
        boxed: CodeExecutor = importlib.import_module(
            "autogen_ext.code_executors.docker"
        ).DockerCommandLineCodeExecutor(work_dir=work_dir, timeout=seconds)
        return boxed
    return LocalExecutor(work_dir, within)


class LocalExecutor(CodeExecutor):
    """Execution of Python and shell in `work_dir`, a process for each block.

    Each block may take `within`.
    """

    def __init__(self, work_dir: Path, within: timedelta) -> None:
        self._work_dir = work_dir
        self._within = within

    @property
    def work_dir(self) -> Path:
        """The folder in which code runs."""
        return self._work_dir

    async def execute_code_blocks(
        self, code_blocks: Sequence[CodeBlock], cancellation_token: CancellationToken
    ) -> CodeResult:
        """Run the blocks in order until one fails; return output and exit code.

        The exit code is 124 if a block took too long.
        """
        outputs: list[str] = []
        code = 0
        for block in code_blocks:
            program = _PROGRAMS.get(block.language.strip().lower())
            if program is None:
                known = ", ".join(sorted(_PROGRAMS))
                outputs.append(f"There is nothing here that runs “{block.language}”; it can be {known}.")
                code = 1
                break
            code, output = await self._run(program, block.code)
            outputs.append(output)
            if code:
                break
        return CodeResult(exit_code=code, output="".join(outputs))

    async def _run(self, program: Sequence[str], code: str) -> tuple[int, str]:
        named = _NAMED.match(code.split("\n", 1)[0])
        if named:
            await asyncio.to_thread((self._work_dir / named[1]).write_text, code)
        with _held(code) as script:
            return await self._process([*program, f"/dev/fd/{script}"], script)

    async def _process(self, command: Sequence[str], script: int) -> tuple[int, str]:
        # A file and no pipe: whoever still holds a pipe would be waited for.
        with tempfile.TemporaryFile() as out:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_SUPERVISOR), "isolate" if ISOLATE else "reap", *command),
                cwd=self._work_dir,
                env={name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)},
                pass_fds=(script,),
                stdin=asyncio.subprocess.PIPE,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            assert process.stdin is not None
            late = ""
            try:
                async with asyncio.timeout(self._within.total_seconds()):
                    await process.wait()
            except TimeoutError:
                late = f"\nIt took longer than {self._within.total_seconds():g} seconds and was ended."
            finally:
                process.stdin.close()  # the supervisor kills what is left, and ends
                ended = await process.wait()
            size = out.seek(0, os.SEEK_END)
            out.seek(max(0, size - LONGEST_OUTPUT))
            text = out.read().decode(errors="replace")
        cut = f"(the last {LONGEST_OUTPUT:,} of {size:,} bytes)\n" if size > LONGEST_OUTPUT else ""
        return (TIMED_OUT if late else ended if ended >= 0 else 128 - ended), f"{cut}{text}{late}"

    async def start(self) -> None:
        """Do nothing: there is no process before there is code."""
        self._work_dir.mkdir(parents=True, exist_ok=True)

    async def stop(self) -> None: ...

    async def restart(self) -> None: ...


@contextlib.contextmanager
def _held(code: str) -> Iterator[int]:
    """Return a file without a name that holds the code; on Linux nobody can change it."""
    if sys.platform == "linux":
        file = os.memfd_create("code", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    else:
        file, name = tempfile.mkstemp()
        Path(name).unlink()
    try:
        with os.fdopen(file, "wb", closefd=False) as whole:
            whole.write(code.encode())
        os.lseek(file, 0, os.SEEK_SET)
        if sys.platform == "linux":
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        yield file
    finally:
        os.close(file)
