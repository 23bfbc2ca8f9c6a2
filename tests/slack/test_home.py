"""What a Home shows: golden JSON, Slack's limits for whatever content, and nothing in it that decides.

`GOLDEN=1 pytest tests/slack/test_home.py` writes the golden files anew; they are read in review.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.slack.views import home
from bot.slack.views.block_kit import Block, words
from bot.slack.views.button_labels import START_TASK, STOP_RUN
from bot.slack.views.control_values import CHOOSE, REJECT, REVIEW
from countersign.domain import runs
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.decision_attempts import decide
from countersign.domain.ids import GroupId, RequestId, RunId, UserId
from countersign.domain.people import Reviewers
from countersign.domain.request_endings import expire
from countersign.domain.requests import Request, Scope
from countersign.domain.runs import Run
from countersign.domain.standing_permissions import Permission, PermissionChoice, Span, given_with
from countersign.text.safe_text import size_of
from countersign.usecases.overview import Listed
from localslack.payload_checks import check_view
from tests.sample_requests import (
    ALICE,
    BOB,
    GENERAL,
    HERE,
    LEADS,
    attempt,
    call,
    choice,
    later,
    question,
    reported_in,
    request,
)
from tests.slack.plain_words import speaks_plainly
from tests.slack.sample_views import code, talk

GOLDEN = Path(__file__).parent / "golden" / "home"
HOSTILE = "<!channel> <@U0EVE> <https://evil.example|Approve here> `*_~ \u202e @here :tada: & https://evil.example"


def listed(*asked: Request, more: int = 0, linked: bool = True, of: Run | None = None) -> Listed:
    links = {r.id: f"https://example.slack.com/archives/C0APPROVALS/p{n}" for n, r in enumerate(asked) if linked}
    runs_of = {of.id: of} if of else {}
    return Listed(asked, links, len(asked) + more, {RunId("rtest"): "email"}, runs=runs_of)


def run(name: str = "rtest", **changes: Any) -> Run:
    made = Run(RunId(name), HERE, GENERAL, ALICE, "email", "tell the vendor we need 10% off", later())
    return replace(made, **changes)


def approved(asked: Request) -> Request:
    return decide(asked, attempt(asked, BOB), later(minutes=5)).request


def permitted(scope: Scope, **changes: Any) -> Permission:
    asked = request(asked=call())
    done = decide(asked, attempt(asked, BOB, permission=PermissionChoice(scope, Span.HOUR)), later(minutes=5)).request
    found = given_with(done, "email")
    assert found is not None
    return replace(found, **changes)


DONE = approved(request(asked=call()))
FAILED = approved(request(asked=replace(call(), asked=1, title="Refund 40.00 EUR for order 18")))
CAME_OF = reported_in(run(), DONE.id, "", later(minutes=6), failed=False, done="paid back")
CAME_OF = reported_in(CAME_OF, FAILED.id, f"No card. {HOSTILE}", later(minutes=6), failed=True)
PEM = f"-----BEGIN PUBLIC KEY-----\n{'MCowBQYDK2VwAyEA' + 'x' * 44}\n-----END PUBLIC KEY-----\n"
MANY = Reviewers(frozenset(UserId(f"U0{n:03}") for n in range(30)), frozenset({LEADS}))
SECTIONS: dict[str, list[Block]] = {
    "first_time": home.start(first_time=True),
    "start": home.start(first_time=False),
    "nothing_waits": home.waiting(listed()),
    "waiting": home.waiting(
        listed(request(), request(asked=call()), request(asked=choice(), quorum=2), more=37, linked=True)
    ),
    "waiting_without_a_card": home.waiting(listed(request(on_timeout=OnTimeout.WAIT), linked=False)),
    "waiting_hostile": home.waiting(listed(request(asked=question(title=HOSTILE, agent=HOSTILE)))),
    "waiting_group_not_known": home.waiting(listed(request()), [GroupId("S0LEADS"), GroupId("S0OPS")]),
    "waiting_not_known": home.waiting(listed(), known=False),
    "waiting_very_many": home.waiting(replace(listed(request(), more=499), whole=False)),
    "no_runs": home.runs((), 0),
    "runs": home.runs(
        [
            (run(status=runs.Status.RUNNING), "https://example.slack.com/archives/C0GENERAL/p1", listed()),
            (
                run("rother", status=runs.Status.PARKED, task=HOSTILE),
                "",
                listed(request(), request(asked=call(), reviewers=MANY), request(asked=choice())),
            ),
        ],
        9,
    ),
    "waiting_talk": home.waiting(listed(talk())),
    "runs_talk": home.runs(
        [(run(status=runs.Status.WAITING), "https://example.slack.com/archives/C0GENERAL/p1", listed(talk()))], 1
    ),
    "in_a_channel_talk": [
        b for who in (ALICE, BOB) for entry in home.entries(listed(talk()), reader=who) for b in entry
    ],
    "no_decisions": home.recent(listed(), later()),
    "recent": home.recent(listed(approved(request()), expire(request(), later(hours=2)).request), later(hours=13)),
    "recent_outcomes": home.recent(listed(DONE, FAILED, of=CAME_OF), later(hours=1)),
    "recent_code": home.recent(listed(approved(request(asked=code()))), later(hours=1)),
    "nothing_permitted": home.permissions([]),
    "permissions": home.permissions([permitted(Scope.TOOL), permitted(Scope.CALL, used=3)]),
    "permissions_hostile": home.permissions([permitted(Scope.TOOL, team=HOSTILE, tool=HOSTILE)] * 9),
    "no_receipts": home.receipts(""),
    "receipts": home.receipts(PEM),
    "in_a_channel": [b for entry in home.entries(listed(request(asked=call(), quorum=2)), reader=BOB) for b in entry],
}
VIEWS = {
    "whole": home.view([SECTIONS["start"], SECTIONS["waiting"], SECTIONS["runs"], [], SECTIONS["recent"]]),
    "away": home.store_down(),
}


def test_homes_match_their_golden_files_and_slacks_limits(subtests: pytest.Subtests) -> None:
    """No name of a function, no JSON, no word of ours about how it works, and a phone's row holds the controls."""
    for name, drawn in (*SECTIONS.items(), *VIEWS.items()):
        with subtests.test(name=name):
            text = json.dumps(drawn, indent=2, ensure_ascii=False) + "\n"
            file = GOLDEN / f"{name}.json"
            if os.environ.get("GOLDEN"):
                file.write_text(text)
            assert text == file.read_text()
            view = VIEWS.get(name) or home.view([SECTIONS[name]])
            check_view(view, ("home",))
            speaks_plainly(view, HOSTILE)
            assert all(1 <= len(block["elements"]) <= 3 for block in view["blocks"] if block["type"] == "actions")


