"""`python -m tests.drill`: make each fault for real, and see which alert Prometheus fires.

Exit status 1 unless each fault fired its own alert and no other. `--write` puts the table into docs/operations.md.
`--only Redis` makes the faults whose names contain that text.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.deploy.test_prometheus import queries
from tests.drill.faults import FAULTS, Fault, site
from tests.drill.prometheus import Prometheus, running

PAGE: Final = Path(__file__).resolve().parent.parent.parent / "docs" / "operations.md"
BEGIN, END = "<!-- made by python -m tests.drill --write -->\n", "<!-- end -->\n"
_HEALTHY_WITHIN: Final = 120.0
_FIRED_WITHIN: Final = 240.0
_WATCHED: Final = 15.0
"""Seconds for which no other alert may fire afterwards."""
_RESTART_WATCHED: Final = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds until the metric showed the fault and the alert fired, and the alerts that fired."""

    fault: Fault
    shown: float
    fired: float
    alerts: frozenset[str]
    answered: frozenset[str]
    """The queries of the board that found data."""

    @property
    def right(self) -> bool:
        """Whether the fault's alert fired and no other."""
        return self.alerts == (frozenset({self.fault.alert}) if self.fault.alert else frozenset())


async def drill(fault: Fault, binary: str, folder: Path) -> Outcome:
    """Make one fault in a deployment of its own."""
    async with site(fault, folder) as it:
        old_and_new = 2 if not fault.alert else 1
        async with running(binary, folder / "prometheus", it.webs[:old_and_new], it.workers[:old_and_new]) as seeing:
            await _until(seeing, "sum(up) == 2 and on () max(countersign_workers) == 1", _HEALTHY_WITHIN)
            await it.decide()
            before = await seeing.firing()
            assert not before, f"{sorted(before)} fired before anything was wrong"
            loop = asyncio.get_running_loop()
            begun = loop.time()
            await fault.begin(it)
            if not fault.alert:
                alerts = await _watched(seeing, _RESTART_WATCHED)
                return Outcome(fault, 0.0, 0.0, alerts, await _answered(seeing))
            await _until(seeing, fault.shows, _FIRED_WITHIN)
            shown = loop.time() - begun
            firing = f'ALERTS{{alertstate="firing",alertname="{fault.alert}"}}'
            await _until(seeing, firing, _FIRED_WITHIN)
            fired = loop.time() - begun
            return Outcome(fault, shown, fired, await _watched(seeing, _WATCHED), await _answered(seeing))


async def _until(seeing: Prometheus, expression: str, within: float) -> None:
    """Wait until Prometheus finds this, but go on after a while: the table says what fired."""
    try:
        async with asyncio.timeout(within):
            while not await seeing.query(expression):  # noqa: ASYNC110 -- a fact of another process
                await asyncio.sleep(0.5)
    except TimeoutError:
        print(f"  not within {within:.0f} s: {expression}", file=sys.stderr, flush=True)


async def _watched(seeing: Prometheus, seconds: float) -> frozenset[str]:
    """The alerts that fire during this time."""
    fired: set[str] = set()
    ends = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < ends:
        fired |= await seeing.firing()
        await asyncio.sleep(1)
    return frozenset(fired)


async def _answered(seeing: Prometheus) -> frozenset[str]:
    return frozenset([query for query in queries() if await seeing.query(query)])


def row(outcome: Outcome) -> str:
    """A row of the table."""
    fault = outcome.fault
    if not fault.alert:
        return f"| {fault.name} | {fault.metric} | none | – | – | – |"
    link = f"[runbook](runbooks.md#{fault.alert.lower()})"
    times = f"{outcome.shown:.0f} s | {outcome.fired:.0f} s"
    return f"| {fault.name} | `{fault.metric}` | `{fault.alert}` | {link} | {times} |"


def write(rows: list[str]) -> None:
    """Put the table into docs/operations.md."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    table = ["| fault | metric | alert | | shown after | fired after |", "|---|---|---|---|---|---|", *rows]
    PAGE.write_text(f"{head}{BEGIN}\n" + "\n".join(table) + f"\n\n{END}{tail}")


async def main() -> int:
    """Make all faults, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--only", default="", help="faults whose names contain this")
    parser.add_argument("--write", action="store_true", help="put the table into docs/operations.md")
    given = parser.parse_args()
    if (binary := shutil.which("prometheus")) is None:
        print("prometheus is not on the PATH: install it (Debian's package `prometheus` has it).", file=sys.stderr)
        return 2
    outcomes = []
    for fault in FAULTS:
        if given.only not in fault.name:
            continue
        with tempfile.TemporaryDirectory(prefix="countersign-drill-") as folder:
            outcome = await drill(fault, binary, Path(folder))
        outcomes.append(outcome)
        print(row(outcome), "" if outcome.right else f"WRONG: {sorted(outcome.alerts)} fired", flush=True)
    for query in sorted({*queries()}.difference(*(outcome.answered for outcome in outcomes))):
        print(f"no data in any fault: {query}", flush=True)
    if given.write and not given.only:
        write([row(outcome) for outcome in outcomes])
    return 0 if all(outcome.right for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
