"""Times as the store keeps them: milliseconds since 1970, by the server's clock."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def ms(at: datetime | timedelta) -> int:
    """Milliseconds since 1970, or of a span."""
    span = at if isinstance(at, timedelta) else at - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1000 + round(span.microseconds / 1000)


def from_ms(value: float) -> datetime:
    """The moment that many milliseconds after 1970, UTC."""
    return _EPOCH + timedelta(milliseconds=value)
