"""`countersign policy suggest`: rules from what people always approved."""

from dataclasses import replace
from typing import Any

import pytest

from bot.audit import suggest_cli
from countersign.domain.actions import Action
from countersign.domain.channel_settings import Risk
from countersign.domain.ids import ChannelId
from countersign.domain.json_comparison import Unrecorded
from countersign.policy import file
from countersign.policy.evaluation import Rulebook, WantedAction, judge
from countersign.policy.simulation import Recorded
from countersign.policy.suggestion import Suggestion, Suggestions
from tests.sample_requests import GENERAL, NOW, rules

LEAST = 5
NO_RULES = Rulebook()


def asked(number: int, **changes: Any) -> Recorded:
    """A call that people were asked about under the channel's own settings."""
    arguments = {"amount": 10 + number, "currency": "EUR", "note": f"order {number}"}
    plain = Recorded(
        number, NOW, Action.ASK, "", "rtest", f"q{number}", "support", "clerk", "refund", arguments, GENERAL,
        None, (None,), rules(), rules(),
    )  # fmt: skip
    return replace(plain, **changes)


def made(calls: list[tuple[Recorded, bool | None]], book: Rulebook = NO_RULES) -> list[Suggestion]:
    collected = Suggestions(book)
    for was, approved in calls:
        collected.asked(was)
        collected.decided(was.request, approved)
    return list(collected.made(LEAST))


def test_suggestion_allows_only_what_was_approved() -> None:
    """R23: no larger amount, no other currency, argument, team or channel; a free text is named for the reader."""
    (one,) = made([(asked(n), True) for n in range(LEAST)])
    assert (
        one.clause.condition == 'only(amount, currency, note) and amount >= 10 and amount <= 14 and currency == "EUR"'
    )
    assert (one.asked, one.unlimited) == (LEAST, ("note",))
    book = Rulebook((one.clause,))

    def effect(team: str = "support", channel: str = GENERAL, **arguments: Any) -> Action:
        call = {"amount": 12, "currency": "EUR", "note": "x", **arguments}
        return judge(book, WantedAction(team, "clerk", "refund", call, ChannelId(channel))).then

    assert effect() is Action.ALLOW
    others = (
        effect(amount=15),
        effect(currency="USD"),
        effect(team="other"),
        effect(channel="C0OTHER"),
        effect(to="x"),
    )
    assert others == (Action.ASK,) * 5


@pytest.mark.parametrize("name", ["class", "true", "contains", "x-y", "only", 'a"b', "x" * 300, "é"])
def test_suggestion_accepts_any_argument_name(name: str) -> None:
    """One that was called like a word of the language ended the command."""
    calls: list[tuple[Recorded, bool | None]] = [
        (asked(n, arguments={name: 1, "y" * 150: n}), True) for n in range(LEAST)
    ]
    assert [one.asked for one in made(calls)] in ([LEAST], [])
    assert len(made([(asked(n, arguments={name[:9]: 1}), True) for n in range(LEAST)])) == 1


@pytest.mark.parametrize(
    ("changes", "approved"),
    [
        ({}, False),
        ({"rules": rules(risk=Risk.HIGH)}, True),
        ({"rules": rules(risk=Risk.MEDIUM)}, True),
        ({"arguments": {"amount": Unrecorded()}}, True),
        ({"tool": "ref*"}, True),
        ({"team_says": (Action.ASK,)}, True),
    ],
)
def test_one_deviating_call_prevents_a_suggestion(changes: dict[str, Any], approved: bool) -> None:
    """R23: refused or changed, of more risk, with something hidden, or asked by the team's own code."""
    calls = [(asked(n, **({"tool": "ref*"} if "tool" in changes else {})), True) for n in range(LEAST)]
    assert made([*calls, (asked(LEAST, **changes), approved)]) == []


def test_high_risk_tool_is_never_suggested() -> None:
    calls: list[tuple[Recorded, bool | None]] = [(asked(n), True) for n in range(LEAST)]
    assert made(calls)
    assert made(calls, Rulebook(risks=(("refund", Risk.HIGH),))) == []


def test_permitted_calls_do_not_count_for_suggestions() -> None:
    calls: list[tuple[Recorded, bool | None]] = [(asked(n), True) for n in range(LEAST)]
    (one,) = made([*calls, (asked(LEAST), None)])
    assert one.asked == LEAST


@pytest.mark.parametrize(
    "policy",
    [
        "version: 1\nrules:\n  # the first\n  - name: a\n    then: ask\n    tool: b\n\n# the end\nrisks:\n  c: high\n",
        "version: 1\nrules:\n- {name: a, then: ask, tool: b}",
        "version: 1\n",
        "version: 1\nrules: [{name: a, then: ask, tool: b}]\n",
    ],
)
def test_suggested_rules_are_added_and_the_file_stays(policy: str) -> None:
    """Comments, other rules and risks stay as they were."""
    suggested = made([(asked(n), True) for n in range(LEAST)])
    text = suggest_cli.with_rules(policy, suggested)
    own, new = file.understand(policy), file.understand(text)
    assert [replace(c, line=0) for c in new.clauses] == [
        *(replace(c, line=0) for c in own.clauses),
        suggested[0].clause,
    ]
    assert new.risks == own.risks
    assert [line for line in policy.splitlines() if "#" in line] == [
        line for line in text.splitlines() if "#" in line and "Suggested" not in line
    ]
