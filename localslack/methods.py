"""Methods of the Web API, as their pages describe them, and their arguments."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import Json, SlackError

TIER_1, TIER_2, TIER_3, TIER_4, HUNDREDS = 20, 20, 50, 100, 600
"""Calls a minute. Tier 1 is "1+, with bursts", but each connection of Socket Mode takes one: as many as in tier 2."""


@dataclass(frozen=True)
class Method:
    """A method: what it does, and how Slack lets it be called.

    `tier`: calls a minute, None for as many as one likes. `scopes`: any one of these is enough; see
    https://docs.slack.dev/reference/scopes. `reads`: it takes a query or a form, and of a JSON body Slack reads
    nothing: "Accepted content types" on each page of https://docs.slack.dev/reference/methods.
    """

    call: Callable[[Any, "Arguments"], Json]
    tier: int | None = None
    scopes: tuple[str, ...] = ()
    reads: bool = False


class Arguments:
    """The arguments of a call: texts from forms, values from JSON."""

    def __init__(self, values: Json) -> None:
        self.values = values

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name)
        return default if value is None else str(value)

    def needed(self, name: str, error: str = "invalid_arguments") -> str:
        """A text that must be there; else raises SlackError with that code."""
        value = self.text(name)
        if not value:
            raise SlackError(error, [f"[ERROR] missing required field: {name}"])
        return value

    def flag(self, name: str) -> bool:
        return str(self.values.get(name)).lower() in ("1", "true")

    def number(self, name: str, default: int) -> int:
        try:
            return int(self.text(name) or default)
        except ValueError:
            raise SlackError("invalid_arguments", [f"[ERROR] must be an integer [json-pointer:/{name}]"]) from None

    def data(self, name: str, error: str) -> Any:
        """JSON, as a value or as a text; None when absent.

        Raises SlackError with that code if it is not JSON.
        """
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise SlackError(error) from None

    def page(self, items: list[Any], default: int = 100, most: int = 1000) -> tuple[list[Any], str]:
        """One page of a list and the cursor of the next ("" at the end).

        Raises SlackError invalid_limit or invalid_cursor.
        """
        limit, cursor, start = self.number("limit", default), self.text("cursor"), 0
        if not 1 <= limit <= most:
            raise SlackError("invalid_limit")
        if cursor:
            try:
                start = int(base64.b64decode(cursor, validate=True).decode().removeprefix("next:"))
            except ValueError:
                raise SlackError("invalid_cursor") from None
        end = start + limit
        return items[start:end], base64.b64encode(f"next:{end}".encode()).decode() if end < len(items) else ""
