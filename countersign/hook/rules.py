"""Rules of the hook: which calls pass, ask people, or are refused.

The file is YAML; docs/coding-agents.md describes it. Of all rules that fit a call, deny counts before ask and ask
before allow, for each command of a script. A rule that lets pass fits narrowly: a command begins with its pattern.
A rule that asks or refuses fits widely: options may stand anywhere and be joined.
"""

import fnmatch
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from countersign.domain.actions import Action
from countersign.domain.errors import InvalidInput
from countersign.hook.shell_commands import ShellCommand, ShellScript, Word, read_script
from countersign.hook.tool_calls import Deed, ToolCall, resolved

_NETWORK: Final = frozenset(
    {"curl", "wget", "nc", "ncat", "netcat", "ssh", "scp", "sftp", "rsync", "ftp", "telnet", "socat", "aria2c", "http"}
)
_STRICT: Final = ConfigDict(extra="forbid", frozen=True)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours"}
STARTER: Final = Path(__file__).with_name("starter_rules.yaml")


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _duration(value: Any) -> Any:
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+)\s*([smh])", value)):
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    raise ValueError("write a time like 30s, 50m or 2h")


Names = Annotated[list[str], BeforeValidator(_list)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]


class HookRule(BaseModel):
    """One rule: what it fits, and what happens then."""

    model_config = _STRICT
    name: str = ""
    tool: Names = Field(default_factory=list)
    command: Names = Field(default_factory=list)
    write: Literal["outside repository", "anywhere", ""] = ""
    network: bool = False
    then: Action
    why: str = ""

    @model_validator(mode="after")
    def _says_what_it_fits(self) -> "HookRule":
        if not (self.tool or self.command or self.write or self.network):
            raise ValueError("a rule needs one of tool, command, write and network")
        for pattern in self.command:
            try:
                words = shlex.split(pattern)
            except ValueError as wrong:
                raise ValueError(f"the command {pattern!r} can't be read: {wrong}") from None
            if not words:
                raise ValueError("a command is empty")
        return self

    @cached_property
    def _patterns(self) -> list[list[str]]:
        return [shlex.split(pattern) for pattern in self.command]

    def fits_command(self, command: ShellCommand) -> bool:
        """Tell whether the rule fits a command of a script."""
        if self.then is not Action.ALLOW and self.network and command.program in _NETWORK:
            return True
        if self.then is Action.ALLOW:
            return not command.perhaps and any(_begins(command, pattern) for pattern in self._patterns)
        return any(_has(command, pattern) for pattern in self._patterns)

    def fits_tool(self, call: ToolCall) -> bool:
        """Tell whether the rule names the tool."""
        return any(fnmatch.fnmatchcase(call.tool, pattern) for pattern in self.tool) or (
            self.network and call.deed is Deed.NETWORK
        )


class HookRules(BaseModel):
    """All rules of the hook, and where and how long it asks."""

    model_config = _STRICT
    version: Literal[1]
    channel: str = ""
    wait: Duration = timedelta(minutes=55)
    service_timeout: Duration = timedelta(seconds=2)
    otherwise: Action = Action.ASK
    unclear: Action = Action.ASK
    permissions: Literal["session", "repository", "channel"] = "repository"
    folders: Names = Field(default_factory=list)
    rules: list[HookRule] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HookVerdict:
    """The verdict of the rules on a call: effect, reasons, and the name for people."""

    effect: Action
    why: tuple[str, ...]
    name: str
    exact: bool
    """Whether a standing permission may cover this call alone, because the script is unclear."""


def read_rules(path: Path | None) -> HookRules:
    """Read the rules; without a file, the shipped rules.

    InvalidInput names each problem.
    """
    import yaml

    place = path or STARTER
    try:
        found = yaml.safe_load(place.read_text(encoding="utf-8"))
        return HookRules.model_validate(found)
    except OSError as wrong:
        raise InvalidInput(f"The rules {place} can't be read: {wrong.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as wrong:
        raise InvalidInput(f"The rules {place} are not YAML: {' '.join(str(wrong).split())}") from None
    except ValidationError as wrong:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg'].removeprefix('Value error, ')}"
            for one in wrong.errors()
        )
        raise InvalidInput(f"The rules {place} have problems: {problems}.") from None


def judge(rules: HookRules, call: ToolCall, repository: Path, guarded: Sequence[Path]) -> HookVerdict:
    """Judge a call.

    `guarded` are the files that decide what asks: a change of them always asks, or is refused.
    """
    verdict = _Judging(rules, call, repository, guarded)
    if call.script is None:
        return verdict.of_tool()
    return verdict.of_script(read_script(call.script))


