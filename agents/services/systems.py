"""The systems of the access team: what there is, and who may use it until when.

One file holds the systems, another what was granted.
"""

import asyncio
import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

LONGEST: Final = timedelta(hours=72)
_SYSTEMS: Final = """\
system,what
billing,the invoices and cards of all customers
warehouse,stock and orders
logs,what the servers wrote in the last month
"""


class Systems:
    """The files `systems.csv`, with three to try, and `grants.csv` of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def list_systems(self) -> str:
        """List the systems, each with what is in it."""
        systems = await asyncio.to_thread(self._systems)
        return "\n".join(f"{name}: {content}" for name, content in systems.items()) or "None."

    async def grant(
        self,
        person: Annotated[str, "Who gets access"],
        system: Annotated[str, "The name of the system"],
        level: Literal["read", "write"],
        hours: Annotated[int, "For how long; whole hours, 1 to 72"],
        idempotency_key: str,
    ) -> str:
        """Let somebody use a system for some hours."""
        until = await asyncio.to_thread(self._grant, person, system, level, timedelta(hours=hours), idempotency_key)
        return f"{person} has {level} access to {system} until {until} UTC."

    def _systems(self) -> dict[str, str]:
        file = self._folder / "systems.csv"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            file.write_text(_SYSTEMS, encoding="utf-8")
        with file.open(encoding="utf-8", newline="") as lines:
            return {row["system"]: row["what"] for row in csv.DictReader(lines)}

    def _grant(self, person: str, system: str, level: str, span: timedelta, key: str) -> str:
        if system not in self._systems():
            raise ValueError(f"Nothing was granted: there is no system “{system}”.")
        if not timedelta(0) < span <= LONGEST:
            raise ValueError("Nothing was granted: access is given for 1 to 72 hours.")
        file = self._folder / "grants.csv"
        if file.exists():
            with file.open(encoding="utf-8", newline="") as lines:
                for *_, known_until, known_key in csv.reader(lines):
                    if known_key == key:
                        return known_until
        until = f"{datetime.now(UTC) + span:%Y-%m-%d %H:%M}"
        with file.open("a", encoding="utf-8", newline="") as lines:
            csv.writer(lines).writerow((person, system, level, until, key))
        return until
