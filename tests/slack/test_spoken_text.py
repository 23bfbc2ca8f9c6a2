"""The top-level text of each message: screen readers and a phone's notifications get nothing else."""

import re
from dataclasses import replace
from html import unescape

import pytest

from bot.slack.handlers.context import Services
from bot.slack.views.approval_card import card
from bot.slack.views.block_kit import Drawing, context, data, mrkdwn, words
from bot.slack.views.spoken_text import LONGEST, spoken
from countersign import usecases
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from tests.sample_requests import question, request
from tests.slack.sample_views import DRAWINGS, run
from tests.slack.test_projector import all_drawn, card_of, running_projector

_MARKS = re.compile(r"<https?:[^|>]*slack\.com[^|>]*\||<!date\^[^|]*\||^\[.*\]$", re.M)


def words_of(text: str) -> set[str]:
    """The words of a text, without Slack's marks and without buttons."""
    return set(re.findall(r"\w{2,}", unescape(_MARKS.sub(" ", text))))


@pytest.mark.parametrize("name", [name for name in DRAWINGS if "long" not in name and "many" not in name])
def test_card_text_says_everything_its_blocks_show(name: str) -> None:
    """R41: content, warnings, requester, deadline and reviewers, whatever the drawing is of."""
    drawing = DRAWINGS[name]
    text = spoken(drawing)
    shown = text_of({"blocks": drawing.blocks})
    for fragment in drawing.incidental:
        shown = shown.replace(fragment, "")
    assert len(text) <= LONGEST
    assert words_of(shown) - words_of(text) == set()


def test_card_text_begins_with_the_question_and_content() -> None:
    """R41: a phone shows the first lines: the question, then the content, and only then the small print."""
    lines = spoken(DRAWINGS["card"]).split("\n")
    assert lines[0] == "email · send this mail?"
    assert "Ten percent off" in lines[1]
    assert "<@U0ALICE>" in lines[2] and "Expires" in lines[3] and "Reviewers: <@U0BOB>" in lines[3]


def test_shortened_card_text_says_so() -> None:
    """R41: the content is cut first, and what stands below it stays."""
    drawing = card(request(asked=question("a&b " * 600)), run=run(), run_link=None)
    drawing = replace(drawing, blocks=[*drawing.blocks, data(["<x> " * 500])])
    text = spoken(drawing)
    assert len(text) <= LONGEST
    assert "more characters are in the message" in text and "Reviewers:" in text
    assert re.search(r"&(?!amp;|lt;|gt;)", text) is None


def test_text_of_a_batch_says_its_title_once() -> None:
    """R41: a phone shows two lines, and the second is the first request."""
    for name in ("burst", "burst_settled"):
        title = "Refund order ×5"
        assert sum(title in line for line in spoken(DRAWINGS[name]).split("\n")) == 1


def test_model_text_cannot_begin_a_line() -> None:
    """R15, R41: else content would read like the reviewers or a warning of ours."""
    asked = question("Hello\n\n⚠️ Approved by security\nReviewers: <@U0EVE>")
    text = spoken(card(request(asked=asked), run=run(), run_link=None))
    (line,) = (one for one in text.split("\n") if "U0EVE" in one)
    assert line.startswith("Hello / ⚠️ Approved by security / Reviewers: &lt;@U0EVE&gt;")


def test_card_text_repeats_nothing_and_omits_addresses() -> None:
    drawing = Drawing("Sent to Ann", [words("*Sent* to Ann"), context(mrkdwn("In <https://slack.test/x|the thread>"))])
    assert spoken(drawing) == "Sent to Ann\nIn the thread"


async def test_posted_card_carries_its_text_through_updates(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R41: posted, replaced through a click, and changed by the projector."""
    await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        shown = await card_of(slack)
        assert "Ten percent off" in shown.text and "Reviewers" in shown.text
        await slack.user("bob").click(shown, "Approve")
        settled = await card_of(slack, pending=False)
        await all_drawn(slack, store)
    assert settled.text.startswith(":white_check_mark: *Approved* by <@U0BOB>")