class _Judging:
    def __init__(self, rules: HookRules, call: ToolCall, repository: Path, guarded: Sequence[Path]) -> None:
        self._rules, self._call, self._guarded = rules, call, guarded
        self._folders = [call.folder]
        """Where the script may be when it writes: it may change its folder."""
        self._inside = [repository, *(resolved(folder, call.folder) for folder in rules.folders)]

    def of_tool(self) -> HookVerdict:
        found = [(rule.then, rule.why) for rule in self._rules.rules if rule.fits_tool(self._call)]
        for path in self._call.paths:
            found += self._of_write(path)
        if self._call.deed is Deed.WRITE and not self._call.paths:
            found.append((Action.ASK, "it is not known which file it writes"))
        return self._strictest(found or [(self._rules.otherwise, "")], self._call.tool, exact=False)

    def of_script(self, script: ShellScript) -> HookVerdict:
        of_tool = [(rule.then, rule.why) for rule in self._rules.rules if rule.fits_tool(self._call)]
        found = [*of_tool]
        self._follow(script)
        for command in script.commands:
            fits = [(rule.then, rule.why) for rule in self._rules.rules if rule.fits_command(command)]
            found += fits or ([] if command.perhaps or of_tool else [(self._rules.otherwise, "")])
            found += [(Action.ASK, _GUARDED) for word in command.words if word and self._is_guarded(word)]
        for path in script.writes:
            found += self._of_write(path) or [(self._rules.otherwise, "")]
        found += [(self._rules.unclear, why) for why in script.unclear]
        names = dict.fromkeys(command.prefix for command in script.commands if not command.perhaps)
        names |= dict.fromkeys(f"> {path or '…'}" for path in script.writes)
        return self._strictest(
            found or [(self._rules.otherwise, "")],
            ", ".join(names) or self._call.tool,
            exact=bool(script.unclear) or any(one.perhaps for one in script.commands),
        )

    def _of_write(self, path: Word) -> list[tuple[Action, str]]:
        outside = (
            path is None
            or any(map(path.__contains__, "*?["))
            or not all(any(place.is_relative_to(folder) for folder in self._inside) for place in self._places(path))
        )
        fits = [
            (rule.then, rule.why) for rule in self._rules.rules if rule.write == "anywhere" or (rule.write and outside)
        ]
        if path is not None and self._is_guarded(path):
            fits.append((Action.ASK, _GUARDED))
        return fits

    def _follow(self, script: ShellScript) -> None:
        """Note each folder to which the script changes; a name that is made at run time may be any folder."""
        for command in script.commands:
            if command.program in ("cd", "pushd", "popd"):
                to = next((word for word in command.words[1:] if word is None or word[:1] != "-"), "~")
                there = [Path(os.sep)] if to is None else [self._place(to, folder) for folder in self._folders]
                self._folders = [*dict.fromkeys([*self._folders, *there])][:50]

    def _is_guarded(self, path: str) -> bool:
        return any(
            place.is_relative_to(one)
            or place == one.parent not in (Path.home(), *self._inside)
            or fnmatch.fnmatchcase(str(one), str(place))
            for place in self._places(path)
            for one in self._guarded
        )

    def _places(self, path: str) -> list[Path]:
        return [self._place(path, folder) for folder in self._folders]

    @staticmethod
    def _place(path: str, folder: Path) -> Path:
        try:
            return resolved(path, folder)
        except (OSError, RuntimeError, ValueError):  # a loop of links, a user who does not exist, a NUL
            return Path(os.sep)

    @staticmethod
    def _strictest(found: Sequence[tuple[Action, str]], name: str, *, exact: bool) -> HookVerdict:
        effect = max((one for one, _ in found), key=lambda one: one.strictness)
        return HookVerdict(
            effect, tuple(dict.fromkeys(why for one, why in found if one is effect and why)), name, exact
        )


_GUARDED: Final = "it names a file that decides what people are asked about"


def _begins(command: ShellCommand, pattern: Sequence[str]) -> bool:
    """Tell whether a command begins with the pattern exactly."""
    if command.words[0] != pattern[0]:
        return False
    return tuple(command.words[1 : len(pattern)]) == tuple(pattern[1:])


def _has(command: ShellCommand, pattern: Sequence[str]) -> bool:
    """Tell whether a command is one of the pattern, however it is spelled; an unknown word may be anything."""
    if not fnmatch.fnmatchcase(command.program, pattern[0]):
        return False
    plain = iter([word for word in command.words[1:] if word is None or word[:1] != "-"])
    for wanted in pattern[1:]:
        if wanted[:1] == "-":
            if not any(_is_option(word, wanted) for word in command.words[1:]):
                return False
        elif not any(_may_be(word, wanted) for word in plain):
            return False
    return True


def _may_be(word: Word, wanted: str) -> bool:
    """Tell whether a word fits; a word with `*`, `?` or `[` may become a file of the wanted name."""
    return (
        word is None
        or fnmatch.fnmatchcase(word, wanted)
        or (re.search(r"[*?[]", word) is not None and fnmatch.fnmatchcase(wanted, word))
    )


def _is_option(word: Word, wanted: str) -> bool:
    """Tell whether a word is this option: `-fr` and `--recursive` are `-r`, `--force=yes` is `--force`."""
    if _may_be(word, wanted) or word is None or word.startswith(f"{wanted}="):
        return True
    if re.fullmatch(r"-\w", wanted):
        return (word[:2] != "--" and word[:1] == "-" and wanted[1].lower() in word[1:].lower()) or (
            word[:2] == "--" and word[2:3].lower() == wanted[1].lower()
        )
    if wanted[:2] == "--" and re.match(r"-\w", word):  # `-f` for `--force`
        return wanted[2:3] in word
    return wanted[:2] == "--" and len(word) > 2 and word[:2] == "--" and wanted.startswith(word.partition("=")[0])
