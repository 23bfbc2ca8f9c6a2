"""Failures: Slack's error codes, refusals of a client, answers to deliveries."""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


class SlackError(Exception):
    """A call that answers `{"ok": false, "error": code}`.

    `messages` become `response_metadata.messages`, as Slack sends them for blocks and arguments.
    """

    def __init__(self, code: str, messages: list[str] | None = None, **extra: Any) -> None:
        super().__init__(code + ("".join(f"\n  {message}" for message in messages) if messages else ""))
        self.code = code
        self.messages = messages or []
        self.extra = extra

    def body(self) -> Json:
        answer: Json = {"ok": False, "error": self.code, **self.extra}
        if self.messages:
            answer["response_metadata"] = {"messages": self.messages}
        return answer


class RateLimited(SlackError):
    """HTTP 429; `retry_after` is in whole seconds, as in Slack's header."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("ratelimited")
        self.retry_after = retry_after


class CannotDo(Exception):
    """Something that Slack's own client would not let a person do.

    The text is a sentence for that person; nothing was sent to the app.
    """


@dataclass(frozen=True)
class Ack:
    """The app's answer to one delivery.

    `body` is a mapping, a text, or None. `error` is Slack's word for why there was no answer; `reason` is the one that
    a retried event carries: `timeout`, `http_error` or `connection_failed`.
    """

    ok: bool
    body: Any = None
    error: str = ""
    reason: str = ""

    @classmethod
    def failed(cls, error: str, reason: str) -> "Ack":
        return cls(False, None, error, reason)
