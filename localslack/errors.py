"""How a Web API call fails: Slack's error code, and the details that Slack sends with it."""

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
    """A person tried what Slack's own client would not let them do: a button that is not there, an empty input.

    The text is a sentence for that person; nothing was sent to the app.
    """
