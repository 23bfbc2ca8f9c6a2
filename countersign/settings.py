"""The only reader of the environment. All problems are told at once, each with what to fix.

Every field is an environment variable of the same name in capitals; its description is the line in the README's table.
"""

import re
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from countersign.domain.channel_settings import ChannelSettings, OnTimeout, Rules, parse_duration
from countersign.domain.errors import InvalidInput, WrongSettings
from countersign.domain.ids import ChannelId
from countersign.domain.people import MEMBERS, reviewers_named

S = TypeVar("S", bound=BaseSettings)


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except InvalidInput as wrong:
        raise ValueError(str(wrong).replace("; nothing was changed", "")) from None


def _ids(value: Any) -> Any:
    """`U012 S345, U678` as a set of ids."""
    return frozenset(re.split(r"[\s,]+", value.strip())) - {""} if isinstance(value, str) else value


def _span(value: Any) -> Any:
    """A duration that may be nothing at all."""
    return timedelta(0) if _is_nothing(value) else _duration(value)


def _is_nothing(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\s*0\s*[smhdw]?\s*", value) is not None


def _kept(value: Any) -> Any:
    """How long something is kept: hours, days, weeks or years; None is for ever."""
    return _age(value, "12h, 30d, 8w, 7y and forever")


def _left(value: Any) -> Any:
    """The same of what need not be kept at all."""
    return timedelta(0) if _is_nothing(value) else _age(value, "0s, 12h, 30d, 8w, 7y and forever")


def _age(value: Any, choices: str) -> Any:
    if not isinstance(value, str) or value.strip().lower() == "forever":
        return None if isinstance(value, str) else value
    found = re.fullmatch(r"([1-9][0-9]{0,4})([hdwy])", value.strip().lower())
    if found is None:
        raise ValueError(f"“{value.strip()[:40]}” is none of {choices}")
    return timedelta(hours=int(found[1]) * {"h": 1, "d": 24, "w": 168, "y": 8766}[found[2]])


Duration = Annotated[timedelta, BeforeValidator(_duration)]
ParkAfter = Annotated[timedelta, BeforeValidator(_span)]
Kept = Annotated[timedelta | None, BeforeValidator(_kept)]
Left = Annotated[timedelta | None, BeforeValidator(_left)]
Ids = Annotated[frozenset[str], NoDecode, BeforeValidator(_ids)]


class _Common(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", validate_default=True)

    redis_url: SecretStr = Field(
        SecretStr("redis://localhost:6379/0"), description="Redis or Valkey, with its password; `noeviction` and AOF"
    )
    redis_wait: int = Field(
        0, ge=0, le=10, description="replicas that must confirm each decision and journal entry before it counts"
    )
    redis_wait_ms: int = Field(1000, ge=10, le=2000, description="milliseconds that they have; then people are told")
    namespace: str = Field(
        "countersign", pattern=r"^[A-Za-z0-9_-]{1,40}$", description="prefix of every key, one per Slack workspace"
    )
    log_level: str = Field("INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 behind a load balancer")

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if "+sentinel://" in url and not re.match(r"rediss?\+sentinel://[^/?]+/[^/?]+(/\d+)?(\?|$)", url):
            raise ValueError("must name the Sentinels and their primary, like redis+sentinel://host:26379/name/0")
        try:
            parts = urlsplit(url)
            wrong = bool(parts.fragment) or ("+sentinel://" not in url and parts.port == 0)
        except ValueError:  # whose words hold a part of the password
            wrong = True
        if wrong:
            raise ValueError("cannot be read; in a password write / as %2F, # as %23, ? as %3F, @ as %40 and % as %25")
        schemes = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
        return _begins(value, *(f"{scheme}://" for scheme in schemes))


class AuditSettings(_Common):
    """What `countersign audit` needs."""

    audit_key: Path = Field(
        Path(".data/audit-key.pem"), description="Ed25519 key that signs receipts, PEM; made if there is none"
    )


class WebSettings(AuditSettings):
    """What `python -m bot` needs."""

    slack_bot_token: SecretStr = Field(description="the bot's token, `xoxb-…`")
    slack_app_token: SecretStr | None = Field(None, description="`xapp-…`: Socket Mode, no public address needed")
    slack_signing_secret: SecretStr | None = Field(None, description="without SLACK_APP_TOKEN: checks requests")
    slack_api_url: str = Field("https://slack.com/api/", pattern=r"^https?://", description="another Slack, for tests")
    approvals_channel: str = Field("#approvals", pattern=r"^(#\S+|[CG][A-Z0-9]+)$", description="where cards go")
    reviewers: Ids = Field(
        frozenset(),
        description="default reviewers: user and user group ids, like `U012 S345`; "
        "`members` are all in the channel that cards go to",
    )
    admins: Ids = Field(
        frozenset(), description="users who may change settings besides workspace admins and a channel's reviewers"
    )
    approval_timeout: Duration = Field(timedelta(hours=1), description="how long a request waits: 90s, 15m, 1h30m, 2d")
    on_timeout: OnTimeout = Field(OnTimeout.REJECT, description="what a timeout means: reject or wait")
    quorum: int = Field(1, ge=1, le=20, description="how many different people must approve")
    own_requests: bool = Field(False, description="whether people may decide on requests of runs they started")
    break_glass: bool = Field(
        False,
        description="whether a requester may decide alone in an emergency, with a reason that everybody named reads",
    )
    policy: Path | None = Field(None, description="YAML file with the workspace's policy, see docs/policy.md")
    audit_channel: str | None = Field(
        None, pattern=r"^(#\S+|[CG][A-Z0-9]+)$", description="where the head of the record is posted daily"
    )
    audit_sql_url: SecretStr | None = Field(
        None, description="SQLAlchemy's async URL of a database that gets a copy of the record"
    )
    keep_events: Left = Field(
        timedelta(0), description="how long events stay that are drawn and recorded: 0s, 30d or forever"
    )
    keep_audit: Kept = Field(None, description="how long the record stays in Redis: 90d, 7y or forever")
    port: int = Field(
        3000, ge=0, le=65535, description="for `/slack/events`, `/healthz` and `/metrics`; 0 takes a free one"
    )

    @field_validator("slack_bot_token")
    @classmethod
    def _bot_token(cls, value: SecretStr) -> SecretStr:
        return _begins(value, "xoxb-")

    @field_validator("slack_app_token")
    @classmethod
    def _app_token(cls, value: SecretStr | None) -> SecretStr | None:
        return value and _begins(value, "xapp-")

    @field_validator("slack_signing_secret")
    @classmethod
    def _one_way_in(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("slack_app_token", "wrong") is None:
            raise ValueError("set it (HTTP), or SLACK_APP_TOKEN (Socket Mode)")
        return value

    @field_validator("reviewers")
    @classmethod
    def _people(cls, value: frozenset[str]) -> frozenset[str]:
        if wrong := sorted(i for i in value if not re.fullmatch(rf"[UWS][A-Z0-9]+|{MEMBERS}", i)):
            raise ValueError(f"neither user ids (U…, W…) nor user group ids (S…), nor {MEMBERS}: {', '.join(wrong)}")
        return value

    @field_validator("admins")
    @classmethod
    def _users(cls, value: frozenset[str]) -> frozenset[str]:
        if wrong := sorted(i for i in value if not _is_user(i)):
            raise ValueError(f"not user ids (U…, W…): {', '.join(wrong)}")
        return value

    @field_validator("on_timeout")
    @classmethod
    def _never_for_all(cls, value: OnTimeout) -> OnTimeout:
        if value is OnTimeout.APPROVE:  # R23: each channel asks for it, and no installation for all of them
            raise ValueError(
                "approve cannot be the default of every channel. "
                "Set it in each that wants it: `/approvals on-timeout approve`"
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
        """The default rules, with the approvals channel looked up."""
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


class WorkerSettings(_Common):
    """What `python -m agents` needs."""

    model_config_file: Path | None = Field(
        None, validation_alias="MODEL_CONFIG", description="YAML file with AutoGen models; else the demo model"
    )
    smtp_url: SecretStr | None = Field(None, description="`smtp://user:password@host:587`; else a Maildir")
    mail_from: str = Field("countersign@localhost", pattern=r"^[^@\s]+@[^@\s]+$", description="sender of mails")
    data_dir: Path = Field(
        Path(".data"),
        description="folder for what is kept in files: mails without SMTP_URL, and what the teams work with",
    )
    lease: Duration = Field(timedelta(seconds=10), description="a run without a sign of life is taken over after this")
    park_after: ParkAfter = Field(
        timedelta(minutes=1), description="a run that waits longer leaves memory; 0s: at once"
    )
    redis_fsync_ms: int = Field(
        2000, ge=0, le=10_000, description="milliseconds that an action waits for the disk of Redis; 0: not at all"
    )
    requests: int = Field(
        50, ge=0, description="questions that one run may put to people; the next one ends it; 0: no limit"
    )
    model_calls: int = Field(
        200, ge=1, le=100_000, description="how often the agents of one run may ask models; one more ends it"
    )
    metrics_port: int = Field(0, ge=0, le=65535, description="for `/metrics` of the worker; 0: none")
    concurrency: int = Field(1000, ge=1, le=10_000, description="runs that one worker holds in memory at once")


def read(kind: type[S]) -> S:
    """The settings from the environment. WrongSettings, with every problem, if they cannot be used."""
    try:
        return kind()
    except ValidationError as wrong:
        raise WrongSettings([_say(kind, error) for error in wrong.errors()]) from None


def variables(kind: type[BaseSettings]) -> dict[str, str]:
    """Environment variable -> description, for the documentation and its test."""
    return {_variable(kind, name): field.description or "" for name, field in kind.model_fields.items()}


def _variable(kind: type[BaseSettings], field: str) -> str:
    alias = kind.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else field.upper()


def _say(kind: type[BaseSettings], error: Any) -> str:
    field = str(error["loc"][0])
    name = _variable(kind, field) if field in kind.model_fields else field
    if error["type"] == "missing":
        return f"{name} is missing: {variables(kind).get(name, '')}"
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}"


def _begins(value: SecretStr, *beginnings: str) -> SecretStr:
    if not value.get_secret_value().startswith(beginnings):
        raise ValueError(f"must begin with {' or '.join(beginnings)}")
    return value


def _is_user(name: str) -> bool:
    return re.fullmatch(r"[UW][A-Z0-9]+", name) is not None
