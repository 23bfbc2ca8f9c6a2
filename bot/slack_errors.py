"""Slack's word for why it refused a call."""

from slack_sdk.errors import SlackApiError


def code(refused: SlackApiError) -> str:
    """Return the error that Slack names, or the status of an answer without one."""
    data = refused.response.data
    return str(data.get("error", "unknown")) if isinstance(data, dict) else f"http_{refused.response.status_code}"
