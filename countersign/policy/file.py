"""Reader of `approvals.yaml`, a workspace's policy, that lists all problems.

Its JSON schema is `docs/approvals.schema.json` (`countersign policy schema`), for editors.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast, get_args, get_type_hints

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from countersign.domain.actions import Action
from countersign.domain.channel_settings import (
    IN_POLICY,
    ChannelSettings,
    Escalation,
    OnTimeout,
    Risk,
    escalation_problems,
)
from countersign.domain.durations import parse_duration
from countersign.domain.errors import InvalidInput, WrongSettings
from countersign.domain.ids import ChannelId
from countersign.domain.people import MEMBERS, Reviewers, reviewers_named
from countersign.policy.conditions import check
from countersign.policy.evaluation import Clause, Rulebook

LARGEST: Final = 1_000_000
"""Most bytes of a policy file."""
Problem = tuple[int, str]
"""The line, from 1, and a sentence."""


def _as(read: Callable[[Any], Any]) -> AfterValidator:
    """Convert a valid field by `read`; its InvalidInput becomes a problem of the file."""

    def value(text: Any) -> Any:
        try:
            return read(text)
        except InvalidInput as wrong:
            raise ValueError(str(wrong).replace("; nothing was changed", "")) from None

    return AfterValidator(value)


def _reminder(words: str) -> timedelta:
    return timedelta(0) if words == "off" else parse_duration(words)


Names = Annotated[str, Field(min_length=1, max_length=100)]
Duration = Annotated[str, _as(parse_duration), Field(examples=["15m", "4h", "2d"])]
Reminder = Annotated[str, _as(_reminder), Field(examples=["15m", "off"])]
Person = Annotated[str, Field(pattern=rf"^([UWS][A-Z0-9]+|{MEMBERS})$")]
People = Annotated[list[Person], Field(min_length=1), _as(reviewers_named)]
Channel = Annotated[str, Field(pattern=r"^[CG][A-Z0-9]+$"), _as(ChannelId)]
"""Types as written in the file; `_as` converts them for the models."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class StepInFile(_Strict):
    """One step of an escalation."""

    after: Duration = Field(description="so long after the question: 30m, 4h")
    reviewers: People = Field(description="who may decide then too, by id")
    send_to: Channel | None = Field(None, description="the channel where they are told; left out: where the card is")


def _step(step: Any) -> Escalation:
    return Escalation(step.after, step.reviewers, step.send_to)


class _Rule(_Strict):
    """The fields of a rule that are not settings."""

    name: str = Field(min_length=1, max_length=80, description="what people read when this rule counts")
    then: Action = Field(description="allow: nobody is asked; ask: people decide; deny: it is never done")
    team: Names = Field("*", description="of the team's name; * stands for anything")
    agent: Names = Field("*", description="of the asking agent's name")
    program: Names = Field("", description="of the name that a program's key has; * for all programs, but no team")
    tool: Names = Field("*", description="of the tool's name")
    channels: list[Channel] = Field([], description="only runs started in these channels, by id")
    risk: Risk | None = Field(None, description="only tools of at least this risk")
    condition: Annotated[str, _as(check)] = Field(
        "", alias="if", description="of the call's arguments, like: amount > 500 and currency == 'EUR'"
    )
    why: str = Field("", max_length=300, description="the reason, for those who read of a refusal or a question")


_WRITTEN: Final[Mapping[Any, Any]] = {
    Reviewers: People,
    timedelta: Duration,
    "remind_after": Reminder,
    int: Annotated[int, Field(ge=1, le=20)],
    ChannelId: Channel,
    tuple[Escalation, ...]: Annotated[
        list[Annotated[StepInFile, AfterValidator(_step)]], Field(max_length=5), AfterValidator(tuple)
    ],
}
"""Types of settings in the file, by name or type; other settings keep their type."""


def _written(name: str) -> Any:
    kind = get_args(get_type_hints(ChannelSettings)[name])[0]
    return _WRITTEN.get(name) or _WRITTEN.get(kind, kind)


_SETTINGS: Final[dict[str, Any]] = {
    setting.key: (_written(name) | None, Field(None, description=setting.about)) for name, setting in IN_POLICY.items()
}
RuleInFile = create_model(
    "RuleInFile", __base__=_Rule, __doc__="One rule. A field that is left out fits everything.", **_SETTINGS
)


def _clause(rule: Any) -> Clause:
    """Convert a rule of the file; its line is found later."""
    terms = ChannelSettings(**{name: getattr(rule, setting.key) for name, setting in IN_POLICY.items()})
    names = {
        name: getattr(rule, name) for name in ("name", "team", "agent", "program", "tool", "risk", "condition", "why")
    }
    return Clause(**names, then=rule.then, line=0, channels=frozenset(rule.channels), terms=terms)


class PolicyInFile(_Strict):
    """A workspace's policy: of all rules that fit an action, the strictest counts."""

    version: Literal[1]
    risks: dict[Names, Risk] = Field({}, description="patterns of tools' names, and how much harm they may do")
    rules: list[Annotated[RuleInFile, AfterValidator(_clause)]] = Field([], max_length=500)  # type: ignore[valid-type]


_SELECTING: Final = ("team", "agent", "program", "tool", "channels", "risk", "condition")


