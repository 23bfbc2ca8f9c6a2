"""The one form of a call's arguments, which is judged, shown and run (R28).

A model writes `"4711"` where the tool takes 4711, or leaves out what has a default. Whoever judged what was written
would judge another call than the one that is made. So the arguments are read as the tool reads them, and written down
again: by its pydantic model where there is one, else by its JSON schema, which changes nothing and refuses what does
not fit. What comes out differently when it is read once more has no such form, and is refused.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any, Final

from autogen_core.tools import ToolResult
from pydantic import AliasChoices, BaseModel, RootModel, SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from countersign.domain.json_arguments import written
from countersign.domain.redaction import MARK, hide_in
from countersign.frameworks.autogen.tools.workbenches import KEY_ARGUMENT, error_result
from countersign.json_schema import why_not

Normalize = Callable[[Mapping[str, Any]], dict[str, Any]]
"""The arguments as the tool takes them, as JSON; ValueError, with a sentence for the model, if it does not."""
_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)
_EMPTY: Final = (list, dict, set, frozenset, tuple)
"""Makers of defaults that come to the same each time."""


def normalizer(model: type[BaseModel] | None, parameters: Mapping[str, Any], hide: Collection[str]) -> Normalize:
    """Describe how a tool takes its arguments.

    `model` is its own model, if it has one, and `parameters` its JSON schema. The idempotency key is not among them:
    neither the model gives it, nor does anybody judge it.
    """

    def normalize(given: Mapping[str, Any]) -> dict[str, Any]:
        if model is None:
            return by_schema(parameters, given)
        key = {KEY_ARGUMENT: ""} if KEY_ARGUMENT in model.model_fields else {}
        return {name: value for name, value in by_model(model, {**key, **given}, hide).items() if name not in key}

    return normalize


def by_model(model: type[BaseModel], given: Mapping[str, Any], hide: Collection[str] = ()) -> dict[str, Any]:
    """Return the arguments as the tool's model takes them, with its defaults."""
    try:
        value = model.model_validate(given)
        if model.model_config.get("extra") in (None, "ignore"):
            _only(given, {name for field in model.model_fields.items() for name in _names(*field)})
        taken = _without_wrong_defaults(model, plain(value), given)
        again = _without_wrong_defaults(model, plain(model.model_validate(taken)), given)
    except ValidationError as wrong:
        raise ValueError(f"The call was not made: {problem(wrong, given, hide)}") from None
    except (TypeError, RecursionError, UnicodeError) as wrong:
        raise ValueError(f"The call was not made: its arguments cannot be written down ({wrong}).") from None
    if written(again) != written(taken):
        raise ValueError(
            "The call was not made, and nobody was asked: what the tool makes of these arguments changes when it is "
            "read again, so nobody could say what would run. The tool's own types must be mended."
        )
    return taken


def by_schema(parameters: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as they are, with the schema's defaults."""
    known = parameters.get("properties") or {}
    defaults = {name: part["default"] for name, part in known.items() if isinstance(part, dict) and "default" in part}
    fitting = {n: v for n, v in defaults.items() if why_not(v, known[n], parameters, whole=True) is None}
    taken = {**fitting, **given}
    if wrong := why_not(taken, closed(parameters), parameters, whole=True):
        raise ValueError(f"The call was not made: {wrong}")
    return taken


def normalized_edit(changed: str, normalize: Normalize, hide: Collection[str]) -> str:
    """Return what a reviewer made of a call as the tool takes it.

    That is what was entered, with defaults, and nothing else.
    """
    entered = json.loads(changed)
    try:
        taken = normalize(entered)
    except ValueError as wrong:
        raise ValueError(f"A reviewer approved the call with changes that the tool does not take. {wrong}") from None
    if not _holds(taken, entered):
        shown = json.dumps(hide_in(taken, hide)[0], ensure_ascii=False, sort_keys=True)
        raise ValueError(
            "The call was not made. A reviewer approved it with changes, and the tool would read them as something "
            f"else, which nobody has seen: {shown}. If that is meant, make the call with these arguments."
        )
    return written(taken)


def _holds(taken: Any, entered: Any) -> bool:
    if isinstance(taken, dict) and isinstance(entered, dict):
        return all(name in taken and _holds(taken[name], inner) for name, inner in entered.items())
    if isinstance(taken, list) and isinstance(entered, list):
        return len(taken) == len(entered) and all(map(_holds, taken, entered))
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (taken, entered))
    return bool(taken == entered) and (numbers or type(taken) is type(entered))


