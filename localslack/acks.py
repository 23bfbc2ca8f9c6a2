"""What became of one delivery to the app."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ack:
    """`body`: the app's answer (a mapping, a text, or None). `error`: Slack's word for why there was none."""

    ok: bool
    body: Any = None
    error: str = ""
    reason: str = ""

    @classmethod
    def failed(cls, error: str, reason: str) -> "Ack":
        """`reason` is the one that a retried event carries (`timeout`, `http_error`, `connection_failed`)."""
        return cls(False, None, error, reason)
