"""Letters that are taken for others, and blanks that push text out of sight (R15)."""

import json
import re
import sys
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.slack.views import block_kit, review_modals, run_steps, start_modal, thread_notes
from bot.slack.views.approval_card import card
from countersign.domain.activity import Progress, Writing
from countersign.domain.calls import Call, canonical
from countersign.domain.requests import Kind
from countersign.frameworks.autogen.tools.permits import ProposedAction, shown
from countersign.text.homoglyphs import mark, odd_signs, odd_words
from countersign.text.safe_text import one_line, typed, visible
from countersign.usecases.ports import TeamInfo
from tests.sample_requests import GENERAL, question, request
from tests.slack.sample_views import run


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("pay to p\u0430ypal.com", "pay to p\u0430⟦U+0430⟧ypal.com"),
        ("\u0440\u0430ypal", "\u0440\u0430⟦U+0440 U+0430⟧ypal"),
        ("М\u006fсква", "М\u006f⟦U+006F⟧сква"),
        ("r\u043em -rf", "r\u043e⟦U+043E⟧m -rf"),
        ("from \u0440\u0430\u0443 to us", "from \u0440\u0430\u0443⟦U+0440 U+0430 U+0443⟧ to us"),
        ("let \u0441 = 1", "let \u0441⟦U+0441⟧ = 1"),
        ("g\u03bfogle", "g\u03bf⟦U+03BF⟧ogle"),
        ("run \uff52\uff4d now", "run \uff52\uff4d⟦U+FF52 U+FF4D⟧ now"),
        ("\U0001d41e\U0001d42f(x)", "\U0001d41e\U0001d42f⟦U+1D41E U+1D42F⟧(x)"),
        ("a.com\u2215b", "a.com\u2215⟦U+2215⟧b"),
        ("\u0440\u200baypal is here", "\u0440⟦U+0440⟧⟦U+200B⟧aypal is here"),
        ("p\u0251ypal", "p\u0251⟦U+0251⟧ypal"),
        ("\u0261oogle", "\u0261⟦U+0261⟧oogle"),
        ("tw\u0131tter", "tw\u0131⟦U+0131⟧tter"),
        ("\u1d18\u1d00\u028fpal", "\u1d18\u1d00\u028f⟦U+1D18 U+1D00 U+028F⟧pal"),
        ("\u0627bc", "\u0627⟦U+0627⟧bc"),
        ("a\u2024com", "a\u2024⟦U+2024⟧com"),
        ("pay 1\u0665 EUR", "pay 1\u0665⟦U+0665⟧ EUR"),
        ("pay \u09ea EUR", "pay \u09ea⟦U+09EA⟧ EUR"),
        ("\uff48ttp\uff1a//a", "\uff48⟦U+FF48⟧ttp\uff1a⟦U+FF1A⟧//a"),
        ("a\U0001d159b\ufffcc\U0001bc9dd\U00016fe4", "a⟦U+1D159⟧b⟦U+FFFC⟧c⟦U+1BC9D⟧d⟦U+16FE4⟧"),
    ],
)  # fmt: skip
def test_letter_of_another_alphabet_is_marked(given_text: str, shown: str) -> None:
    """R15"""
    assert visible(given_text) == shown


@pytest.mark.parametrize(
    "ordinary",
    [
        "Привет, мир! Ого, а вот и оса на сахаре. USB-кабель, IT-отдел, 3D-печать",
        "Откройте https://example.com и нажмите Enter, а потом OK",
        "Καλημέρα κόσμε. Το email είναι εδώ",
        "Webサイトのテスト。ＡＢＣ株式会社のＵＲＬ Tシャツ",
        "naïve Straße İstanbul ısı Łódź Việt Nam",
        "Δt = 3 µs, 10 kΩ, λ=5, 2πr, α and β",
        "한국어 API와 中文 JSON 文件",
        "ﬁle nº 1ª ™ ½ ① Ⅳ",
        "🎉 עברית العربية ไทย हिन्दी",
        "السعر ١٠٠ و ٥٪، API",
        "मूल्य १०० रुपये: ठीक है।",
        "‘quoted’ – 5 − 3 = 2, 5′ „so“",
    ],
)
def test_ordinary_text_in_any_language_is_not_marked(ordinary: str) -> None:
    assert visible(ordinary) == ordinary
    assert odd_words(ordinary) == []


