"""`python -m tests.gallery.recording`: a run that asks, is approved, and continues, as an animated picture."""

import asyncio
import io
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont
from playwright.async_api import Page, ViewportSize

from tests.gallery.stage import Stage, stage

PICTURE: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "recording.webp"
LARGEST: Final = 600_000
"""Bytes of the picture: the README shows it first."""
SCREEN: Final = ViewportSize(width=960, height=620)
CAPTION: Final = 44
"""Pixels of the line below the screen."""
SECONDS: Final = 3.0
"""Seconds that a frame stays."""
POINTER: Final = ((0, 0), (0, 22), (5, 17), (9, 26), (13, 24), (9, 16), (16, 16))


async def frames(there: Stage) -> list[Image.Image]:
    """Play the story, and take a frame of each step."""
    there.chapter("A recording")
    head = await there.start("email tell the vendor we need 10% off")
    card = await there.card("10%")
    await there.settle()
    taken = []
    page = await there.view("alice", head, size=SCREEN, thread=True)
    taken.append(await _frame(page, "1  Alice starts an agent. It writes a mail, and asks before it sends it."))
    page = await there.view("bob", card, size=SCREEN)
    taken.append(await _frame(page, "2  Bob, a reviewer, sees exactly what would be sent."))
    box = await page.get_by_role("button", name="Approve").last.bounding_box()
    assert box is not None
    place = (int(box["x"] + box["width"] * 0.7), int(box["y"] + box["height"] * 0.5))
    taken.append(await _frame(page, "3  He approves.", place))
    await there.slack.user("bob").click(card, "Approve")
    settled = await there.settled(card)
    over = await there.over(head)
    page = await there.view("bob", settled, size=SCREEN)
    taken.append(await _frame(page, "4  The card says who decided, when, and what happened."))
    page = await there.view("alice", over, size=SCREEN, thread=True)
    taken.append(await _frame(page, "5  The agent continues: the approved mail is sent, once."))
    return taken


async def _frame(page: Page, caption: str, pointer: tuple[int, int] | None = None) -> Image.Image:
    """Take the screen with a line below it, and a mouse pointer where one is."""
    with Image.open(io.BytesIO(await page.screenshot(animations="disabled"))) as screen:
        frame = Image.new("RGB", (screen.width, screen.height + CAPTION), "#1d1c1d")
        frame.paste(screen, (0, 0))
    draw = ImageDraw.Draw(frame)
    draw.text((16, SCREEN["height"] + 12), caption, font=ImageFont.load_default(18), fill="white")
    if pointer is not None:
        shape = [(pointer[0] + x, pointer[1] + y) for x, y in POINTER]
        draw.polygon(shape, fill="black", outline="white")
    return frame


async def main() -> int:
    """Write the picture; 1 if it is too large."""
    with tempfile.TemporaryDirectory() as folder:
        async with stage(Path(folder)) as there:
            first, *others = await frames(there)
    duration = int(SECONDS * 1000)
    first.save(PICTURE, save_all=True, append_images=others, duration=duration, loop=0, lossless=True, method=6)
    size = PICTURE.stat().st_size
    print(f"{PICTURE.name}: {1 + len(others)} frames, {size:,} bytes")
    return int(size > LARGEST)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
