"""Text from models and people is data (R15)."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.views.slack_markup import escape, unescape
from countersign.text import safe_text
from countersign.text.safe_text import Room


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("pay \u202eevil\u202c", "pay ⟦U+202E⟧evil⟦U+202C⟧"),
        ("zero\u200bwidth", "zero⟦U+200B⟧width"),
        ("\U000e0041tag", "⟦U+E0041⟧tag"),
        ("a\u00adb\u3164c\u2800d", "a⟦U+00AD⟧b⟦U+3164⟧c⟦U+2800⟧d"),
        ("bell\x07 \x1b[31mred", "bell⟦U+0007⟧ ⟦U+001B⟧[31mred"),
        ("dos\r\nlines and\rold", "dos\nlines and⟦U+000D⟧old"),
        ("half \ud83d pair", "half ⟦U+D83D⟧ pair"),
        ("hidden\ufe01data\U000e0100", "hidden⟦U+FE01⟧data⟦U+E0100⟧"),
        ("a\u200db", "a⟦U+200D⟧b"),
        ("👩‍💻 ❤️ 👍🏽 1️⃣ 🏳️‍🌈", "👩‍💻 ❤️ 👍🏽 1️⃣ 🏳️‍🌈"),
        ("naïve 日本語 العربية עברית", "naïve 日本語 العربية עברית"),
        ("བསྒྲུབས་ เที่ยงที่ Việt בְּרֵאשִׁ֖ית", "བསྒྲུབས་ เที่ยงที่ Việt בְּרֵאשִׁ֖ית"),
        ("pay" + "\u0301" * 40, "pay" + "\u0301" * 5 + "⟦U+0301, 35 times⟧"),
    ],
)
def test_hidden_characters_become_visible(given_text: str, shown: str) -> None:
    """R15"""
    assert safe_text.visible(given_text) == shown


@given(st.text())
def test_no_invisible_character_is_left(given_text: str) -> None:
    """R15: whatever the text, Slack gets no control, bidi or lone surrogate character."""
    shown = safe_text.visible(given_text)
    shown.encode()
    left = {
        unicodedata.name(c, hex(ord(c))) for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    }
    assert left <= {"0x9", "0xa", "ZERO WIDTH JOINER"}


@given(st.text(), st.integers(1, 50))
def test_text_split_into_pieces_joins_again(given_text: str, most: int) -> None:
    parts = list(safe_text.pieces(given_text, most))
    assert "".join(parts) == given_text
    assert all(0 < len(part) <= most for part in parts)


@given(st.text(), st.builds(Room, st.integers(1, 60), st.integers(12, 90), st.integers(1, 9)))
def test_shortened_text_counts_hidden_characters(given_text: str, room: Room) -> None:
    """R13: beginning, hidden count and end account for every character."""
    beginning, hidden, end = safe_text.shorten(given_text, room)
    assert given_text.startswith(beginning) and given_text.endswith(end)
    assert len(beginning) + hidden + len(end) == len(given_text)
    assert safe_text.fits(given_text, room) == (hidden == 0)
    assert len(json.dumps(beginning)) - 2 + len(json.dumps(end)) - 2 <= room.size
    assert (beginning + end).count("\n") <= room.lines


def test_mrkdwn_in_peoples_text_is_escaped() -> None:
    assert escape("<!channel> & <https://evil|Approve here>") == (
        "&lt;!channel&gt; &amp; &lt;https://evil|Approve here&gt;"
    )
    assert unescape(escape("a < b && c > d &lt;")) == "a < b && c > d &lt;"


@pytest.mark.parametrize(
    ("sent", "was_typed"),
    [
        ("<@U012ABC|bob> in <#C012ABC|dev>", "@bob in #dev"),
        ("<!subteam^S012ABC|@leads> and <!here>", "@leads and @here"),
        ("<!subteam^S012ABC> and <@U012>", "<!subteam^S012ABC> and <@U012>"),
        ("<@U012ABC> in <#C012ABC|>", "<@U012ABC> in <#C012ABC>"),
        ("<mailto:ann@example.com|ann@example.com>", "ann@example.com"),
        ("<https://example.com/a?b=1&amp;c=2>", "https://example.com/a?b=1&c=2"),
        ("<http://example.com|example.com>", "example.com"),
        ("<https://evil.example|our handbook>", "our handbook (https://evil.example)"),
        ("&lt;@U012ABC|bob&gt; &lt;b&gt;", "<@U012ABC|bob> <b>"),
    ],
)
def test_slacks_escaping_of_commands_is_undone(sent: str, was_typed: str) -> None:
    assert unescape(sent) == was_typed
