"""The gateway's configuration: servers as clients name them, and their rules."""

import json
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from countersign.domain.actions import Action
from countersign.domain.errors import InvalidInput
from countersign.domain.json_arguments import read_json
from countersign.domain.redaction import hide_in

BETWEEN: Final = "__"
"""Between the name of a server, which has no `_`, and that of its tool."""
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_SHORTEST_SECRET: Final = 6
_PROBE: Final = "xK9f2Lq7Zp4w"
"""A value that is hidden if its name is that of a credential."""
_HIDDEN: Final = "[hidden by the gateway]"


class Server(BaseModel):
    """One MCP server behind the gateway: a command to start, or an address."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: Literal["stdio", "http", "streamable-http"] | None = None
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str | None = None
    url: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    tools: dict[str, Action] = Field(default_factory=dict)
    """The fate of tools' calls, by patterns.

    ALLOW: forward them; nobody is asked, and nothing is recorded. ASK: let the workspace's policy judge each call, and
    people where it says nothing else. DENY: neither list the tool nor forward its calls.
    """
    idempotent: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("give either `command` or `url`")
        if self.url and not re.match(r"https?://[^\s/]", self.url):
            raise ValueError("`url` must begin with http:// or https://")
        return self

    def rule(self, tool: str) -> Action:
        """Return the first rule whose pattern fits the tool; without one, `ask`."""
        return next((rule for pattern, rule in self.tools.items() if fnmatchcase(tool, pattern)), Action.ASK)

    def is_idempotent(self, tool: str) -> bool:
        """Tell whether a call may be sent again when nobody knows whether it arrived."""
        return any(fnmatchcase(tool, pattern) for pattern in self.idempotent)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    channel: str = ""
    servers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,32}$")], Server] = Field(
        alias="mcpServers", min_length=1
    )


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration whose variables are filled in, and the credentials in it."""

    channel: str
    servers: dict[str, Server]
    secrets: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file.

        InvalidInput, without a value of the file in its text, if something is wrong.
        """
        try:
            file = _File.model_validate(read_json(path.read_bytes()))
        except OSError as wrong:
            raise InvalidInput(f"Can't read {path}: {wrong.strerror}.") from None
        except ValidationError as wrong:
            raise InvalidInput(f"{path}: {_problems(wrong)}") from None
        except (ValueError, RecursionError) as wrong:
            raise InvalidInput(f"{path} isn't valid JSON: {str(wrong)[:200]}.") from None
        secrets = set[str]()
        servers = {name: _filled(name, server, secrets) for name, server in file.servers.items()}
        return cls(file.channel, servers, frozenset(one for one in secrets if len(one) >= _SHORTEST_SECRET))

    def without_secrets(self, text: str) -> str:
        """Return the text with each credential of the servers replaced."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            # A result is searched as JSON, in which a quote or the end of a line is written with a backslash.
            text = text.replace(secret, _HIDDEN).replace(json.dumps(secret, ensure_ascii=False)[1:-1], _HIDDEN)
        return text


def _filled(name: str, server: Server, secrets: set[str]) -> Server:
    """Fill the variables of the environment into a server's settings, and collect its credentials."""

    def fill(text: str) -> str:
        def value(match: re.Match[str]) -> str:
            if not (found := os.environ.get(match[1])):
                raise InvalidInput(f"The server “{name}” needs the variable {match[1]}, which isn't set.")
            secrets.add(found)
            return found

        return _VARIABLE.sub(value, text)

    filled = server.model_copy(
        update={
            "args": tuple(map(fill, server.args)),
            "env": {key: fill(value) for key, value in server.env.items()},
            "url": fill(server.url),
            "headers": {key: fill(value) for key, value in server.headers.items()},
        }
    )
    for value in filled.headers.values():  # all of it, and what stands behind `Bearer`
        secrets |= {value, value.rpartition(" ")[2]}
    shown = hide_in(filled.env)[0]
    named = {key for key in filled.env if hide_in({key: _PROBE})[1]}
    secrets |= {value for key, value in filled.env.items() if value and (shown[key] != value or key in named)}
    return filled


def _problems(wrong: ValidationError) -> str:
    """Name each place and its problem, and no value: it may be a credential."""

    def one(error: Any) -> str:
        place = ".".join(str(part) for part in error["loc"]) or "the file"
        return f"{place}: {error['msg'].removeprefix('Value error, ')}"

    return "; ".join(
        one(error) for error in wrong.errors(include_input=False, include_url=False, include_context=False)
    )
