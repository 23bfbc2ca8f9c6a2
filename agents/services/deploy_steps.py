"""The steps of the deploy team: programs in a folder, or else lines in a log."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel

STEPS: Final = {
    "run_tests": "run_tests <service> <version>",
    "release": "release <service> <version> <environment>",
    "announce": "announce <words>",
}
"""The steps, as a plan says them and as people read them."""
ONLY: Final = "Only written into deploy/log"
LONGEST: Final = 2000
"""Characters of what a program said that come back: its end."""

Service = Annotated[str, "The name of the service"]
Version = Annotated[str, "Its version"]


class Step(BaseModel):
    """The result of a step that was done; `only_written`: it had no program."""

    said: str
    only_written: bool = False


class Steps:
    """The programs are `steps/<step>` in the folder; each gets its words as arguments."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def program(self, step: str) -> Path | None:
        """The program of a step; None if there is none that can be run."""
        path = self._folder / "steps" / step
        return path.resolve() if os.access(path, os.X_OK) else None

    async def run_tests(self, service: Service, version: Version) -> Step:
        """Run the tests of a version of a service."""
        return await self._do("run_tests", service, version)

    async def release(
        self, service: Service, version: Version, environment: Annotated[str, "Like staging or production"]
    ) -> Step:
        """Bring a version of a service to an environment."""
        return await self._do("release", service, version, environment)

    async def announce(self, words: Annotated[str, "What everybody is told"]) -> Step:
        """Tell everybody."""
        return await self._do("announce", words)

    async def _do(self, step: str, *words: str) -> Step:
        program = self.program(step)
        if program is None:
            line = " ".join(" ".join((step, *words)).split())
            await asyncio.to_thread(self._write, line)
            return Step(said=f"{ONLY}: {line}", only_written=True)
        running = await asyncio.create_subprocess_exec(
            program,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await running.communicate())[0].decode(errors="replace")[-LONGEST:]
        if running.returncode:
            raise RuntimeError(f"The program of the step ended with {running.returncode}. It said:\n{said}")
        return Step(said=said or "Done; the program said nothing.")

    def _write(self, line: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")
