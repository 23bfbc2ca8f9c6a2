"""Runs code on the worker's own machine, for those without Docker.

AutoGen's own waits for ever for code whose children outlive it, or that ignores SIGTERM, and leaves them running; here
all of a block's processes are ended with it.
"""

import asyncio
import contextlib
import os
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult

LONGEST_OUTPUT: Final = 100_000
"""Bytes of a block's output that come back: its end, where errors stand."""
TIMED_OUT: Final = 124
_PROGRAMS: Final = {"python": sys.executable, "py": sys.executable, "sh": "sh", "shell": "sh", "bash": "bash"}
_NAMED: Final = re.compile(r"^(?:#|//)\s*filename:\s*(\w[\w.-]*)\s*$")
"""The first line by which AutoGen's prompts let a block be kept as a file for later ones."""


class LocalExecutor(CodeExecutor):
    """Python and shell, a process for each block, in `work_dir`. A block may take `within`."""

    def __init__(self, work_dir: Path, within: timedelta) -> None:
        self._work_dir = work_dir
        self._within = within

    async def execute_code_blocks(
        self, code_blocks: Sequence[CodeBlock], cancellation_token: CancellationToken
    ) -> CodeResult:
        """Output and exit code of the blocks, one after the other until one fails; 124 if one took too long."""
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

    async def _run(self, program: str, code: str) -> tuple[int, str]:
        named = _NAMED.match(code.split("\n", 1)[0])
        path = self._work_dir / (named[1] if named else f".{secrets.token_hex(8)}")
        await asyncio.to_thread(path.write_text, code)
        try:
            return await self._process(program, path)
        finally:
            if not named:
                await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _process(self, program: str, path: Path) -> tuple[int, str]:
        # A file and no pipe: whoever still holds a pipe would be waited for.
        with tempfile.TemporaryFile() as out:
            process = await asyncio.create_subprocess_exec(
                program,
                path.name,
                cwd=self._work_dir,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            late = ""
            try:
                async with asyncio.timeout(self._within.total_seconds()):
                    await process.wait()
            except TimeoutError:
                late = f"\nIt took longer than {self._within.total_seconds():g} seconds and was ended."
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                ended = await process.wait()
            size = out.seek(0, os.SEEK_END)
            out.seek(max(0, size - LONGEST_OUTPUT))
            text = out.read().decode(errors="replace")
        cut = f"(the last {LONGEST_OUTPUT:,} of {size:,} bytes)\n" if size > LONGEST_OUTPUT else ""
        return (TIMED_OUT if late else ended if ended >= 0 else 128 - ended), f"{cut}{text}{late}"

    async def start(self) -> None:
        """Nothing runs before there is code."""
        self._work_dir.mkdir(parents=True, exist_ok=True)

    async def stop(self) -> None: ...

    async def restart(self) -> None: ...
