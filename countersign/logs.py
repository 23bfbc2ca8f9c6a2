"""Logs of a process: text for people, or one JSON object a line (LOG_FORMAT=json).

An object has `time`, `level`, `logger` and `message`, and as far as they are known `run`, `request`, `user`, `channel`
and `workspace`. These are found by their types among the arguments of a message, so a call that logs needs no more
than the message; `about` adds what is known to all lines within a block. They are no label of anything, so they may be
as many as there are runs.

An outage is one line a minute of each process, with a count: while Redis or Slack is away, each task that waits for it
would write its own.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import ChannelId, RequestId, RunId, UserId, WorkspaceId

OF_REDIS: Final = {"outage": "Redis"}
OF_SLACK: Final = {"outage": "Slack"}
"""Extras of a line that says that one of them is away."""
_EVERY: Final = 60.0
"""Seconds between two lines about one outage."""
_FIELDS: Final[dict[type, str]] = {
    RunId: "run",
    RequestId: "request",
    UserId: "user",
    ChannelId: "channel",
    WorkspaceId: "workspace",
}
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_now = time.monotonic
_about: Final[ContextVar[Mapping[str, str]]] = ContextVar("about", default={})  # noqa: B039 -- nobody changes it


@contextmanager
def about(**fields: str | None) -> Iterator[None]:
    """Add these fields to each line that is logged within the block."""
    token = _about.set({**_about.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _about.reset(token)


def set_up(level: str, form: str) -> None:
    """Write all logs of this process to its standard error, as `text` or `json`."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form))
    handler.addFilter(OutageFilter(handler))
    logging.basicConfig(level=level, handlers=[handler])
    if level != "DEBUG":  # it writes a line for each retry; how a call ends is in our own lines and metrics
        logging.getLogger("slack_sdk.web.async_base_client").setLevel(logging.WARNING)


def formatter(form: str) -> logging.Formatter:
    """Make what writes a record as `text` or `json`."""
    return _Json() if form == "json" else logging.Formatter(_TEXT)


class _Json(logging.Formatter):
    """One JSON object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_about.get(),
            **_named(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _named(record: logging.LogRecord) -> dict[str, Any]:
    """Find the ids among the arguments; of several of a kind the first counts."""
    found: dict[str, Any] = {}
    for argument in record.args if isinstance(record.args, tuple) else ():
        if (name := _FIELDS.get(type(argument))) is not None:
            found.setdefault(name, str(argument))
    return {**found, **getattr(record, "fields", {})}


class OutageFilter(logging.Filter):
    """Passes one line a minute about each outage, and counts the others."""

    def __init__(self, handler: logging.Handler, every: float = _EVERY) -> None:
        super().__init__()
        self._handler = handler
        self._every = every
        self._outages: dict[str, tuple[float, int]] = {}
        """When the last line about it passed, and how many were held back since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the line passes, perhaps with the count of those before it."""
        now, outage = _now(), _outage_of(record)
        self._tell_the_rest(now, outage)
        if not outage:
            return True
        since, held_back = self._outages.get(outage, (now - self._every, 0))
        if now - since < self._every:
            self._outages[outage] = since, held_back + 1
            return False
        self._outages[outage] = now, 0
        if held_back:
            record.msg = f"{record.getMessage()} ({held_back} more lines about {outage} since the last one.)"
            record.args = ()
            record.fields = {"count": held_back + 1}
        return True

    def _tell_the_rest(self, now: float, outage: str) -> None:
        """Write the count of an outage about which nothing more was logged."""
        for name, (since, held_back) in list(self._outages.items()):
            if name == outage or not held_back or now - since < self._every:
                continue
            self._outages[name] = now, 0
            told = f"{held_back} more lines about {name} since the last one."
            last = logging.LogRecord(__name__, logging.WARNING, __file__, 0, told, None, None)
            last.fields = {"count": held_back}
            self._handler.emit(last)


def _outage_of(record: logging.LogRecord) -> str:
    """Name what a line says is away; "" if it says nothing of the kind."""
    if named := getattr(record, "outage", ""):
        return str(named)
    arguments = record.args if isinstance(record.args, tuple) else ()
    return "Redis" if any(isinstance(argument, StoreUnavailable) for argument in arguments) else ""
