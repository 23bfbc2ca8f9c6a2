"""What went wrong with a model, in words for people: never the provider's own, which may quote a key.

Providers have no exceptions in common, so this reads what they do have: names of classes, `status_code`, `code`.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from bot.core.policy import say_duration


@dataclass(frozen=True, slots=True)
class Failure:
    """`sentence` follows the model's name. `rests`: it would fail again, for as long as `rest` if it said so."""

    sentence: str
    rests: bool = False
    rest: timedelta | None = None


def failure_of(error: Exception, timeout: timedelta) -> Failure:
    """What this exception of a model client means."""
    status = getattr(error, "status_code", None)
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    if isinstance(status, int):
        return _by_status(status, error)
    if "Timeout" in names:
        return Failure(f"did not answer within {say_duration(timeout)}", rests=True)
    if re.search("Protocol|ReadError|IncompleteRead|PayloadError", names):
        return Failure("broke off in the middle of its answer", rests=True)
    if "Connect" in names:
        return Failure("could not be reached", rests=True)
    if "RateLimit" in names:
        return Failure("has no room for more requests now", rests=True)
    return Failure(f"gave an answer that cannot be used ({type(error).__name__})", rests=True)


def _by_status(status: int, error: Exception) -> Failure:
    code = getattr(error, "code", None)
    why = f", {code}" if isinstance(code, str) and re.fullmatch(r"[a-z][a-z_]{2,40}", code) else ""
    http = f"(HTTP {status}{why})"
    if status == 429:
        return Failure(f"has no room for more requests now {http}", rests=True, rest=_retry_after(error))
    if status in (401, 403):
        return Failure(f"refused our key {http}", rests=True)
    if status == 404:
        return Failure(f"is not known at its address {http}", rests=True)
    if status == 408 or status >= 500:
        return Failure(f"failed {http}", rests=True, rest=_retry_after(error))
    # This request alone was refused, for its length or content.
    return Failure(f"refused the request {http}")


def _retry_after(error: Exception) -> timedelta | None:
    """RFC 9110, 10.2.3: seconds, or a date."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = str(headers.get("retry-after") or "")
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return timedelta(seconds=float(value))
    try:
        return max(parsedate_to_datetime(value) - datetime.now(UTC), timedelta(0))
    except (ValueError, TypeError):
        return None
