"""How people see a call: as its tool draws it, or as it is; never with its secrets."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from bot.core.calls import LONGEST_ARGUMENTS, canonical, is_canonical
from bot.core.recording import told_apart
from bot.core.secrets import hide_in

Renderer = Callable[[dict[str, Any]], str]
"""Draws the arguments, without their secrets, as people read them best. It is quick, and the same for the same."""


def shown(arguments: str, hide: tuple[str, ...], show: Renderer | None) -> tuple[str, str]:
    """What people read of canonical arguments, and what went wrong with it. Only what is not secret is drawn."""
    visible: dict[str, Any] = hide_in(told_apart(json.loads(arguments)), hide)[0]
    plain = json.dumps(visible, indent=2, sort_keys=True, ensure_ascii=False)
    if show is None:
        return plain, ""
    try:
        drawn = show(visible)
    except (Exception, SystemExit) as error:  # the latter would end the worker, and with it all of its runs
        return plain, f"The tool's own view failed ({type(error).__name__}), so its arguments are shown as they are."
    if not isinstance(drawn, str) or not drawn.strip():
        return plain, "The tool's own view shows nothing, so its arguments are shown as they are."
    return drawn, ""


def written(arguments: Mapping[str, Any]) -> str:
    """The arguments as canonical JSON; ValueError, with a sentence for the model, if no person could judge them."""
    try:
        text = canonical(arguments)
        text.encode()
    except (ValueError, RecursionError) as wrong:
        reason = str(wrong).split("\n")[0][:200]
        raise ValueError(
            f"The call was not made, and nobody was asked: its arguments cannot be shown to people ({reason}). Use "
            "only texts, numbers, lists and objects."
        ) from None
    if len(text) > LONGEST_ARGUMENTS:
        raise ValueError(
            f"The call was not made, and nobody was asked: its arguments have {len(text):,} characters, at most "
            f"{LONGEST_ARGUMENTS:,} can be judged. Make them shorter, or put the long part where the tool can read it."
        )
    if not is_canonical(text):
        raise ValueError("The call was not made, and nobody was asked: its arguments name one thing twice.")
    return text