def test_every_golden_home_belongs_to_a_view() -> None:
    assert {file.stem for file in GOLDEN.glob("*.json")} == {*SECTIONS, *VIEWS}


@pytest.mark.parametrize(
    ("hours", "moment"),
    [(1, "{time}"), (13, "\u200b{date_short_pretty} at {time}"), (24 * 30, "\u200b{date_short_pretty} at {time}")],
)
def test_decision_of_another_day_is_listed_with_its_date(hours: int, moment: str) -> None:
    """Beside the card it took minutes; whoever reads a list of thirty days would take the time for today's."""
    line = json.dumps(home.outcomes(listed(DONE), later(hours=hours)), ensure_ascii=False)
    assert f"^{moment}|" in line


def test_home_has_no_button_that_decides() -> None:
    """R13: a card shows all of what is asked, a line in a list does not."""
    for view in (*VIEWS.values(), *(home.view([section]) for section in SECTIONS.values())):
        assert {block["type"] for block in view["blocks"]} <= {
            "header",
            "divider",
            "context",
            "section",
            "rich_text",
            "actions",
        }
        buttons = [block["accessory"]["action_id"] for block in view["blocks"] if "accessory" in block]
        rows = [block["elements"] for block in view["blocks"] if block["type"] == "actions"]
        buttons += [one["action_id"] for row in rows for one in row]
        assert set(buttons) <= {STOP_RUN, START_TASK, REVIEW, CHOOSE, REJECT}, "each of the last three opens a window"


