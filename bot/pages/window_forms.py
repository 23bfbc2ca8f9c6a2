"""Turn windows of Slack into forms of a page, and read the forms back.

The input is converted to Slack's format. So a page has the same inputs as a window, and the same functions read both.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..slack.views.block_kit import Block
from ..slack.views.modal_parts import READ, View

Entered = Mapping[str, Sequence[str]]
"""Submitted values by the name of the input."""
_CHOICES: Final = ("static_select", "radio_buttons", "checkboxes", "multi_static_select")


def first(form: Entered, name: str) -> str:
    """Return the first value of a field; "" if it was not sent."""
    return "".join(form.get(name, ())[:1])


class FormOption(NamedTuple):
    """One of several that may be chosen."""

    value: str
    text: str
    more: str
    chosen: bool


class FormInput(NamedTuple):
    """One input. `kind`: line, lines, number, menu, one or several."""

    name: str
    kind: str
    label: str
    hint: str
    required: bool
    value: str = ""
    longest: int = 0
    least: str = ""
    most: str = ""
    step: str = ""
    options: tuple[FormOption, ...] = ()
    problem: str = ""


def fields_of(
    view: View, prefix: str, entered: Entered | None = None, problems: Mapping[str, str] | None = None
) -> list[FormInput]:
    """Draw the inputs of a window, whose names begin with `prefix`.

    The values in `entered` are shown again, with `problems` beside them. The page shows the whole content, so it has no
    checkbox to confirm that it was read elsewhere.
    """
    return [
        _field(block, f"{prefix}{block['block_id']}", entered, (problems or {}).get(block["block_id"], ""))
        for block in _inputs(view)
    ]


def _inputs(view: View) -> list[Block]:
    return [block for block in view["blocks"] if block["type"] == "input" and block["block_id"] != READ]


def _field(block: Block, name: str, entered: Entered | None, problem: str) -> FormInput:
    element: dict[str, Any] = block["element"]
    values = None if entered is None else entered.get(name, ())
    common = {
        "name": name,
        "label": block["label"]["text"],
        "hint": (block.get("hint") or {}).get("text", ""),
        "required": not block.get("optional", False),
        "problem": problem,
    }
    if element["type"] in _CHOICES:
        initial = [element.get("initial_option") or {}, *(element.get("initial_options") or [])]
        chosen = {str(one.get("value")) for one in initial} if values is None else set(values)
        options = tuple(
            FormOption(
                one["value"],
                one["text"]["text"],
                (one.get("description") or {}).get("text", ""),
                one["value"] in chosen,
            )
            for one in element["options"]
        )
        kind = {"static_select": "menu", "radio_buttons": "one"}.get(element["type"], "several")
        return FormInput(kind=kind, options=options, **common)
    value = str(element.get("initial_value") or "") if values is None else "".join(values[:1])
    if element["type"] == "number_input":
        return FormInput(
            kind="number",
            value=value,
            least=str(element.get("min_value", "")),
            most=str(element.get("max_value", "")),
            step="any" if element.get("is_decimal_allowed") else "1",
            **common,
        )
    kind = "lines" if element.get("multiline") else "line"
    return FormInput(kind=kind, value=value, longest=int(element.get("max_length") or 0), **common)


def answered(view: View, prefix: str, entered: Entered) -> View:
    """Return the window as Slack would send it with what was entered on the page."""
    state = {}
    for block in _inputs(view):
        values = [value.replace("\r\n", "\n") for value in entered.get(f"{prefix}{block['block_id']}", ())]
        state[block["block_id"]] = {"entered": _state(block["element"], values)}
    blocks = [block for block in view["blocks"] if block.get("block_id") != READ]
    return {**view, "blocks": blocks, "state": {"values": state}}


def _state(element: dict[str, Any], values: list[str]) -> dict[str, Any]:
    if element["type"] not in _CHOICES:
        return {"value": values[0] if values and values[0] else None}
    offered = {one["value"]: {"value": one["value"]} for one in element["options"]}
    chosen = [offered[value] for value in dict.fromkeys(values) if value in offered]
    if element["type"] in ("static_select", "radio_buttons"):
        return {"selected_option": chosen[0] if len(chosen) == 1 else None}
    return {"selected_options": chosen}
