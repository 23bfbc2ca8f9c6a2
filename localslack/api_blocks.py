"""blocks.validate: checks blocks, a message or a view, and posts nothing."""

import re
from collections.abc import Callable
from typing import Any, Final

from .errors import Json, SlackError
from .methods import TIER_3, Arguments, Method
from .payload_checks import problems_of_blocks, problems_of_view
from .payload_shapes import problem
from .platform import Platform

_TOLD: Final = re.compile(r"\[ERROR\] (?P<message>.*) \[json-pointer:(?P<pointer>[^\]]*)\]", re.DOTALL)


def _validate(_: Platform, args: Arguments) -> Json:
    """Check one payload.

    It takes no scopes and no token. A message has `blocks` and `attachments`, and no `text`:
    https://github.com/slackapi/node-slack-sdk/pull/2659
    """
    given = [name for name in _CHECKS if args.values.get(name)]
    if len(given) != 1:
        raise SlackError("invalid_arguments", ["[ERROR] provide exactly one of blocks, message, view"])
    (name,) = given
    if problems := _CHECKS[name](args.data(name, "invalid_arguments")):
        raise SlackError(f"invalid_{name}", errors=[_described(name, told) for told in problems])
    return {}


def _of_message(message: Any) -> list[str]:
    problems: list[str] = []
    if not isinstance(message, dict) or not message.get("blocks"):
        problem(problems, "", "missing required field: blocks")
        return problems
    for name in sorted(message.keys() - {"blocks", "attachments"}):
        problem(problems, "", f"invalid additional property: {name}")
    return problems + problems_of_blocks(message["blocks"])


def _described(name: str, told: str) -> Json:
    found = _TOLD.fullmatch(told)
    assert found is not None, "every problem has its place"
    pointer = found["pointer"].removeprefix(f"/{name}")
    return {"pointer": pointer, "code": "failed_constraint", "message": found["message"]}


_CHECKS: Final[dict[str, Callable[[Any], list[str]]]] = {
    "blocks": problems_of_blocks,
    "message": _of_message,
    "view": lambda view: problems_of_view(view, ("modal", "home")),
}
METHODS = {"blocks.validate": Method(_validate, TIER_3)}
