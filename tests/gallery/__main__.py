"""`python -m tests.gallery`: play every story, and write docs/gallery.md and its pictures.

Exit status 1 if a scene could not be played to its end; the others are there.
"""

import argparse
import asyncio
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.gallery import scenes
from tests.gallery.reading import COLUMNS, Reading
from tests.gallery.stage import Chapter, Stage, stage

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
_HEAD: Final = """\
# Gallery

Every kind of card, window, thread and Home, at 1280 and 390 pixels. `make gallery` plays the stories in localslack with
the example teams, and takes these pictures.

## What a reviewer reads and taps

From the notification to the decision, counted by the same command from the messages and windows that Slack got. *Words*
are those of the card, and of the windows on the way; *screens* is the card's height on a phone of 390 × 844; *controls*
include ⋯. The first tap opens the notification, whose first two lines are here, and a field that is filled in is a tap.

"""


async def play(folder: Path) -> tuple[list[Chapter], list[Reading], list[str]]:
    """Play all scenes; returns chapters, readings, and what went wrong."""
    problems = []
    async with stage(folder) as there:
        for scene in scenes.SCENES:
            began = time.monotonic()
            try:
                async with asyncio.timeout(120):
                    await scene(there)
            except Exception:
                problems.append(f"{scene.__name__.strip('_')}:\n{traceback.format_exc()}")
                await _close(there)
            print(f"{scene.__name__.strip('_'):10} {time.monotonic() - began:5.1f} s", flush=True)
    return there.chapters, there.readings, problems


async def _close(there: Stage) -> None:
    for name in ("alice", "bob"):
        while there.slack.user(name).modal is not None:
            await there.slack.user(name).close()


def page(chapters: Sequence[Chapter], readings: Sequence[Reading]) -> str:
    """Write the page."""
    rows = [list(COLUMNS), ["---"] * len(COLUMNS), *(one.row for one in readings)]
    table = "".join(f"| {' | '.join(cell.replace('|', '¦') for cell in row)} |\n" for row in rows)
    return _HEAD + table + "".join(map(_chapter, chapters))


def _chapter(chapter: Chapter) -> str:
    text = f"\n## {chapter.title}\n" + (f"\n{chapter.text}\n" if chapter.text else "")
    for shot in chapter.shots:
        shown = f"{chapter.title}: {shot.caption}".replace("*", "").replace("`", "")
        pictures = (f"![{shown} ({kind})](gallery/{shot.name}-{kind}.webp)" for kind in ("desktop", "phone"))
        text += f"\n### {shot.caption}\n\n| 1280 px | 390 px |\n|---|---|\n| {' | '.join(pictures)} |\n"
    return text


def main() -> int:
    """Write the page and its pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.gallery", description=__doc__)
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder of gallery.md and gallery/")
    docs: Path = parser.parse_args().docs
    pictures = docs / "gallery"
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.webp"):
        old.unlink()
    chapters, readings, problems = asyncio.run(play(pictures))
    (docs / "gallery.md").write_text(page(chapters, readings), encoding="utf-8")
    files = [*pictures.iterdir()]
    print(f"{len(files)} pictures, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB")
    print(*problems, sep="\n", file=sys.stderr, end="")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
