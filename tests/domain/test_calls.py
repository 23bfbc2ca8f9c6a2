"""Titles of calls: templates that are refused when they are given, and values that stay data in them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.domain import calls
from countersign.domain.calls import question_text, title_of

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
def test_title_template_that_does_not_fit_is_refused(template: str, why: str) -> None:
    """R7: when it is given, and never when an agent calls."""
    assert why in calls.why_not_title(template, SCHEMA)


def test_title_template_cannot_use_hidden_arguments() -> None:
    """R15"""
    assert "hidden" in calls.why_not_title("Send to {to}", SCHEMA, ("to.name",))
    assert not calls.why_not_title("Send to {to}", SCHEMA, ("card",))


def test_title_template_is_filled_with_the_arguments() -> None:
    """Numbers by their format; yes and no for truth values."""
    template = "Refund {euros:.2f} EUR for order {order} to {to}, express: {express}, {size}"
    assert not calls.why_not_title(template, SCHEMA)
    values = {"euros": 45, "order": 17, "to": "ann@example.com", "express": True, "size": "small"}
    title = calls.filled_title(template, values)
    assert title == "Refund 45.00 EUR for order 17 to ann@example.com, express: yes, small"


@given(st.text())
def test_argument_cannot_imitate_the_templates_text(text: str) -> None:
    """R13, R15: it is one word, or stands in quotes that it cannot close, on one line, and is cut."""
    title = calls.filled_title("Mail {to} now", {"to": text})
    inner = title.removeprefix("Mail ").removesuffix(" now")
    assert len(title) <= 80 and "\n" not in title
    assert (inner[:1], inner[-1:]) == ("“", "”") or " " not in inner
    assert not set(inner[1:-1]) & set("“”")


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_argument_unfit_for_a_title_is_reported(value: object) -> None:
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
        ("refund", {"order": 17, "euros": 45}, "", "Refund: order 17, 45.00 EUR"),
        ("refund", {"order": 17, "amount": 0.005, "currency": "EUR"}, "", "Refund: order 17, 0.005 EUR"),
        ("refund", {"amount": 1e300, "currency": "<@U0EVE>"}, "", "Refund: amount 1e+300, currency “<@U0EVE>”"),
        (
            "pay",
            {"invoices": [1, 2, 3], "by": "Ann, approved by Bob"},
            "",
            "Pay: 3 invoices, by “Ann, approved by Bob”",
        ),
        ("log_in", {"user": "ann", "pin": "⟦hidden: 4 characters⟧"}, "", "Log in: user ann"),
        (
            "post",
            {"text": "Dear vendor,\nwe would like to have ten percent off the price."},
            "",
            "Post: text “Dear vendor, we would like to have ten…”",
        ),
    ],
)
def test_tool_without_a_template_gets_a_readable_title(
    tool: str, arguments: dict[str, Any], description: str, title: str
) -> None:
    """Its name is never shown as code; long, hidden kinds of values stand in the content alone."""
    assert title_of(tool, arguments, description) == title


QUERY = "select * from orders where customer = 17 and total > 3"


@pytest.mark.parametrize(
    ("arguments", "title"),
    [
        ({"commands": ["rm -rf build"], "timeout_ms": 5000}, "Do: commands “rm -rf build”, timeout ms 5000"),
        ({"commands": ["rm -rf build", "ls"]}, "Do: 2 commands (“rm -rf build”, …)"),
        ({"command": ["bash", "-c", "rm a"], "timeout": 5}, "Do: command “bash -c 'rm a'”, timeout 5"),
        ({"host": "db1", "command": "reboot"}, "Do: command reboot, host db1"),
        ({"limit": 10, "query": QUERY}, "Do: query “select * from orders where customer = 1…”, limit 10"),
        ({"max_tokens": 5, "prompt": QUERY}, "Do: prompt “select * from orders where customer = 1…”, max tokens 5"),
        ({"maxPrice": 40, "order": 17}, "Do: order 17, max Price 40"),
        ({"timeout": 5, "really": True}, "Do: timeout 5"),
        ({"timeout": 5, "command": "⟦hidden: 4 characters⟧"}, "Do"),
        ({"timeout": 5, "commands": ["⟦hidden: 4 characters⟧"]}, "Do"),
        ({"to": ["⟦hidden: 4 characters⟧", "ann"]}, "Do: 2 to"),
        ({"to": ["ann@example.com", "bob"]}, "Do: 2 to (ann@example.com, …)"),
        ({"to": ["ann, approved by Bob"]}, "Do: to “ann, approved by Bob”"),
        ({"_": 1, "": 2, "argv": [], "cmd": [1, 2]}, "Do: 2 cmd, _ 1"),
    ],
)
def test_title_says_what_runs_before_how(arguments: dict[str, Any], title: str) -> None:
    """A command counts also if it is long or a list, and no timeout stands in its place."""
    assert title_of("do", arguments) == title


def test_given_title_gets_no_timeout_without_the_matter() -> None:
    assert calls.with_details("Ask the model?", {"prompt": QUERY, "timeout": 5}) == "Ask the model?"
    assert calls.with_details("Ask it?", {"query": QUERY}) == "Ask it: query “select * from orders where customer = 1…”"
    assert calls.with_details("Run ls?", {"commands": ["ls"], "timeout": 5}) == "Run ls?"


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Refund?", "Refund: order 17, 45.00 EUR"),
        ("give the money back", "give the money back: order 17, 45.00 EUR"),
        ("Refund order 17?", "Refund order 17?"),
        ("Refund order 171?", "Refund order 171: order 17, 45.00 EUR"),
        ("Refund it " + "x" * 100, "Refund it " + "x" * 100),
    ],
)
def test_title_includes_the_arguments_unless_already_there(title: str, shown: str) -> None:
    """A card is told from others by its first line, and so is a search result."""
    assert calls.with_details(title, {"order": 17, "euros": 45}) == shown


def test_arguments_come_in_the_declared_order() -> None:
    schema: dict[str, Any] = {"properties": {"order": {}, "euros": {}, "why": {}}}
    assert list(calls.in_order({"euros": 1, "extra": 2, "order": 3}, schema)) == ["order", "euros", "extra"]


PAYMENTS = [{"supplier": "Paper", "euros": 0.1, "order": 7}, {"supplier": "Ink", "euros": 0.2, "order": 8}]


@pytest.mark.parametrize(
    ("template", "title"),
    [
        ("Pay {count} invoices ({euros:,.2f} EUR)", "Pay 2 invoices (0.30 EUR)"),
        ("Pay {euros} EUR", "Pay 0.3 EUR"),
        ("", "Pay ×2 (0.30 EUR)"),
        ("Pay {supplier}", "Pay ×2 (0.30 EUR)"),
    ],
)
def test_batch_title_shows_exact_sums(template: str, title: str) -> None:
    assert calls.batch_title("pay", PAYMENTS, template) == title


def test_hidden_argument_is_not_summed() -> None:
    """R15: its place holds a mark by then."""
    hidden = [{**one, "euros": "⟦hidden: 3 characters⟧"} for one in PAYMENTS]
    assert calls.batch_title("pay", hidden, "Pay {euros} EUR") == "Pay ×2"


@pytest.mark.parametrize(
    ("template", "why"),
    [("Pay {to}", "no sum"), ("Pay {nothing}", "names {nothing}"), ("Pay {count} times: {euros:,.2f} EUR", "")],
)
def test_batch_title_template_needs_count_and_sums(template: str, why: str) -> None:
    """R7: one that does not fit the tool is refused with a sentence."""
    found = calls.why_not_batch(template, SCHEMA)
    assert why in found and bool(found) == bool(why)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Deploy 2.1?", "Deploy 2.1?"),
        ({"prompt": "The agent guessed: 5."}, "The agent guessed: 5."),
        ({"draft": "Dear Pia", "instructions": "Please review"}, "Please review\n\nDraft: Dear Pia"),
        ({"question": "Do you approve?", "euros": 5}, "Do you approve?\n\nEuros: 5"),
        ({"draft": "Dear Pia"}, "Draft: Dear Pia"),
        ({"question": " ", "draft": ""}, "Question: “ ”\nDraft: “”"),
        ([1, 2], "[\n  1,\n  2\n]"),
        ({}, "{}"),
    ],
)
def test_question_about_an_object_begins_with_its_sentence(value: Any, text: str) -> None:
    assert question_text(value) == text
