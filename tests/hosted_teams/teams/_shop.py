"""The same shop for every framework: what its model says, and a tool that notes what it did."""

import time
from collections.abc import Mapping
from typing import Any

from countersign.teams import Run, current_run

Call = tuple[str, dict[str, Any]]
TURNS: dict[str, list[list[Call]]] = {
    "one": [[("refund", {"order": 17, "euros": 45.0})]],
    "two at once": [[("refund", {"order": 70017, "euros": 45.0}), ("refund", {"order": 70018, "euros": 9.0})]],
    "two in a row": [[("refund", {"order": 17, "euros": 45.0})], [("refund", {"order": 17, "euros": 45.0})]],
    "twice": [[("ask_human", {"question": "Which region?", "options": ["eu", "us"]})]] * 2,
    "which region": [[("ask_human", {"question": "Which region?", "options": ["eu", "us"]})]],
}


def answer(run: Run, results: Mapping[str, str]) -> str | list[tuple[str, str, dict[str, Any]]]:
    """The model's next turn after these results, by their call's ids: calls, or a text."""
    note(run, "asked", str(len(results)))
    turn = 1 + max((int(call.split("_")[1]) for call in results), default=-1)
    if turn == len(turns := TURNS[run.task]):
        stop(run, "before the end")
        return f"Results: {' | '.join(results.values())}"
    return [(f"call_{turn}_{place}", name, arguments) for place, (name, arguments) in enumerate(turns[turn])]


def note(run: Run, file: str, line: str) -> None:
    with (run.settings.data_dir / file).open("a") as opened:
        opened.write(f"{line}\n")


def stop(run: Run, where: str) -> None:
    """Hold the whole process here, once, if a file says so; another one says that it does."""
    wanted = run.settings.data_dir / where
    if wanted.exists():
        wanted.unlink()
        note(run, f"stops {where}", "")
        time.sleep(10_000)


async def refund(order: int, euros: float) -> str:
    """Pay money back."""
    run = current_run()
    note(run, "paid", f"{order} {euros}")
    stop(run, "in the call")
    return f"{euros:.2f} EUR were paid back."
