"""Shapes and limits of Block Kit.

Sources: https://docs.slack.dev/reference/block-kit and slack-sdk's models.
"""

import re
from typing import Any

from .payload_shapes import Check, array, boolean, choice, integer, problem, shape, string, variants

ID = string(255)
_TEXT_OPTIONS: dict[str, Check] = {"emoji": boolean}
_MRKDWN_OPTIONS: dict[str, Check] = {"verbatim": boolean}


def plain(maximum: int, minimum: int = 1) -> Check:
    return variants({"plain_text": shape({"text": string(maximum, minimum)}, _TEXT_OPTIONS)})


def any_text(maximum: int) -> Check:
    return variants(
        {
            "plain_text": shape({"text": string(maximum)}, _TEXT_OPTIONS),
            "mrkdwn": shape({"text": string(maximum)}, _MRKDWN_OPTIONS),
        }
    )


def _date(value: Any, pointer: str, problems: list[str]) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        problem(problems, pointer, "must be a date of the form YYYY-MM-DD")


def _time(value: Any, pointer: str, problems: list[str]) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[0-2]\d:[0-5]\d", value):
        problem(problems, pointer, "must be a time of the form HH:mm")


CONFIRM = shape(
    {"title": plain(100), "text": any_text(300), "confirm": plain(30), "deny": plain(30)},
    {"style": choice("primary", "danger")},
)
OPTION = shape({"text": any_text(75), "value": string(150)}, {"description": any_text(75), "url": string(3000)})
PLAIN_OPTION = shape({"text": plain(75), "value": string(150)}, {"description": plain(75), "url": string(3000)})
OPTION_GROUP = shape({"label": plain(75), "options": array(PLAIN_OPTION, 100)})
DISPATCH = shape({}, {"trigger_actions_on": array(choice("on_enter_pressed", "on_character_entered"), 2)})

_COMMON: dict[str, Check] = {"action_id": ID, "focus_on_load": boolean}
_ASKED: dict[str, Check] = {**_COMMON, "confirm": CONFIRM}
_HINTED: dict[str, Check] = {**_ASKED, "placeholder": plain(150)}
_TYPED: dict[str, Check] = {**_COMMON, "placeholder": plain(150), "dispatch_action_config": DISPATCH}
_ONE: dict[str, Check] = {"initial_option": PLAIN_OPTION}
_MANY: dict[str, Check] = {"initial_options": array(PLAIN_OPTION, 100), "max_selected_items": integer(1)}
_RESPONSE: dict[str, Check] = {"response_url_enabled": boolean}


def _static(more: dict[str, Check]) -> Check:
    base = shape(
        {}, {**_HINTED, **more, "options": array(PLAIN_OPTION, 100), "option_groups": array(OPTION_GROUP, 100)}
    )

    def check(value: Any, pointer: str, problems: list[str]) -> None:
        base(value, pointer, problems)
        if ("options" in value) == ("option_groups" in value):
            problem(problems, pointer, "needs exactly one of: options, option_groups")
            return
        _initials(value, pointer, problems)

    return check


def _initials(value: Any, pointer: str, problems: list[str]) -> None:
    """Refuse an initial choice that is not exactly one of the options."""
    options = list(value.get("options") or [])
    for group in value.get("option_groups") or []:
        options += group.get("options") or [] if isinstance(group, dict) else []
    chosen = list(value.get("initial_options") or [])
    chosen += [value["initial_option"]] if "initial_option" in value else []
    if any(option not in options for option in chosen):
        problem(problems, pointer, "initial option must exactly match one of the options")


def _listed(more: dict[str, Check]) -> Check:
    base = shape({"options": array(OPTION, 10)}, {**_ASKED, **more})

    def check(value: Any, pointer: str, problems: list[str]) -> None:
        base(value, pointer, problems)
        _initials(value, pointer, problems)

    return check


_BUTTON = shape(
    {"text": plain(75)},
    {
        "action_id": ID,
        "url": string(3000),
        "value": string(2000),
        "style": choice("primary", "danger"),
        "confirm": CONFIRM,
        "accessibility_label": string(75),
    },
)
_FILTER = shape(
    {},
    {
        "include": array(choice("im", "mpim", "private", "public"), 4),
        "exclude_external_shared_channels": boolean,
        "exclude_bot_users": boolean,
    },
)
_CONVERSATION: dict[str, Check] = {"filter": _FILTER, "default_to_current_conversation": boolean}
_IDS = array(string(), 100)
_MOST: dict[str, Check] = {"max_selected_items": integer(1)}

SELECTS: dict[str, Check] = {
    "static_select": _static(_ONE),
    "multi_static_select": _static(_MANY),
    "users_select": shape({}, {**_HINTED, "initial_user": string()}),
    "multi_users_select": shape({}, {**_HINTED, **_MOST, "initial_users": _IDS}),
    "channels_select": shape({}, {**_HINTED, **_RESPONSE, "initial_channel": string()}),
    "multi_channels_select": shape({}, {**_HINTED, **_MOST, "initial_channels": _IDS}),
    "conversations_select": shape({}, {**_HINTED, **_RESPONSE, **_CONVERSATION, "initial_conversation": string()}),
    "multi_conversations_select": shape({}, {**_HINTED, **_MOST, **_CONVERSATION, "initial_conversations": _IDS}),
    "checkboxes": _listed({"initial_options": array(OPTION, 10)}),
    "radio_buttons": _listed({"initial_option": OPTION}),
    "datepicker": shape({}, {**_HINTED, "initial_date": _date}),
    "timepicker": shape({}, {**_HINTED, "initial_time": _time, "timezone": string()}),
    "datetimepicker": shape({}, {**_ASKED, "initial_date_time": integer(0)}),
}
BUTTONS: dict[str, Check] = {
    "button": _BUTTON,
    "overflow": shape({"options": array(PLAIN_OPTION, 5)}, {"action_id": ID, "confirm": CONFIRM}),
}
IMAGE = shape(
    {"alt_text": string(2000)},
    {"image_url": string(3000), "slack_file": shape({}, {"id": string(), "url": string()})},
)