def test_forged_mark_in_a_text_is_itself_marked() -> None:
    """R15: it looks otherwise than a real one, and keeps none from being made."""
    fake = "p⟦U+0430⟧aypal, \u0440\u0430ypal⟦U+0061⟧, r⟦U+202E⟧m ⟦9,998 spaces⟧"
    assert visible(typed(fake)) == (
        "p⟦U+27E6⟧U+0430⟧aypal, \u0440\u0430⟦U+0440 U+0430⟧ypal⟦U+27E6⟧U+0061⟧, r⟦U+27E6⟧U+202E⟧m ⟦U+27E6⟧9,998 spaces⟧"
    )
    assert visible("\u0440\u0430ypal⟦U+0061⟧").startswith("\u0440\u0430⟦U+0440 U+0430⟧")
    assert visible(visible(typed(fake))) == visible(typed(fake))
    asked = request(asked=question(f"{fake} again", title=fake, notes=(fake,)))
    drawn = json.dumps(card(asked, run=run(), run_link=None).blocks, ensure_ascii=False)
    assert drawn.count("⟦U+27E6⟧") > 10
    assert not re.search(r"p⟦U\+0430⟧|⟦9,998|⟦U\+202E⟧", drawn)


FAKE = "⟦hidden: 4 characters⟧"


def test_typed_secret_mark_differs_from_a_real_one() -> None:
    """R15, R30: whoever types that something is hidden does not hide it behind our name."""
    its = replace(run(), task=FAKE, result=FAKE, words=FAKE, writing=Writing(FAKE, 22, FAKE))
    its = replace(its, progress=(Progress(its.created_at, FAKE, FAKE),))
    message = request(asked=question(FAKE, title=FAKE, notes=(FAKE,), options=(FAKE,)))
    arguments = canonical({"note": FAKE, FAKE: 1, "pin": "8642"})
    content, _ = shown(ProposedAction("clerk", FAKE, arguments, None, (), hide=("pin",)))
    of = Call(FAKE, arguments, hidden=("pin",))
    tool = request(asked=question(content, kind=Kind.TOOL, title=FAKE, call=of))
    drawings: list[block_kit.Drawing] = [
        thread_notes.run_message(its),
        run_steps.drawn_as_list(its, run_steps.steps(its)),
        thread_notes.outcome_note(its),
    ]
    for one in (message, tool):
        steps = run_steps.steps(its, [run_steps.RequestOnCard(one)])
        drawings += [card(one, run=its, run_link=None), run_steps.drawn_as_list(its, steps)]
    views = [review_modals.full(message), review_modals.full(tool), start_modal.start([TeamInfo("a", FAKE)], GENERAL)]
    for seen in (*([drawing.text, drawing.blocks] for drawing in drawings), *views):
        everything = json.dumps(seen, ensure_ascii=False)
        assert "⟦U+27E6⟧hidden: 4" in everything
        hidden = everything.count(rf"pin\": \"{FAKE}") + everything.count(f"\\nPin: {FAKE}\\n")
        assert everything.count(FAKE) == hidden
    assert json.dumps(review_modals.full(tool), ensure_ascii=False).count(FAKE) == 2


