"""Slack's error codes for refused calls."""

from typing import Final

from slack_sdk.errors import SlackApiError

TRANSIENT: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
    | {"ratelimited", "rate_limited"}  # a method's page may name either
)
"""Errors after which the same call may work."""
FINAL: Final = frozenset({"account_inactive", "token_revoked"})
"""The only errors after which a token never works again."""
OF_THE_TOKEN: Final = FINAL | {
    *("accesslimited", "invalid_auth", "not_authed", "org_login_required"),
    *("team_access_not_granted", "team_not_found", "token_expired"),
}
"""Errors about the token or the caller, not the call. Slack answers `invalid_auth` to a disallowed address too."""
LATER: Final = frozenset({"ekm_access_denied", "external_channel_migrating", "message_limit_exceeded", "update_failed"})
"""Errors of a channel or workspace that pass, but not within a second."""
_ADVICE: Final = {
    "account_inactive": "The app was uninstalled: install it again.",
    "token_revoked": "The token was revoked: install the app again.",
    "token_expired": "The token has ended: install the app again, unless it is renewed.",
    "invalid_auth": "Either the token is wrong (copy it again from the app's page), or this service's address is not "
    "among the app's allowed IP addresses.",
    "accesslimited": "The workspace does not allow this service's network.",
    "org_login_required": "The workspace is moving to an organization; Slack accepts the token again afterwards.",
    "team_access_not_granted": "The organization's admins have not added the app to this workspace.",
}


def advice(code: str) -> str:
    """Explain an error about the token, and say what to do."""
    return _ADVICE.get(code, "See this error on https://docs.slack.dev/reference/methods/auth.test.")


def code(refused: SlackApiError) -> str:
    """Return the error that Slack names, or the status of an answer without one."""
    data = refused.response.data
    return str(data.get("error", "unknown")) if isinstance(data, dict) else f"http_{refused.response.status_code}"
