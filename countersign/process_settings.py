"""Settings from the environment, of both processes and of programs that run teams.

Every field is an environment variable of the same name in capitals; its description stands in docs/operations.md.
A field of type SecretStr can also come from a file: `REDIS_URL_FILE` names it. All problems are reported at once, each
with what to fix. Settings of the process `web` alone are in `bot/settings.py`.
"""

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from countersign.domain.durations import parse_duration
from countersign.domain.errors import InvalidInput, WrongSettings
from countersign.secret_files import SUFFIX, read_secret

S = TypeVar("S", bound=BaseSettings)
_LONG_ENOUGH: Final = 6
_ALIKE: Final = 0.85


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except InvalidInput as problem:
        raise ValueError(str(problem).replace("; nothing was changed", "")) from None


def is_zero(value: Any) -> bool:
    """Tell a time of zero: `0`, `0s`, `0 d`."""
    return isinstance(value, str) and re.fullmatch(r"\s*0\s*[smhdw]?\s*", value) is not None


def _duration_or_zero(value: Any) -> Any:
    return timedelta(0) if is_zero(value) else _duration(value)


Duration = Annotated[timedelta, BeforeValidator(_duration)]
DurationOrZero = Annotated[timedelta, BeforeValidator(_duration_or_zero)]


def check_prefix(value: SecretStr, *prefixes: str) -> SecretStr:
    """Check that a secret begins with a prefix; ValueError does not show it."""
    if not value.get_secret_value().startswith(prefixes):
        raise ValueError(f"must begin with {' or '.join(prefixes)}")
    return value


class CommonSettings(BaseSettings):
    """Settings of every process."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", validate_default=True)

    redis_url: SecretStr = Field(
        SecretStr("redis://localhost:6379/0"), description="Redis or Valkey, with its password; `noeviction` and AOF"
    )
    redis_wait: int = Field(
        0, ge=0, le=10, description="replicas that must confirm each decision and journal entry before it counts"
    )
    redis_wait_ms: int = Field(1000, ge=10, le=2000, description="milliseconds that they have; then people are told")
    namespace: str = Field(
        "countersign", pattern=r"^[A-Za-z0-9_-]{1,60}$", description="prefix of every key, one per Slack workspace"
    )
    log_level: str = Field("INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")
    log_format: str = Field("text", pattern=r"^(text|json)$", description="text, or json: one object a line")

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 behind a load balancer")
    ops_port: int = Field(
        0, ge=0, le=65535, description="for `/livez`, `/readyz` and `/metrics`, which need no password; 0: none"
    )

    @field_validator("namespace")
    @classmethod
    def _no_area(cls, value: str) -> str:
        if re.search(r"-work(-|$)", value):
            raise ValueError("must not contain -work, which ends the prefix of a workers' area")
        return value

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
        return check_prefix(value, *(f"{scheme}://" for scheme in schemes))


class WorkerSettings(CommonSettings):
    """Settings of a worker, or of a program that runs a team by itself."""

    def __init__(self, **given: Any) -> None:  # without it pyright wants all fields: it cannot see their defaults
        super().__init__(**given)

    model_config_file: Path | None = Field(
        None, validation_alias="MODEL_CONFIG", description="YAML file with AutoGen models; else the demo model"
    )
    countersign_key: SecretStr | None = Field(
        None,
        description="a key of `countersign keys create --worker`, for workers with an area of their own",
    )
    teams: Path | None = Field(None, description="folder with your own team files; else the example teams")
    smtp_url: SecretStr | None = Field(None, description="`smtp://user:password@host:587`; else a Maildir")
    mail_from: str = Field("countersign@localhost", pattern=r"^[^@\s]+@[^@\s]+$", description="sender of mails")
    data_dir: Path = Field(
        Path(".data"),
        description="folder for what is kept in files: mails without SMTP_URL, and what the teams work with",
    )
    lease: Duration = Field(timedelta(seconds=10), description="a run without a sign of life is taken over after this")
    park_after: DurationOrZero = Field(
        timedelta(minutes=1), description="a run that waits longer leaves memory; 0s: at once"
    )
    redis_fsync_ms: int = Field(
        2000,
        ge=0,
        le=10_000,
        description="milliseconds until an action asks again if Redis has its approval on disk; 0: it does not wait",
    )
    requests: int = Field(
        50, ge=0, description="questions that one run may put to people; the next one ends it; 0: no limit"
    )
    model_calls: int = Field(
        200, ge=1, le=100_000, description="how often the agents of one run may ask models; one more ends it"
    )
    stop_within: Duration = Field(
        timedelta(seconds=15),
        description="a worker that got SIGTERM waits for actions under way, and for Redis, as long as this; then it "
        "ends as if it was killed",
    )
    concurrency: int = Field(1000, ge=1, le=10_000, description="runs that one worker holds in memory at once")


def read(kind: type[S]) -> S:
    """Read the settings from the environment; WrongSettings lists every problem."""
    problems = list(_misspelt(kind))
    secrets: dict[str, Any] = {}
    unreadable = set()
    environment = {name.upper(): value for name, value in os.environ.items()}
    for field in _secrets(kind):
        name = _variable(kind, field)
        try:
            if (secret := read_secret(name, environment)) is not None:
                secrets[field] = secret
        except InvalidInput as wrong:
            unreadable.add(field)
            problems.append(str(wrong))
    try:
        settings = kind(**secrets)
    except ValidationError as wrong:
        errors = [error for error in wrong.errors() if error["loc"][0] not in unreadable]
        raise WrongSettings([*problems, *(_sentence(kind, error) for error in errors)]) from None
    if problems:
        raise WrongSettings(problems)
    return settings


def _secrets(kind: type[BaseSettings]) -> list[str]:
    """Name the fields that may also come from a file."""
    return [
        name
        for name, field in kind.model_fields.items()
        if SecretStr in (field.annotation, *get_args(field.annotation))
    ]


def secret_files(kind: type[BaseSettings]) -> dict[str, str]:
    """Map each secret's variable to the one that names its file."""
    return {name: name + SUFFIX for name in (_variable(kind, field) for field in _secrets(kind))}


def _misspelt(kind: type[BaseSettings]) -> Iterator[str]:
    """Name variables that are almost a setting which is not set, like REVIEWER.

    A setting that nobody reads may have been the one that limits who approves. Short names mean other things too often.
    """
    files = secret_files(kind)
    names = {name for name in (*variables(kind), *files.values()) if len(name) >= _LONG_ENOUGH}
    given = {name.upper() for name in os.environ}
    # A secret that comes one way is not the one that was meant the other way.
    absent = names - given - {other for pair in files.items() if given & {*pair} for other in pair}
    for name in sorted(given - names):
        for meant in get_close_matches(name, absent, n=1, cutoff=_ALIKE):
            yield f"{name} is not a setting. Did you mean {meant}? Nothing was started."


def variables(kind: type[BaseSettings]) -> dict[str, str]:
    """Map each environment variable to its description, for the documentation."""
    return {_variable(kind, name): field.description or "" for name, field in kind.model_fields.items()}


def _variable(kind: type[BaseSettings], field: str) -> str:
    alias = kind.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else field.upper()


def _sentence(kind: type[BaseSettings], error: Any) -> str:
    field = str(error["loc"][0])
    name = _variable(kind, field) if field in kind.model_fields else field
    if error["type"] == "missing":
        return f"{name} is missing: {variables(kind).get(name, '')}"
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}"