def read(path: Path) -> Rulebook:
    """Read the policy in a file.

    WrongSettings, with every problem and its line, if it cannot be used.
    """
    try:
        raw = path.read_bytes()
    except OSError as wrong:
        reason = "there is no such file" if isinstance(wrong, FileNotFoundError) else wrong.strerror
        raise WrongSettings([f"{path}: the policy cannot be read: {reason}."]) from None
    if len(raw) > LARGEST:
        raise WrongSettings([f"{path}: it has more than {LARGEST:,} bytes."])
    try:
        return understand(raw.decode())
    except UnicodeDecodeError:
        raise WrongSettings([f"{path}: it is not UTF-8."]) from None
    except WrongSettings as wrong:
        raise WrongSettings([f"{path}, {problem}" for problem in wrong.problems]) from None


def understand(text: str) -> Rulebook:
    """Read the policy in a text; WrongSettings, with every problem and its line."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        plain = yaml.safe_load(text)
        problems = [] if tree is None else [*_duplicate_keys(tree)]
    except yaml.MarkedYAMLError as wrong:
        line = wrong.problem_mark.line + 1 if wrong.problem_mark else 1
        raise WrongSettings([f"line {line}: this is not YAML ({wrong.problem})."]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as wrong:
        raise WrongSettings([f"line 1: this is not YAML ({type(wrong).__name__})."]) from None
    if tree is None or not isinstance(plain, dict):
        raise WrongSettings(["line 1: this is not a policy; a policy begins with “version: 1”."])
    try:
        policy = PolicyInFile.model_validate(plain)
    except ValidationError as wrong:
        problems += [_problem(tree, error) for error in wrong.errors(include_url=False)]
        raise _wrong(problems) from None
    rules = cast("list[Clause]", policy.rules)
    clauses = tuple(replace(clause, line=_line(tree, ("rules", at))) for at, clause in enumerate(rules))
    problems += _contradictions(clauses)
    if problems:
        raise _wrong(problems)
    return Rulebook(clauses, tuple(policy.risks.items()))


def _escalation_problems(terms: ChannelSettings) -> list[str]:
    """List faults of an escalation, as far as settings left to the channel allow."""
    limit = None if terms.on_timeout is OnTimeout.WAIT else terms.timeout
    return escalation_problems(terms.escalation or (), terms.reviewers or Reviewers(), terms.approvals_channel, limit)


def _contradictions(clauses: Sequence[Clause]) -> Iterator[Problem]:
    """Find rules that contradict themselves or others."""
    names = Counter(clause.name for clause in clauses)
    seen: dict[tuple[Any, ...], Clause] = {}
    for clause in clauses:
        name, line, terms = clause.name, clause.line, clause.terms
        if names[name] > 1:
            yield line, f"another rule is called “{name}” too; people could not tell which of them counted."
        idle = [setting.key for field, setting in IN_POLICY.items() if getattr(terms, field) is not None]
        if clause.then is not Action.ASK and idle:
            yield line, f"“{name}” asks nobody, so {', '.join(idle)} would mean nothing."
        if clause.program and (clause.team, clause.agent) != ("*", "*"):
            yield line, f"“{name}” is for programs by their key, which have no team and only say what agent they are."
        people = terms.reviewers
        if people and not people.groups and not people.members and (terms.quorum or 1) > len(people.users):
            yield line, f"“{name}” needs {terms.quorum} approvals, but only {len(people.users)} may approve."
        for problem in _escalation_problems(terms):
            yield line, f"“{name}”: {problem}"
        other = seen.setdefault(tuple(getattr(clause, field) for field in _SELECTING), clause)
        if other.then is not clause.then:
            yield (
                line,
                f"“{name}” says {clause.then} of the same actions of which “{other.name}” in line {other.line} says "
                f"{other.then}; only the stricter would ever count.",
            )


def _duplicate_keys(node: Node, where: str = "") -> Iterator[Problem]:
    """Find duplicate keys, of which YAML would silently take the last."""
    if isinstance(node, MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if key.value in keys:
                yield key.start_mark.line + 1, f"“{key.value}” stands here twice{where}."
            keys.add(key.value)
            yield from _duplicate_keys(value, f" in “{key.value}”")
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _duplicate_keys(item, where)


def _line(node: Node, path: tuple[int | str, ...]) -> int:
    """Find the line of the value at the path, or of its nearest existing parent."""
    line = node.start_mark.line + 1
    for step in path:
        if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
        elif isinstance(node, MappingNode):
            entry = next(((k, v) for k, v in node.value if isinstance(k, ScalarNode) and k.value == str(step)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line + 1, entry[1]
            continue
        else:
            break
        line = node.start_mark.line + 1
    return line


def _problem(tree: Node, error: Any) -> Problem:
    path = tuple(step for step in error["loc"] if step != "[key]")
    place = ".".join(str(step) for step in path if not isinstance(step, int))
    match error["type"]:
        case "extra_forbidden":
            sentence = f"there is no setting “{path[-1]}”; check the spelling."
        case "missing":
            sentence = f"“{path[-1]}” is missing."
        case "int_parsing" | "int_type":
            sentence = f"{place}: must be a whole number."
        case "enum" | "literal_error":
            sentence = f"{place}: must be {error['ctx']['expected']}."
        case _:
            sentence = f"{place or 'the file'}: {re.sub(r'^Value error, ', '', error['msg'])}."
    return _line(tree, path), sentence.replace("..", ".")


def _wrong(problems: list[Problem]) -> WrongSettings:
    return WrongSettings([f"line {line}: {sentence}" for line, sentence in sorted(set(problems))])