def test_text_from_models_and_people_is_escaped_on_homes() -> None:
    """R15"""
    for name in ("waiting_hostile", "runs", "permissions_hostile"):
        marked = [
            part["text"]
            for block in SECTIONS[name]
            for part in (*block.get("elements", ()), block.get("text") or {})
            if part.get("type") == "mrkdwn"
        ]
        assert marked
        for text in marked:
            assert "<!channel" not in text and "<@U0EVE" not in text and "<https://evil" not in text
        assert "\u202e" not in json.dumps(SECTIONS[name], ensure_ascii=False)


texts = st.text(min_size=1, max_size=5000)


@settings(max_examples=25, deadline=None)
@given(title=texts, agent=texts, task=texts)
def test_full_home_fits_slacks_limits_for_any_content(title: str, agent: str, task: str) -> None:
    """R14: too much is counted, never an error."""
    asked = [request(run=f"r{n}", asked=question(title=title, agent=agent), reviewers=MANY) for n in range(20)]
    waiting = home.waiting(listed(*asked[: home.MOST_WAITING], more=5000), [GroupId(f"S0{n:03}") for n in range(40)])
    going_on = [(run(f"r{n}", task=task), "https://example.com/x", listed(*asked)) for n in range(6)]
    decided = [decide(r, attempt(r, "U0001"), later()).request for r in asked]
    allowed = home.permissions([permitted(Scope.TOOL, team=agent, tool=title)] * 99)
    sections = [
        home.start(first_time=True),
        waiting,
        home.runs(going_on, 99),
        allowed,
        home.recent(listed(*decided), later()),
    ]
    view = home.view(sections)
    assert not [b for b in view["blocks"] if "Not everything fits" in json.dumps(b)], "all sections have room"
    check_view(view, ("home",))


@pytest.mark.parametrize("section", [[words("x")] * 300, [words("é" * 3000)] * 90])
def test_home_says_that_not_everything_fits(section: list[Block]) -> None:
    """R14"""
    view = home.view([section])
    check_view(view, ("home",))
    assert len(view["blocks"]) <= 100 and size_of(view["blocks"]) < 210_000
    assert "Not everything fits" in json.dumps(view["blocks"][-2])


def test_waiting_request_links_to_its_own_card() -> None:
    """R1"""
    asked = [request(run=f"r{n}") for n in range(5)]
    links = {r.id: f"https://example.slack.com/archives/C0APPROVALS/p{r.id}" for r in asked}
    for made, entry in zip(asked, home.entries(Listed(asked, links, 5)), strict=True):
        found = json.dumps(entry)
        assert [other for other in map(RequestId, links) if f"/p{other}|" in found] == [made.id]


def test_waiting_requests_come_first_and_can_be_rejected() -> None:
    """A reviewer opens Home to decide; somebody for whom nothing waits opens it to start a task."""
    first = VIEWS["whole"]["blocks"][0]
    assert first["text"]["text"].startswith("Waiting for you")
    nothing = home.view([home.start(first_time=False), home.waiting(listed())])["blocks"]
    assert nothing[0]["type"] == "actions"
    (row,) = [b for b in home.waiting(listed(request())) if b["type"] == "actions"]
    assert [(one["text"]["text"], one["action_id"]) for one in row["elements"]] == [
        ("Review", REVIEW),
        ("Reject…", REJECT),
    ]
