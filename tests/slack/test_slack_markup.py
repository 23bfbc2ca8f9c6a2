"""Slack's marks are drawn in one place, and of what has the form of an id only (R15, R27)."""

import ast
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.slack.views.request_text import settled_line
from bot.slack.views.run_steps import RequestOnCard, drawn_as_list, steps
from bot.slack.views.slack_markup import (
    drawn,
    elements,
    escape,
    link,
    mention,
    mentioned_in,
    moment,
    when,
    without_marks,
)
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.requests import Verb
from tests.sample_requests import request
from tests.slack.sample_views import decided, refund, with_outcome

HERE = Path(__file__).resolve().parent.parent.parent
_MARK = re.compile(r"(?<!\(\?)<(?:[@#!{\0]|https?:)")
FOLDERS = ("bot", *(f"countersign/{part}" for part in ("autogen", "domain", "policy", "replay", "text", "usecases")))
WRITERS = sorted(path for folder in FOLDERS for path in (HERE / folder).rglob("*.py"))
DRAW = {"bot/slack/views/slack_markup.py"}
READ = {"bot/slack/handlers/mention_parsing.py"}
"""Takes apart what Slack sends."""
PAGES = {"bot/audit/report.py", "bot/installations/oauth.py"}
"""Write HTML for a browser."""


def marks_in(path: Path) -> list[str]:
    """What a module writes that Slack would read as a mark."""
    tree = ast.parse(path.read_text())
    words = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    written = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            written.append("".join(p.value if isinstance(p, ast.Constant) else "\0" for p in node.values))  # type: ignore[misc]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in words | parts:
            written.append(node.value)
    return [text for text in written if _MARK.search(text)]


def test_slack_marks_are_written_in_one_module() -> None:
    """R15: where each place wrote its own mention, one of them wrote what a program had called its requester."""
    writing = {str(path.relative_to(HERE)): marks for path in WRITERS if (marks := marks_in(path))}
    assert writing.keys() == DRAW | READ | PAGES, writing


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("U0ALICE", "<@U0ALICE>"),
        ("W0ALICE", "<@W0ALICE>"),
        ("C0GENERAL", "<#C0GENERAL>"),
        ("G0GENERAL", "<#G0GENERAL>"),
        ("S0LEADS", "<!subteam^S0LEADS>"),
        ("U0 > <!channel> *Approved* by <@U0BOB", "(unknown)"),
        ("!channel", "(unknown)"),
        ("U0ALICE|bob", "(unknown)"),
        ("U0ALICE\n", "(unknown)"),
        ("", "(unknown)"),
    ],
)
def test_only_a_valid_id_is_mentioned(name: str, drawn: str) -> None:
    """R27"""
    assert mention(name) == drawn


def test_link_address_cannot_escape_its_markup() -> None:
    drawn = link("https://a.example/?a=1&b=<!channel>|x", "open")
    assert drawn == "<https://a.example/?a=1&amp;b=%3C!channel%3E%7Cx|open>"


@pytest.mark.parametrize(
    ("hours", "written", "after_until"),
    [
        (
            1,
            "at <!date^1772823600^{time}|2026-03-06 19:00:00 UTC>",
            "<!date^1772823600^{time}|2026-03-06 19:00:00 UTC>",
        ),
        (
            24,
            "<!date^1772906400^\u200b{date_short_pretty} at {time}|at 2026-03-07 18:00:00 UTC>",
            "<!date^1772906400^\u200b{date_short_pretty} at {time}|2026-03-07 18:00:00 UTC>",
        ),
    ],
    ids=["soon", "on another day"],
)
def test_time_in_a_sentence_reads_naturally(hours: int, written: str, after_until: str) -> None:
    """“Expires at 9:00”, and “Expires tomorrow at 9:00”: not “at Tomorrow 9:00”, as Slack would begin a mark."""
    sent = datetime(2026, 3, 6, 18, tzinfo=UTC)
    assert when(sent + timedelta(hours=hours), sent) == written
    assert moment(sent + timedelta(hours=hours), sent) == after_until


def test_rich_text_shows_escaped_characters_literally() -> None:
    """R15: in rich text nothing is decoded, and nothing acts but our own marks."""
    text = f"*Approved & seen* by {mention('U0BOB')} · signed {escape('& <!channel>')} {link('https://a.example', 'a')}"
    drawn = elements(text.replace("*Approved & seen*", f"*{escape('Approved & seen')}*"))
    assert [(part["type"], part.get("text")) for part in drawn] == [
        ("text", "Approved & seen"),
        ("text", " by "),
        ("user", None),
        ("text", " · signed & <!channel> "),
        ("link", "a"),
    ]


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("signed & sent", "signed & sent"),
        ("*x*", "x"),
        ("not_sent", "not sent"),
        (":tada: ok", "tada ok"),
        ("*", "done"),
    ],
)
def test_team_supplied_result_is_shown_without_markup(word: str, shown: str) -> None:
    """R15: on the card, and among the steps of the run's thread."""
    settled = decided(Verb.APPROVE, of=request(asked=refund()))
    assert settled.decision is not None
    run = with_outcome(settled, done=word)
    assert settled_line(settled, settled.decision, run).endswith(f"\u00a0·\u00a0{escape(shown)}")
    (line,) = drawn_as_list(run, steps(run, [RequestOnCard(settled)])).blocks[1]["elements"]
    assert f"\u00a0·\u00a0{shown}" in [part.get("text", "")[-len(shown) - 3 :] for part in line["elements"]]


def test_sentence_is_drawn_with_marks_or_names() -> None:
    """R7, R15: an error holds ids and moments; each place that shows it draws them in its own way."""
    at = datetime(2026, 3, 6, 18, tzinfo=UTC)
    sentence = (UserId("U0BOB"), " decided ", at, " in ", ChannelId("C0GENERAL"), ": `<!channel>` U0BOB")
    date = "<!date^1772820000^\u200b{date_short_pretty} at {time}|at 2026-03-06 18:00:00 UTC>"
    assert drawn(sentence) == f"<@U0BOB> decided {date} in <#C0GENERAL>: `&lt;!channel&gt;` U0BOB"
    assert mentioned_in(sentence) == ["C0GENERAL", "U0BOB"]
    names = {"U0BOB": "Bob", "C0GENERAL": "#general"}
    written = "Bob decided at 2026-03-06 18:00:00 UTC in #general: <!channel> U0BOB"
    assert without_marks(sentence, names) == written
