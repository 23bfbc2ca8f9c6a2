"""Inputs of modals and messages: their values, and Slack's own checks."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from .errors import CannotDo, Json
from .workspace import Workspace, elements_of

Values = dict[str, dict[str, Json]]

# Which field of an element's state holds its value, and which field of the element says what it starts with.
FIELDS: dict[str, tuple[str, str]] = {
    "plain_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "rich_text_input": ("rich_text_value", "initial_value"),
    "static_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "multi_static_select": ("selected_options", "initial_options"),
    "checkboxes": ("selected_options", "initial_options"),
    "users_select": ("selected_user", "initial_user"),
    "multi_users_select": ("selected_users", "initial_users"),
    "channels_select": ("selected_channel", "initial_channel"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
    "file_input": ("files", "initial_files"),
}


def state_of(blocks: Iterable[Json], kept: Values | None = None) -> Values:
    """Return the values that the blocks hold.

    Values kept from before (same block_id, action_id, type), else the initial ones.
    """
    values: Values = {}
    for element in elements_of(list(blocks)):
        if element["type"] not in FIELDS:
            continue
        field, initial = FIELDS[element["type"]]
        block_id, action_id = element["block_id"], element["action_id"]
        before = (kept or {}).get(block_id, {}).get(action_id)
        if before and before.get("type") == element["type"]:
            value = before
        else:
            empty: Any = [] if field.startswith("selected_") and field.endswith("s") else None
            value = {"type": element["type"], field: element.get(initial, empty)}
        values.setdefault(block_id, {})[action_id] = value
    return values


def merged(blocks: list[Json], current: Values, entered: Values) -> Values:
    """The current values with what the person filled in.

    Raises CannotDo for a field that is not there.
    """
    values: Values = {block_id: dict(actions) for block_id, actions in current.items()}
    types = {(e["block_id"], e["action_id"]): e["type"] for e in elements_of(blocks)}
    for block_id, actions in entered.items():
        for action_id, value in actions.items():
            if types.get((block_id, action_id)) not in FIELDS:
                raise CannotDo(f"There is no input {action_id!r} in the block {block_id!r}.")
            kind = types[(block_id, action_id)]
            field = FIELDS[kind][0]
            held = value[field] if field in value else values[block_id][action_id].get(field)
            values[block_id][action_id] = {"type": kind, field: held}
    return values


def refusals(blocks: list[Json], values: Values, workspace: Workspace) -> dict[str, str]:
    """Return what Slack tells the person, by block_id, before it sends anything.

    Empty when all is well.
    """
    errors: dict[str, str] = {}
    for block in blocks:
        if block["type"] != "input":
            continue
        element = block["element"]
        held = values.get(block["block_id"], {}).get(element["action_id"], {})
        value = held.get(FIELDS[element["type"]][0])
        if value in (None, "", []):
            if not block.get("optional"):
                errors[block["block_id"]] = "Please complete this required field."
        elif (refusal := _refusal(element, value, workspace)) is not None:
            errors[block["block_id"]] = refusal
    return errors


def _refusal(element: Json, value: Any, workspace: Workspace) -> str | None:
    kind = element["type"]
    if kind == "plain_text_input":
        length = len(value.encode("utf-16-le")) // 2  # as Slack's client counts
        if length < element.get("min_length", 0):
            return f"Must be at least {element['min_length']} characters long."
        if length > (most := element.get("max_length", 3000)):
            return f"Must be at most {most} characters long."
    elif kind == "number_input":
        return _number_refusal(element, value)
    elif kind == "email_text_input" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
        return "Enter a valid email address."
    elif kind == "url_text_input" and not re.fullmatch(r"https?://\S+", value):
        return "Enter a valid URL."
    elif kind in ("static_select", "radio_buttons", "multi_static_select", "checkboxes"):
        options = options_of(element)
        chosen = value if isinstance(value, list) else [value]
        if any(option not in options for option in chosen):
            return "Choose one of the options."
    if isinstance(value, list) and len(value) > element.get("max_selected_items", len(value)):
        return f"Choose at most {element['max_selected_items']}."
    known: dict[str, Collection[str]] = {
        "user": workspace.users,
        "channel": workspace.channels,
        "conversation": workspace.channels,
    }
    for word, table in known.items():
        if word in kind and any(name not in table for name in (value if isinstance(value, list) else [value])):
            return f"Choose a {word} that exists."
    return None


def _number_refusal(element: Json, value: Any) -> str | None:
    pattern = r"-?\d+(\.\d+)?" if element.get("is_decimal_allowed") else r"-?\d+"
    if not re.fullmatch(pattern, str(value)):
        return "Enter a number." if element.get("is_decimal_allowed") else "Enter a whole number."
    if "min_value" in element and float(value) < float(element["min_value"]):
        return f"Must be at least {element['min_value']}."
    if "max_value" in element and float(value) > float(element["max_value"]):
        return f"Must be at most {element['max_value']}."
    return None


def options_of(element: Json) -> list[Json]:
    """All options of a select, grouped or not."""
    options = list(element.get("options") or [])
    for group in element.get("option_groups") or []:
        options += group["options"]
    return options


def filled(element: Json, value: Any, workspace: Workspace) -> Json:
    """Turn a plain value into Slack's shape.

    It names an option by value or text, a person like @bob, a channel like #general.

    Raises CannotDo for an option or name that is not there.
    """
    kind = element["type"]
    if kind not in FIELDS:
        raise CannotDo(f"A {kind} holds no value.")
    field = FIELDS[kind][0]

    def in_slacks_shape(plain: Any) -> Any:
        if not isinstance(plain, str):
            return plain
        if "option" in field:
            for option in options_of(element):
                if plain in (option["value"], option["text"]["text"]):
                    return option
            offered = ", ".join(option["text"]["text"] for option in options_of(element))
            raise CannotDo(f"{plain!r} is not among the options: {offered}.")
        if "user" in field:
            return workspace.user(plain).id
        if "channel" in field or "conversation" in field:
            return workspace.channel(plain).id
        return plain

    many = field.endswith("s") and field != "files"
    if many:
        chosen = value if isinstance(value, list | tuple | set) else [value]
        return {"type": kind, field: [in_slacks_shape(plain) for plain in chosen]}
    if field == "value" and value is not None:
        value = str(value)
    return {"type": kind, field: in_slacks_shape(value)}
