"""The gallery in the docs: whole, small, and played by one command."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.gallery.__main__ import DOCS, page, play

KINDS = ("mail", "call", "code", "options", "plan", "high risk", "report", "conversation", "batch", "form")


def test_gallery_shows_each_request_kind_with_small_pictures() -> None:
    """Each picture that the page names exists."""
    text = (DOCS / "gallery.md").read_text()
    pictures = {DOCS / name for name in re.findall(r"\]\((gallery/[\w-]+\.webp)\)", text)}
    assert pictures == set((DOCS / "gallery").iterdir())
    assert sum(picture.stat().st_size for picture in pictures) < 3_000_000
    described = re.findall(r"!\[([^]]*)\]", text)
    assert len(set(described)) == len(pictures), "each picture has words of its own, for those who do not see it"
    table = [line for line in text.splitlines() if line.startswith("| a") or re.match(r"\| (code|options|high)", line)]
    assert [kind for kind in KINDS if not any(kind in line for line in table)] == []


def test_each_row_of_the_table_is_one_line() -> None:
    """What a notification says has several lines, which would end the table."""
    table = (DOCS / "gallery.md").read_text().partition("| request |")[2].partition("\n\n")[0]
    assert [line for line in table.splitlines()[1:] if line.count("|") != 8] == []


@pytest.mark.slow
async def test_each_scene_ends_and_needs_few_taps(tmp_path: Path) -> None:
    """R14, R25: with one tap behind the notification where nothing is to be typed, chosen or confirmed."""
    chapters, readings, problems = await play(tmp_path)
    assert problems == []
    named = set(re.findall(r"gallery/([\w-]+\.webp)", page(chapters, readings)))
    assert named == {file.name for file in await asyncio.to_thread(lambda: [*tmp_path.iterdir()])}
    taps = {one.kind: one.taps for one in readings}
    at_once = [kind for kind in taps if re.match(r"a (mail|call|plan|report)|code|options|a step", kind)]
    assert {kind: taps[kind] for kind in at_once if kind.endswith(("approve", "choose", "continue"))} == {
        kind: 2 for kind in at_once if kind.endswith(("approve", "choose", "continue"))
    }
    assert [one.kind for one in readings if one.controls > 3 and "batch" not in one.kind] == []