def closed(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema, open to names that it does not list only where it says so."""
    mixed = any(word in parameters for word in ("anyOf", "oneOf", "allOf", "$ref"))
    return parameters if mixed else {"additionalProperties": False, **parameters}


def problem(wrong: ValidationError, given: Any, hide: Collection[str]) -> str:
    """Say what is wrong with arguments, without the values that nobody may see."""
    problems = []
    for error in wrong.errors(include_url=False, include_input=False, include_context=False):
        at = ".".join(map(str, error["loc"]))
        unseen = error["type"] != "missing" and bool(hide_in(_at(error["loc"]), hide)[1])
        why = "isn't what the tool accepts" if unseen else error["msg"]
        problems.append(f"{at or 'the arguments'}: {why}")
    return without_hidden("; ".join(problems), given, hide)


def failure(error: BaseException, arguments: str, hide: Collection[str]) -> str:
    """Say how a tool failed, without the values that nobody may see."""
    given = json.loads(arguments)
    text = problem(error, given, hide) if isinstance(error, ValidationError) else str(error)
    text = f"SystemExit: {text}" if isinstance(error, SystemExit) else text or type(error).__name__
    return without_hidden(text, given, hide)


def failed_result(result: ToolResult, arguments: str, hide: Collection[str]) -> ToolResult:
    """Take the values that nobody may see out of the result of a tool that failed."""
    text = result.to_text()
    cleaned = without_hidden(text, json.loads(arguments), hide)
    return result if cleaned == text else error_result(result.name, cleaned)


def without_hidden(text: str, arguments: Any, hide: Collection[str]) -> str:
    """Take the values at the hidden paths out of the text."""
    pairs = dict(_hidden(arguments, hide_in(arguments, hide)[0]))
    if not pairs:
        return text
    longest_first = sorted(pairs, key=len, reverse=True)
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(value)}(?!\w)" for value in longest_first))
    return pattern.sub(lambda match: pairs[match[0]], text)


def _hidden(value: Any, shown: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and isinstance(shown, dict):
        for name, inner in value.items():
            yield from _hidden(inner, shown[name])
    elif isinstance(value, list) and isinstance(shown, list):
        for inner, seen in zip(value, shown, strict=True):
            yield from _hidden(inner, seen)
    elif isinstance(shown, str) and value != shown and MARK.fullmatch(shown):
        yield value if isinstance(value, str) else json.dumps(value), shown


def _at(path: tuple[int | str, ...]) -> Any:
    """Something at a path."""
    value: Any = "something"
    for name in reversed(path):
        value = {str(name): value}
    return value


def _only(given: Mapping[str, Any], known: Collection[str]) -> None:
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"The call was not made: the tool has no argument “{unknown[0]}”.")


def _names(name: str, field: FieldInfo) -> Iterator[str]:
    """Yield the names of an argument, first the one that is used here."""
    alias = field.validation_alias or field.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    yield from (choice for choice in choices if isinstance(choice, str))
    yield name


def plain(value: Any) -> Any:
    """Return the value as JSON that reads back as the same, else ValueError.

    Secrets are in it too.
    """
    if isinstance(value, RootModel):
        return plain(value.root)
    if isinstance(value, BaseModel):
        own = {
            next(_names(name, field)): plain(getattr(value, name))
            for name, field in type(value).model_fields.items()
            if name in value.model_fields_set or field.default_factory is None or field.default_factory in _EMPTY
        }
        return own | {name: plain(inner) for name, inner in (value.model_extra or {}).items()}
    if isinstance(value, SecretStr | SecretBytes):
        return plain(value.get_secret_value())
    if isinstance(value, Mapping):
        return {_name(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | deque):
        return [plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(inner) for inner in value), key=lambda inner: json.dumps(inner, sort_keys=True))
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.init}
    if isinstance(value, Decimal):
        return _number(value)
    return _ANY.dump_python(value, mode="json")


def _name(value: Any) -> str:
    name = plain(value)
    return name if isinstance(name, str) else json.dumps(name)


def _number(value: Decimal) -> Any:
    """Return a number where JSON keeps all of it, so that conditions can compare it."""
    if value.is_finite() and value == value.to_integral_value() and abs(value) < 10**300:
        return int(value)
    return float(value) if value.is_finite() and Decimal(repr(float(value))) == value else str(value)


def _without_wrong_defaults(model: type[BaseModel], taken: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Drop defaults that the model itself would not take, like `note: str = None`."""
    while True:
        try:
            model.model_validate(taken)
        except ValidationError as wrong:
            if not any([_left_out(error["loc"], taken, given) for error in wrong.errors()]):
                raise
        else:
            return taken


def _left_out(path: tuple[int | str, ...], taken: Any, given: Any) -> bool:
    """Say whether the path leads to an argument that was not given.

    Such an argument is not taken any more.
    """
    for name in path:
        if isinstance(taken, dict) and name in taken and isinstance(given, Mapping) and name not in given:
            del taken[name]
            return True
        try:
            taken, given = taken[name], given[name]
        except (KeyError, IndexError, TypeError):
            return False
    return False