@pytest.mark.parametrize(
    "repeated",
    [
        "p\u0430yp\u0430l \u0430ccount ",
        "p\u0430yp\u0430l \u0430ccount and more\n",
        "Обычный русский текст, и USB-кабель. ",
        "日本語のテスト、",
        "\u0440\u0430\u0443 \u0441\u043e\u0441\u0430 the ",
    ],
)
def test_long_text_is_judged_without_work_per_character(repeated: str) -> None:
    """R29: a megabyte of it held up everybody for 20 s."""
    text = repeated * (100_000 // len(repeated))
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    visible(repeated), odd_words(repeated)
    sys.setprofile(count)
    try:
        shown, odd = visible(text), odd_words(text)
    finally:
        sys.setprofile(None)
    assert calls < 8 * len(text)
    assert len(odd) == len(odd_words(repeated))
    assert shown.count("⟦") == visible(repeated).count("⟦") * (100_000 // len(repeated))


def test_existing_mark_stays_whole_inside_a_marked_word() -> None:
    """The code point of a mark is not marked again."""
    assert mark("\u0445U\u0433\u0434\u0433⟦U+27E6⟧\u0433") == "\u0445U⟦U+0055⟧\u0433\u0434\u0433⟦U+27E6⟧\u0433"


def test_each_odd_word_is_listed_once() -> None:
    assert odd_words("p\u0430ypal and p\u0430ypal, then \u0430mazon\nПривет") == ["p\u0430ypal", "\u0430mazon"]


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("echo ok" + " " * 10_000 + "rm -rf /", "echo ok ⟦9,998 spaces⟧ rm -rf /"),
        ("a" + "\t" * 100 + "b", "a\t⟦98 tabs⟧\tb"),
        ("a" + "\u3000 " * 50 + "b", "a\u3000⟦98 blanks⟧ b"),
        ("a" + "\n" * 201 + "b", "a\n⟦200 empty lines⟧\nb"),
        ("a\n" + " \t\n" * 9 + "b", "a\n⟦9 empty lines⟧\nb"),
        ("\n" * 1000 + "b", "⟦1,000 empty lines⟧\nb"),
        ("a" + "\u200b" * 500 + "b", "a⟦U+200B, 500 times⟧b"),
        ("def f():\n" + " " * 36 + "return 1\n\n\n\n\nx  = 1" + " " * 30 + "# y", None),
        ("\t\t\tindented\n\nname          amount          note", None),
    ],
)
def test_hiding_blanks_are_counted_and_indentation_stays(given_text: str, shown: str | None) -> None:
    """R13, R15"""
    assert visible(given_text) == (given_text if shown is None else shown)


@example("аカ\u200bU1а", 50)
@example("\uff52\u043f1U1\u0430", 2)
@example("U\u200b\u0430\u043f1\u0430", 1)
@given(st.text(st.sampled_from("a\u0430\u0440 \n\t\u200b\u202e1/⟦⟧U+\uff52カп"), max_size=60), st.sampled_from([1, 50]))
def test_visible_text_is_unchanged_by_a_second_pass(given_text: str, times: int) -> None:
    once = visible(given_text * times)
    assert visible(once) == once
    assert one_line(once, 10_000) == one_line(once, 10_000)


@given(st.text())
def test_marking_odd_letters_only_adds_characters(given_text: str) -> None:
    left = iter(mark(given_text))
    assert all(c in left for c in given_text)


@pytest.mark.parametrize(
    "part", ["\u0430a", " ", "\n ", "\u0430⟦U+", "\u0430\u0301", "\t\n", "⟦U+200B⟧", "\u200b", "\u2215"]
)
def test_long_hostile_text_is_marked_in_linear_time(part: str) -> None:
    """Something quadratic would take an hour."""
    visible((part * (100_000 // len(part) + 1))[:100_000])


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("https://bank。com/pay", "。"),
        ("银行 https://bank。com", "。"),
        ("bank．com", "．"),
        ("bank｡com", "｡"),
        ("rm−rf /", "−"),
        ("pay 1‚000 EUR", "‚"),
        ("user＠bank.com", "＠"),
        ("a，b", "，"),
        ("git﹣push", "﹣"),
        ("key＝value", "＝"),
        ("http：//x", ""),
    ],
)
def test_look_alike_separators_are_marked_between_letters(text: str, odd: str) -> None:
    """R15: a program takes none of them for the separator that a reader sees."""
    marked = mark(text)
    assert marked == mark(marked)
    assert odd_signs(marked) == odd_signs(text) == [word for word in text.split() if mark(word) != word]
    if odd:
        assert marked == text.replace(odd, f"{odd}⟦U+{ord(odd):04X}⟧")


@pytest.mark.parametrize(
    "text",
    ["Berlin–Paris", "e‑mail", "well—known", "don’t", "10−3 = 7", "Windows、Linux和Mac", "l·l", "„Ja‚ so‘ “", "5 − x"],
)
def test_ordinary_typography_is_not_marked(text: str) -> None:
    assert mark(text) == text
    assert odd_signs(text) == []
