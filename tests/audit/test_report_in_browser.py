"""The page of `countersign audit report`, as a desktop and a phone show it, by day and by night.

With `PICTURES=<folder>` in the environment it leaves screenshots there.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from bot.audit.export_formats import Filter
from bot.audit.figures import Figures
from bot.audit.report import page
from countersign.domain.hash_chain import START, seal
from tests.audit.generated_record import entries
from tests.browser import OpenPage

LONG = "#approvals-for-everything-that-finance-and-logistics-do-together"
"""Names are of people, as long as Slack has them."""


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
async def test_report_fits_its_screen_and_shows_each_plot(
    open_page: OpenPage, tmp_path: Path, colours: Literal["light", "dark"], *, phone: bool
) -> None:
    """Nothing is beside the screen; letters and lines of the plots differ from the paper."""
    sums, now = Figures(), datetime.now(UTC)
    for entry in entries(3_000, now):
        sums.read(seal(START, entry))
    file = tmp_path / "report.html"
    file.write_text(page(sums, Filter(), now, {"C0FINANCE": LONG, "U0BOB": "Bob Brown"}))
    shown = await open_page("about:blank", phone=phone)
    await shown.emulate_media(color_scheme=colours)
    await shown.goto(file.as_uri())
    if folder := os.environ.get("PICTURES"):
        name = f"report-{'phone' if phone else 'desktop'}-{colours}.png"
        await shown.screenshot(path=Path(folder) / name, full_page=True)
    assert await shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    beside = "nodes => nodes.filter(n => n.getBoundingClientRect().right > innerWidth + 0.5).length"
    assert await shown.locator("body *").evaluate_all(beside) == 0
    zeros = [await cell.is_visible() for cell in await shown.locator("td", has_text=re.compile("^0$")).all()]
    assert zeros and any(zeros) != phone, "a phone has a line for each figure, and none for nothing"
    plots = shown.locator("figure svg")
    assert await plots.count() == 4
    for plot in await plots.all():
        await plot.scroll_into_view_if_needed()
        box = await plot.bounding_box()
        assert box is not None and box["width"] > 250 and box["height"] > 60
        ink, paper = await plot.evaluate(
            "node => [getComputedStyle(node).color, getComputedStyle(document.body).backgroundColor].map("
            "text => text.match(/\\d+/g).slice(0, 3).reduce((sum, one) => sum + Number(one), 0) / 3)"
        )
        assert (ink - paper if colours == "dark" else paper - ink) > 150
