"""The steps of the deploy team: programs in a folder, or else lines in a log."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Final

STEPS: Final = {
    "run_tests": "run_tests <service> <version>",
    "release": "release <service> <version> <environment>",
    "announce": "announce <words>",
}
"""The steps, as a plan says them and as people read them."""
ONLY: Final = "Only written to the log"
"""Begins the result of a step that had no program."""
LONGEST: Final = 2000
"""Characters of what a program said that come back: its end."""

Service = Annotated[str, "The name of the service"]
Version = Annotated[str, "Its version"]


class DeploySteps:
    """The programs `steps/<step>` in the folder, called with the step's words."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def program(self, step: str) -> Path | None:
        """Return the program of a step; None if there is none that can be run."""
        path = self._folder / "steps" / step
        return path.resolve() if os.access(path, os.X_OK) else None

    async def run_tests(self, service: Service, version: Version) -> str:
        """Run the tests of a version of a service."""
        return await self._do("run_tests", service, version)

    async def release(
        self, service: Service, version: Version, environment: Annotated[str, "Like staging or production"]
    ) -> str:
        """Bring a version of a service to an environment."""
        return await self._do("release", service, version, environment)

    async def announce(self, words: Annotated[str, "What everybody is told"]) -> str:
        """Tell everybody."""
        return await self._do("announce", words)

    async def _do(self, step: str, *words: str) -> str:
        program = self.program(step)
        if program is None:
            line = " ".join(" ".join((step, *words)).split())
            await asyncio.to_thread(self._write, line)
            return f"{ONLY}: {line.replace(step, step.replace('_', ' '), 1)}"
        running = await asyncio.create_subprocess_exec(
            program,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await running.communicate())[0].decode(errors="replace")[-LONGEST:]
        if running.returncode:
            raise RuntimeError(f"The program of the step ended with {running.returncode}. It said:\n{output}")
        return output or "Done; the program said nothing."

    def _write(self, line: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")