_STYLE = shape({}, dict.fromkeys(("bold", "italic", "strike", "code", "underline", "highlight"), boolean))
_STYLED: dict[str, Check] = {"style": _STYLE}
_INLINE: dict[str, Check] = {
    "text": shape({"text": string()}, _STYLED),
    "link": shape({"url": string()}, {**_STYLED, "text": string(), "unsafe": boolean}),
    "user": shape({"user_id": string()}, _STYLED),
    "usergroup": shape({"usergroup_id": string()}, _STYLED),
    "channel": shape({"channel_id": string()}, _STYLED),
    "emoji": shape({"name": string()}, {**_STYLED, "unicode": string(), "skin_tone": integer(1, 6)}),
    "broadcast": shape({"range": choice("here", "channel", "everyone")}, _STYLED),
    "color": shape({"value": string()}),
    "date": shape({"timestamp": integer(0), "format": string()}, {**_STYLED, "url": string(), "fallback": string()}),
}
_INLINES = array(variants(_INLINE), None, 0)
_SECTION = shape({"elements": _INLINES})
_RICH_TEXT = shape(
    {
        "elements": array(
            variants(
                {
                    "rich_text_section": _SECTION,
                    "rich_text_preformatted": shape(
                        {"elements": array(variants({k: _INLINE[k] for k in ("text", "link")}), None, 0)},
                        {"border": integer(0, 1), "language": string()},
                    ),
                    "rich_text_quote": shape({"elements": _INLINES}, {"border": integer(0, 1)}),
                    "rich_text_list": shape(
                        {
                            "style": choice("bullet", "ordered"),
                            "elements": array(variants({"rich_text_section": _SECTION}), None, 0),
                        },
                        {"indent": integer(0, 8), "offset": integer(0), "border": integer(0, 1)},
                    ),
                }
            )
        )
    },
    {"block_id": ID},
)
INPUTS: dict[str, Check] = {
    **SELECTS,
    "plain_text_input": shape(
        {},
        {
            **_TYPED,
            "initial_value": string(3000, 0),
            "multiline": boolean,
            "min_length": integer(0, 3000),
            "max_length": integer(1, 3000),
        },
    ),
    "number_input": shape(
        {"is_decimal_allowed": boolean},
        {**_TYPED, "initial_value": string(), "min_value": string(), "max_value": string()},
    ),
    "email_text_input": shape({}, {**_TYPED, "initial_value": string()}),
    "url_text_input": shape({}, {**_TYPED, "initial_value": string()}),
    "rich_text_input": shape({}, {**_TYPED, "initial_value": variants({"rich_text": _RICH_TEXT})}),
    "file_input": shape({}, {"action_id": ID, "filetypes": array(string()), "max_files": integer(1, 10)}),
}


def _section(value: Any, pointer: str, problems: list[str]) -> None:
    shape(
        {},
        {
            "block_id": ID,
            "text": any_text(3000),
            "fields": array(any_text(2000), 10),
            "accessory": variants({**SELECTS, **BUTTONS, "image": IMAGE}),
            "expand": boolean,
        },
    )(value, pointer, problems)
    if "text" not in value and "fields" not in value:
        problem(problems, pointer, "missing required field: text or fields")


_CONTEXT_PART = variants(
    {
        "image": IMAGE,
        "mrkdwn": shape({"text": string(3000)}, _MRKDWN_OPTIONS),
        "plain_text": shape({"text": string(3000)}, _TEXT_OPTIONS),
    }
)
_TASK = shape(
    {"task_id": string(), "title": string()},
    {
        "block_id": ID,
        "status": choice("pending", "in_progress", "complete", "error"),
        "details": variants({"rich_text": _RICH_TEXT}),
        "output": variants({"rich_text": _RICH_TEXT}),
        "sources": array(variants({"url": shape({"url": string(), "text": string()})})),
    },
)
BLOCKS: dict[str, Check] = {
    "section": _section,
    "header": shape({"text": plain(150)}, {"block_id": ID}),
    "divider": shape({}, {"block_id": ID}),
    "context": shape({"elements": array(_CONTEXT_PART, 10)}, {"block_id": ID}),
    "actions": shape({"elements": array(variants({**SELECTS, **BUTTONS}), 25)}, {"block_id": ID}),
    "input": shape(
        {"label": plain(2000), "element": variants(INPUTS)},
        {"block_id": ID, "hint": plain(2000), "optional": boolean, "dispatch_action": boolean},
    ),
    "image": shape(
        {"alt_text": string(2000)},
        {
            "block_id": ID,
            "title": plain(2000),
            "image_url": string(3000),
            "slack_file": shape({}, {"id": string(), "url": string()}),
        },
    ),
    "rich_text": _RICH_TEXT,
    "markdown": shape({"text": string(12_000)}, {"block_id": ID}),
    "task_card": _TASK,
    "plan": shape({"title": string()}, {"block_id": ID, "tasks": array(_TASK, 50, 0)}),
}
