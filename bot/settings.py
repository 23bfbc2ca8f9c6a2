"""Settings of `web` and of `countersign audit`, read from the environment."""

import re
from dataclasses import fields
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from countersign.domain.channel_settings import ChannelSettings, OnTimeout, Rules
from countersign.domain.ids import ChannelId
from countersign.domain.passkeys import COOLING_OFF
from countersign.domain.people import MEMBERS, reviewers_named
from countersign.domain.slash_commands import NAMES
from countersign.process_settings import CommonSettings, Duration, DurationOrZero, check_prefix, is_zero


def _ids(value: Any) -> Any:
    """Split `U012 S345, U678` into a set of ids."""
    return frozenset(re.split(r"[\s,]+", value.strip())) - {""} if isinstance(value, str) else value


def _age(value: Any, choices: str = "12h, 30d, 8w, 7y and forever") -> Any:
    """Read a retention period; None means for ever."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if text == "forever":
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,4})([hdwy])", text)
    if match is None:
        raise ValueError(f"“{value.strip()[:40]}” is none of {choices}")
    return timedelta(hours=int(match[1]) * {"h": 1, "d": 24, "w": 168, "y": 8766}[match[2]])


def _age_or_zero(value: Any) -> Any:
    return timedelta(0) if is_zero(value) else _age(value, "0s, 12h, 30d, 8w, 7y and forever")


Age = Annotated[timedelta | None, BeforeValidator(_age)]
AgeOrZero = Annotated[timedelta | None, BeforeValidator(_age_or_zero)]


def _networks(value: Any) -> Any:
    """Split `10.1.0.0/16 fd00::/8` into networks."""
    return frozenset(map(ip_network, value.replace(",", " ").split())) if isinstance(value, str) else value


Networks = Annotated[frozenset[IPv4Network | IPv6Network], NoDecode, BeforeValidator(_networks)]
Ids = Annotated[frozenset[str], NoDecode, BeforeValidator(_ids)]
COMMAND: Final = r"^/[a-z0-9_-]{1,31}$"
"""Names that Slack takes for a slash command."""
REDIRECT_PATH: Final = "/slack/oauth_redirect"


def _channel(value: Any) -> Any:
    """Read `approvals` as `#approvals`: names have no capitals, ids only those."""
    return f"#{value}" if isinstance(value, str) and re.fullmatch(r"[^\s#A-Z]+", value) else value


Channel = Annotated[str, Field(pattern=r"^(#\S+|[CG][A-Z0-9]+)$"), BeforeValidator(_channel)]


class AuditSettings(CommonSettings):
    """Settings of `countersign audit`: where Redis is, and the key that signs."""

    audit_key: Path = Field(
        Path(".data/audit-key.pem"),
        description="Ed25519 key that signs receipts, PEM; made if there is none; keys behind it signed before it",
    )


class WebSettings(AuditSettings):
    """Settings of the process `web`."""

    slack_client_id: str | None = Field(
        None, pattern=r"^\d+\.\d+$", description="the app's client ID: workspaces install it by OAuth"
    )
    slack_client_secret: SecretStr | None = Field(None, description="with SLACK_CLIENT_ID: the app's client secret")
    slack_redirect_url: str | None = Field(
        None,
        pattern=rf"^https?://[^\s?#]+{REDIRECT_PATH}$",
        description=f"with SLACK_CLIENT_ID: this service's public address and `{REDIRECT_PATH}`",
    )
    encryption_keys: SecretStr | None = Field(
        None, description="with SLACK_CLIENT_ID: keys that seal the tokens in Redis, the newest first, with commas"
    )
    slack_bot_token: SecretStr | None = Field(None, description="without SLACK_CLIENT_ID: the bot's token, `xoxb-…`")
    slack_app_token: SecretStr | None = Field(None, description="`xapp-…`: Socket Mode, no public address needed")
    slack_signing_secret: SecretStr | None = Field(None, description="without SLACK_APP_TOKEN: checks requests")
    slack_api_url: str = Field(
        "https://slack.com/api/",
        pattern=r"^https?://",
        description="another Slack: `https://slack-gov.com/api/` is GovSlack",
    )
    agent_command: str = Field(
        NAMES.agent, pattern=COMMAND, description="the command that starts tasks, as the manifest names it"
    )
    approvals_command: str = Field(
        NAMES.approvals, pattern=COMMAND, description="the command of a channel's settings, as the manifest names it"
    )
    slack_pace: float = Field(
        1.0, gt=0, le=1000, description="times Slack's published rates at which messages are drawn"
    )
    approvals_channel: Channel = Field("#approvals", description="where cards go")
    reviewers: Ids = Field(
        frozenset(),
        description="default reviewers: user and user group ids, like `U012 S345`; "
        "`members` are all in the channel that cards go to; none: nobody decides where a channel names none",
    )
    admins: Ids = Field(
        frozenset(), description="users who may change settings besides workspace admins and a channel's reviewers"
    )
    approval_timeout: Duration = Field(timedelta(hours=1), description="how long a request waits: 90s, 15m, 1h30m, 2d")
    on_timeout: OnTimeout = Field(
        OnTimeout.REJECT, description="what a timeout means: reject (the request expires, nothing is done) or wait"
    )
    quorum: int = Field(1, ge=1, le=20, description="how many different people must approve")
    own_requests: bool = Field(False, description="whether people may decide on requests of runs they started")
    external_channels: bool = Field(
        False, description="whether cards may go to channels shared with other companies, whose people then read them"
    )
    thread_replies: bool = Field(
        False,
        description="whether the app gets `message.channels` and `message.groups`: cards of conversations then invite "
        "replies in their thread",
    )
    break_glass: bool = Field(
        False,
        description="whether a requester may decide alone in an emergency, with a reason that every reviewer reads",
    )
    policy: Path | None = Field(None, description="YAML file with the workspace's policy, see docs/policy.md")
    audit_channel: Channel | None = Field(None, description="where the last hash of the record is posted daily")
    weekly_digest: bool = Field(
        True, description="whether APPROVALS_CHANNEL gets a digest of the week every Monday: what could be asked less"
    )
    audit_sql_url: SecretStr | None = Field(
        None, description="SQLAlchemy's async URL of a database that gets a copy of the record"
    )
    keep_events: AgeOrZero = Field(
        timedelta(0), description="how long events stay that are drawn and recorded: 0s, 30d or forever"
    )
    keep_audit: Age = Field(None, description="how long the record stays in Redis: 90d, 7y or forever")
    port: int = Field(
        3000, ge=0, le=65535, description="for `/slack/events` and the pages of OAuth; 0 takes a free one"
    )
    stop_delay: DurationOrZero = Field(
        timedelta(seconds=5),
        description="how long a `web` that got SIGTERM still takes what comes, so that load balancers see "
        "`/readyz` first; not after Ctrl-C",
    )
    api_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="for workers, and programs that ask over HTTP, see docs/http-api.md; 0: a free one",
    )
    api_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        description="address of API_PORT for workers, behind a load balancer; else this machine's",
    )

    public_url: str | None = Field(
        None,
        description="address of the pages on which people review, like `https://approve.example.com`; none: no pages",
    )
    pages_port: int = Field(
        3001, ge=0, le=65535, description="with PUBLIC_URL: for the pages, see docs/pages.md; 0 takes a free one"
    )
    oidc_providers: Path | None = Field(
        None, description="with PUBLIC_URL: YAML file of the OpenID Connect providers with which people sign in"
    )
    oidc_people: Path | None = Field(
        None, description="with PUBLIC_URL: YAML file that says which Slack user a signed-in person is"
    )

    passkey_cooling_off: DurationOrZero = Field(
        COOLING_OFF, description="how long a new passkey waits before it may approve what needs one: 24h, 0s"
    )

    pages_mail_url: SecretStr | None = Field(
        None,
        description="with PUBLIC_URL: server for mails that say what waits, `smtp://user:password@host:587` or smtps://",
    )
    pages_mail_from: str = Field("countersign@localhost", description="the sender of these mails")

    last_known_for: Duration = Field(
        timedelta(minutes=5),
        le=timedelta(days=1),
        description="how long Slack's last answer about people and groups counts on the pages while Slack is away: 1h",
    )

    callback_networks: Networks = Field(
        frozenset(), description="private networks to which programs' callbacks may go, like `10.1.0.0/16`"
    )

    @field_validator("public_url")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        match = re.fullmatch(r"(https?)://([a-z0-9.-]+)(:[0-9]{1,5})?/?", value)
        if match is None:
            raise ValueError("give scheme, host and port alone, in small letters, like https://approve.example.com")
        if match[1] == "http" and match[2] != "localhost":
            raise ValueError("must begin with https://. Only http://localhost needs no certificate")
        return value.rstrip("/")

    @field_validator("oidc_providers", "oidc_people")
    @classmethod
    def _all_for_pages(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None and info.data.get("public_url") is not None:
            raise PydanticCustomError("missing", "missing")
        return value

    @field_validator("pages_mail_url")
    @classmethod
    def _mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and re.fullmatch(r"smtps?://[^/?#\s]+(:[0-9]{1,5})?/?", value.get_secret_value()) is None:
            raise ValueError("must look like smtp://user:password@mail.example.com:587, or smtps://… for TLS at once")
        return value

    @field_validator("pages_mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        if re.fullmatch(r"[\w.+-]+@[a-z0-9.-]+", value, re.ASCII) is None:
            raise ValueError("must be a plain address like countersign@example.com")
        return value

    @field_validator("slack_client_secret", "slack_redirect_url", "encryption_keys")
    @classmethod
    def _all_for_oauth(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.data.get("slack_client_id") is not None:
            raise PydanticCustomError("missing", "missing")
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _fernet(cls, value: SecretStr | None) -> SecretStr | None:
        for key in value.get_secret_value().split(",") if value else ():
            if re.fullmatch(r"[A-Za-z0-9_-]{43}=", key.strip()) is None:
                raise ValueError(
                    "each must be 32 bytes in URL-safe base64. `openssl rand -base64 32 | tr +/ -_` makes one"
                )
        return value

    @field_validator("slack_bot_token")
    @classmethod
    def _bot_token(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("slack_client_id") is not None:
            if value is not None:
                raise ValueError("leave it out; with SLACK_CLIENT_ID each workspace has its own")
            return None
        if value is None:
            raise PydanticCustomError("missing", "missing")
        if value.get_secret_value().startswith("xoxe."):
            raise ValueError("this one ends in 12 hours. Rotated tokens come by OAuth: set SLACK_CLIENT_ID instead")
        return check_prefix(value, "xoxb-")

    @field_validator("approvals_command")
    @classmethod
    def _two_commands(cls, value: str, info: ValidationInfo) -> str:
        if value == info.data.get("agent_command"):
            raise ValueError("AGENT_COMMAND has this name; give each command its own")
        return value

    @field_validator("approvals_channel", "audit_channel", "reviewers", "admins", "audit_sql_url")
    @classmethod
    def _of_no_workspace(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse settings that only make sense for a single workspace."""
        if info.data.get("slack_client_id") is None or value in (None, frozenset()):
            return value
        if info.field_name == "audit_sql_url":
            raise ValueError("one database takes the record of one workspace; leave it out with SLACK_CLIENT_ID")
        if info.field_name in ("reviewers", "admins") and value != {MEMBERS}:
            raise ValueError("ids are of one workspace; with SLACK_CLIENT_ID leave it out, or REVIEWERS=members")
        if isinstance(value, str) and not value.startswith("#"):
            raise ValueError("an id is of one workspace; with SLACK_CLIENT_ID give a name, like #approvals")
        return value

    @field_validator("slack_app_token")
    @classmethod
    def _app_token(cls, value: SecretStr | None) -> SecretStr | None:
        return value and check_prefix(value, "xapp-")

    @field_validator("slack_signing_secret")
    @classmethod
    def _one_way_in(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("slack_app_token", "wrong") is None:
            raise ValueError("set it (HTTP), or SLACK_APP_TOKEN (Socket Mode)")
        return value

    @field_validator("reviewers")
    @classmethod
    def _people(cls, value: frozenset[str]) -> frozenset[str]:
        if unknown := sorted(i for i in value if not re.fullmatch(rf"[UWS][A-Z0-9]+|{MEMBERS}", i)):
            raise ValueError(f"neither user ids (U…, W…) nor user group ids (S…), nor {MEMBERS}: {', '.join(unknown)}")
        return value

    @field_validator("admins")
    @classmethod
    def _users(cls, value: frozenset[str]) -> frozenset[str]:
        if unknown := sorted(i for i in value if not _is_user(i)):
            raise ValueError(f"not user ids (U…, W…): {', '.join(unknown)}")
        return value

    @field_validator("on_timeout")
    @classmethod
    def _never_for_all(cls, value: OnTimeout, info: ValidationInfo) -> OnTimeout:
        if value is OnTimeout.APPROVE:  # R23: each channel asks for it, and no installation for all of them
            raise ValueError(
                "approve cannot be the default of every channel. "
                f"Set it in each that wants it: `{info.data.get('approvals_command')} on-timeout approve`"
            )
        return value

    @field_validator("quorum")
    @classmethod
    def _reachable(cls, value: int, info: ValidationInfo) -> int:
        reviewers = info.data.get("reviewers") or frozenset()
        if reviewers and all(map(_is_user, reviewers)) and value > len(reviewers):
            raise ValueError(f"{value} approvals are needed, but REVIEWERS names only {len(reviewers)}")
        return value

    def rules(self, approvals_channel: ChannelId) -> Rules:
        """Return the default rules, given the id of the approvals channel."""
        shared: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in fields(ChannelSettings)
            if field.name in type(self).model_fields
        }
        return Rules(
            **shared
            | {
                "approvals_channel": approvals_channel,
                "reviewers": reviewers_named(self.reviewers),
                "timeout": self.approval_timeout,
            }
        )


def _is_user(name: str) -> bool:
    return re.fullmatch(r"[UW][A-Z0-9]+", name) is not None
