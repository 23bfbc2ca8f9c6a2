"""Titles of calls: templates that are refused when they are given, and values that stay data in them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.domain import calls
from countersign.domain.calls import title_of

SCHEMA: dict[str, Any] = {
    "properties": {
        "euros": {"type": "number"},
        "order": {"type": "integer"},
        "to": {"type": "string"},
        "express": {"type": "boolean"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "size": {"$ref": "#/$defs/Size"},
        "rows": {"type": "array"},
        "card": {"type": "object"},
        "any": {},
    },
    "$defs": {"Size": {"enum": ["small", "large"]}},
}


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("Refund {euro}", "names {euro}, and the tool takes euros, order"),
        ("Refund {}", "names {}"),
        ("Refund {0}", "names {0}"),
        ("Refund {euros.real}", "names {euros.real}"),
        ("Refund {euros!r}", "conversion"),
        ("Refund {euros:{order}}", "format in a format"),
        ("Refund {euros:.2q}", "format “.2q” of {euros}"),
        ("Refund {order:.2s}", "doesn't work for type integer"),
        ("Mail {to:>10}", "a text takes no format"),
        ("Pay {rows}", "{rows} is a list"),
        ("Pay {card}", "{card} is a list, an object"),
        ("Pay {any}", "unknown type"),
        ("Refund {euros", "can't be read"),
        ("Pay\nnow", "must be one line"),
        ("x" * 101, "one line of 1 to 100"),
        (" ", "must be one line"),
    ],
)
def test_a_template_that_does_not_fit_its_tool_is_refused_with_a_sentence(template: str, why: str) -> None:
    """R7: when it is given, and never when an agent calls."""
    assert why in calls.why_not_title(template, SCHEMA)


def test_what_nobody_may_see_stands_in_no_title() -> None:
    """R15"""
    assert "hidden" in calls.why_not_title("Send to {to}", SCHEMA, ("to.name",))
    assert not calls.why_not_title("Send to {to}", SCHEMA, ("card",))


def test_a_template_is_filled_with_what_the_call_would_do() -> None:
    template = "Refund {euros:.2f} EUR for order {order} to {to}, express: {express}, {size}"
    assert not calls.why_not_title(template, SCHEMA)
    values = {"euros": 45, "order": 17, "to": "ann@example.com", "express": True, "size": "small"}
    title = calls.filled_title(template, values)
    assert title == "Refund 45.00 EUR for order 17 to ann@example.com, express: yes, small"


@given(st.text())
def test_no_text_passes_for_the_words_of_the_template(text: str) -> None:
    """R13, R15: it is one word, or stands in quotes that it cannot close, on one line, and is cut."""
    title = calls.filled_title("Mail {to} now", {"to": text})
    inner = title.removeprefix("Mail ").removesuffix(" now")
    assert len(title) <= 80 and "\n" not in title
    assert (inner[:1], inner[-1:]) == ("“", "”") or " " not in inner
    assert not set(inner[1:-1]) & set("“”")


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_a_value_that_cannot_stand_in_a_title_is_told_to_the_caller(value: object) -> None:
    """The call is titled by its name then."""
    with pytest.raises(ValueError, match="can appear in a title"):
        calls.filled_title("Mail {to}", {"to": value})


@pytest.mark.parametrize(
    ("tool", "arguments", "description", "title"),
    [
        ("send_mail", {"to": "a@example.com", "body": "x" * 80}, "", "Send mail: to a@example.com"),
        (
            "openTicket",
            {"order": 17},
            "Open a ticket for an order. It is free.",
            "Open a ticket for an order: order 17",
        ),
        ("look_up", {}, "Returns the order.", "Look up"),
        ("pay", {"order": "17", "rows": [1], "really": True}, "", "Pay: order “17”"),
        ("pay", {str(n) * 9: "y" * 40 for n in range(9)}, "", "Pay"),
    ],
)
def test_a_tool_without_a_title_has_one_of_words(
    tool: str, arguments: dict[str, Any], description: str, title: str
) -> None:
    """Its name is never shown as code; long, hidden kinds of values stand in the content alone."""
    assert title_of(tool, arguments, description) == title
