"""Slack's word for why it refused a call."""

from typing import Final

from slack_sdk.errors import SlackApiError

TRANSIENT: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
    | {"ratelimited", "rate_limited"}  # a method's page may name either
)
"""Errors after which the same call may work."""


def code(refused: SlackApiError) -> str:
    """Return the error that Slack names, or the status of an answer without one."""
    data = refused.response.data
    return str(data.get("error", "unknown")) if isinstance(data, dict) else f"http_{refused.response.status_code}"
