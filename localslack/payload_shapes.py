"""A small language for the shapes that Slack accepts, and for its refusals.

A check takes a value, where it stands (a JSON pointer) and the list of problems to add to.
"""

from collections.abc import Callable
from typing import Any

Check = Callable[[Any, str, list[str]], None]


def problem(problems: list[str], pointer: str, text: str) -> None:
    """Add a problem as Slack words it in `response_metadata.messages`."""
    problems.append(f"[ERROR] {text} [json-pointer:{pointer}]")


def string(maximum: int | None = None, minimum: int = 1) -> Check:
    def check(value: Any, pointer: str, problems: list[str]) -> None:
        if not isinstance(value, str):
            problem(problems, pointer, "must be a string")
        elif len(value) < minimum:
            problem(problems, pointer, f"must be more than {minimum - 1} characters")
        elif maximum is not None and len(value) > maximum:
            problem(problems, pointer, f"must be less than {maximum + 1} characters")

    return check


def boolean(value: Any, pointer: str, problems: list[str]) -> None:
    if not isinstance(value, bool):
        problem(problems, pointer, "must be a boolean")


def integer(minimum: int | None = None, maximum: int | None = None) -> Check:
    def check(value: Any, pointer: str, problems: list[str]) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            problem(problems, pointer, "must be an integer")
        elif minimum is not None and value < minimum:
            problem(problems, pointer, f"must be at least {minimum}")
        elif maximum is not None and value > maximum:
            problem(problems, pointer, f"must be at most {maximum}")

    return check


def choice(*allowed: str) -> Check:
    def check(value: Any, pointer: str, problems: list[str]) -> None:
        if value not in allowed:
            problem(problems, pointer, f"must be one of: {', '.join(allowed)}")

    return check


def array(item: Check, maximum: int | None = None, minimum: int = 1) -> Check:
    def check(value: Any, pointer: str, problems: list[str]) -> None:
        if not isinstance(value, list):
            problem(problems, pointer, "must be an array")
            return
        if len(value) < minimum:
            problem(problems, pointer, f"no fewer than {minimum} items allowed")
        if maximum is not None and len(value) > maximum:
            problem(problems, pointer, f"no more than {maximum} items allowed")
            return
        for index, element in enumerate(value):
            item(element, f"{pointer}/{index}", problems)

    return check


def shape(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    """An object with exactly these fields; `type` is checked by `variants`."""
    known = required | (optional or {})

    def check(value: Any, pointer: str, problems: list[str]) -> None:
        if not isinstance(value, dict):
            problem(problems, pointer, "must be an object")
            return
        for name in required:
            if name not in value:
                problem(problems, pointer, f"missing required field: {name}")
        for name, part in value.items():
            if name in known:
                known[name](part, f"{pointer}/{name}", problems)
            elif name != "type":
                problem(problems, pointer, f"invalid additional property: {name}")

    return check


def variants(kinds: dict[str, Check]) -> Check:
    """An object whose `type` says which of these shapes it has."""

    def check(value: Any, pointer: str, problems: list[str]) -> None:
        if not isinstance(value, dict):
            problem(problems, pointer, "must be an object")
        elif "type" not in value:
            problem(problems, pointer, "missing required field: type")
        elif not isinstance(value["type"], str) or value["type"] not in kinds:
            problem(problems, f"{pointer}/type", f"unsupported type: {value['type']}")
        else:
            kinds[value["type"]](value, pointer, problems)

    return check
