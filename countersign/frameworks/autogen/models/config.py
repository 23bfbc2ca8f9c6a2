"""The model clients that MODEL_CONFIG names, or else the offline demo model.

MODEL_CONFIG is the path of a YAML file that holds one AutoGen component, or several in order of preference;
`docs/models.md` has examples. Whatever is wrong with it is one `WrongSettings` with all of it, raised at start, and
never holds a secret.
"""

import importlib
import inspect
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from autogen_core.models import ChatCompletionClient
from pydantic import ValidationError

from countersign.domain.durations import parse_duration
from countersign.domain.errors import InvalidInput, WrongSettings
from countersign.domain.ids import digest_of
from countersign.frameworks.autogen.models.completion_cache import CachedModel
from countersign.frameworks.autogen.models.demo import DemoModel
from countersign.frameworks.autogen.models.fallback import AGAIN, Choice, FallbackModel
from countersign.secret_files import read_secret
from countersign.usecases.ports import Answers

log = logging.getLogger(__name__)

LONGEST_WAIT: Final = timedelta(minutes=5)
"""For a whole answer, or for the next piece of one that is streamed, where the file names no other."""
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_COMPONENT: Final = ("provider", "config", "label", "description", "component_type", "component_version", "version")
_SECRET: Final = re.compile("key|token|secret|password", re.IGNORECASE)


def load_model(
    config_path: Path | None, environment: Mapping[str, str] = os.environ, *, answers: Answers | None = None
) -> ChatCompletionClient:
    """Build the model client; no request is made.

    `${NAME}` in the file's texts stands for a variable of `environment`, or for the file that `NAME_FILE` names. The
    variables are filled in after the YAML was read, so a secret may hold any character. `answers` is where answers are
    kept, if the file says so. WrongSettings, with every problem, if the file, a variable, a provider or its package is
    missing, or if a provider rejects its configuration.
    """
    if config_path is None:
        return DemoModel()
    written = _read(config_path)
    reading = _Reading(written, environment)
    choices = reading.choices()
    kept = reading.duration(written, "cache", "")
    if reading.problems:
        raise WrongSettings(
            [f"MODEL_CONFIG ({config_path}): {problem} See docs/models.md." for problem in reading.problems]
        )
    _say_what_others_cannot(choices)
    model = FallbackModel(choices, reading.redact)
    if kept is None:
        return model
    if answers is None:
        raise ValueError("MODEL_CONFIG asks for a cache, and there is no place for one.")
    # As it was written: the answers of a file with another key are the same ones.
    asked = {key: value for key, value in written.items() if key not in ("cache", "timeout")}
    return CachedModel(model, answers, kept, digest_of(json.dumps(asked, sort_keys=True, default=str)))


def _wrong(path: Path, sentence: str) -> WrongSettings:
    return WrongSettings([f"MODEL_CONFIG ({path}): {sentence} See docs/models.md."])


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _wrong(path, "there is no such file.") from None
    except (OSError, UnicodeDecodeError) as failure:
        raise _wrong(path, f"the file cannot be read: {failure}.") from None
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        # The error's own text quotes the line, which may hold a key.
        raise _wrong(path, f"this is not YAML{where}.") from None
    if not isinstance(content, dict):
        raise _wrong(path, f"this is {_NOT_A_COMPONENT}")
    return content


_NOT_A_COMPONENT: Final = "not a component; it needs “provider:” with a name and “config:” with settings below it."


class _Unfit(Exception):
    """A component cannot be built; the text says why."""


class _Reading:
    """A walk through the file that collects its problems and its secrets."""

    def __init__(self, written: dict[str, Any], environment: Mapping[str, str]) -> None:
        self._written = written
        self._environment = environment
        self._secrets: set[str] = set()
        self.problems: list[str] = []

    def redact(self, text: str) -> str:
        """Take the secrets out of the text."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def choices(self) -> list[Choice]:
        """Return the models in order; wrong ones are left out and noted."""
        if "models" not in self._written:
            choices = [self._choice(self._written, "", (*_COMPONENT, "timeout", "cache"), last=True)]
            return [choice for choice in choices if choice is not None]
        self._only(self._written, "", ("models", "timeout", "cache"))
        entries = self._written["models"]
        if not isinstance(entries, list) or not entries:
            self.problems.append("“models:” must be a list of components, in order of preference.")
            return []
        choices = [
            self._choice(entry, f"model {place}: ", (*_COMPONENT, "timeout"), last=place == len(entries))
            for place, entry in enumerate(entries, 1)
        ]
        return _with_distinct_names([choice for choice in choices if choice is not None])

    def _choice(self, entry: Any, where: str, known: Sequence[str], *, last: bool) -> Choice | None:
        if not isinstance(entry, dict) or not isinstance(entry.get("provider"), str):
            self.problems.append(f"{where}this is {_NOT_A_COMPONENT}")
            return None
        if not isinstance(entry.get("config"), dict):
            self.problems.append(f"{where}this is not a component; “config:” is missing or holds no settings.")
            return None
        self._only(entry, where, known)
        timeout = self.duration(entry, "timeout", where)
        if "models" in self._written and "timeout" not in entry:
            timeout = self.duration(self._written, "timeout", "")
        used: dict[str, str] = {}
        missing: set[str] = set()
        try:
            component = _fill({k: v for k, v in entry.items() if k in _COMPONENT}, self._environment, used, missing)
        except InvalidInput as unreadable:
            self.problems.append(f"{where}{unreadable}")
            return None
        self._secrets |= {text for text in (*used.values(), *_keys_in(component)) if len(text) > 3}
        if missing:
            names = ", ".join(sorted(missing))
            self.problems.append(f"{where}it uses {names}, which the environment does not have (or has empty); set it.")
            return None
        again = AGAIN if _without_retries(component) and last else 0
        try:
            client = _build(component)
        except _Unfit as problem:
            self.problems.append(self.redact(f"{where}{problem}"))
            return None
        return Choice(_name_of(component), client, timeout or LONGEST_WAIT, _streaming(component, client), again)

    def duration(self, entry: dict[str, Any], key: str, where: str) -> timedelta | None:
        """Return the span under the key; None if there is none, or it is wrong and noted."""
        if key not in entry:
            return None
        try:
            return parse_duration(str(entry[key]))
        except InvalidInput as wrong:
            problem = f"{where}{key}: {str(wrong).replace('; nothing was changed', '')}"
            if problem not in self.problems:
                self.problems.append(problem)
            return None

    def _only(self, entry: dict[str, Any], where: str, known: Sequence[str]) -> None:
        if unknown := [str(key) for key in entry if key not in known]:
            self.problems.append(f"{where}“{'”, “'.join(unknown)}” is not known here; known: {', '.join(known)}.")


def _with_distinct_names(choices: list[Choice]) -> list[Choice]:
    """Make the names differ: the second of a name becomes “name (2)”."""
    names: list[str] = []
    renamed = []
    for choice in choices:
        times = names.count(choice.name) + 1
        names.append(choice.name)
        name = choice.name if times == 1 else f"{choice.name} ({times})"
        renamed.append(replace(choice, name=name))
    return renamed


def _name_of(component: dict[str, Any]) -> str:
    named = component.get("label") or component["config"].get("model") or component["provider"].rpartition(".")[2]
    return str(named)[:60]


def _keys_in(component: dict[str, Any]) -> list[str]:
    return [text for name, text in component["config"].items() if _SECRET.search(str(name)) and isinstance(text, str)]


def _without_retries(component: dict[str, Any]) -> bool:
    """Turn off the client's own retries, unless the file sets them; say whether.

    Another model is asked at once instead, and the last one again, of which people are told.
    """
    module, _, name = component["provider"].rpartition(".")
    try:
        fields = getattr(importlib.import_module(module), name).component_config_schema.model_fields
    except Exception:  # building it says what is wrong
        return False
    if "max_retries" not in fields or "max_retries" in component["config"]:
        return False
    component["config"]["max_retries"] = 0
    return True


def _streaming(component: dict[str, Any], client: ChatCompletionClient) -> dict[str, Any]:
    """OpenAI's servers count tokens of what they stream only if asked to."""
    takes = "include_usage" in inspect.signature(client.create_stream).parameters
    return {"include_usage": True} if takes and "stream_options" not in component["config"] else {}


def _say_what_others_cannot(choices: Sequence[Choice]) -> None:
    first = choices[0].client.model_info
    for choice in choices[1:]:
        able = choice.client.model_info
        if missing := [k for k in ("function_calling", "vision", "json_output") if first.get(k) and not able.get(k)]:
            log.warning("%s has no %s; it is not asked where that is needed.", choice.name, ", ".join(missing))


def _fill(value: Any, environment: Mapping[str, str], used: dict[str, str], missing: set[str]) -> Any:
    """Replace each `${NAME}` in a YAML value; note variables used and missing."""

    def put_in(match: re.Match[str]) -> str:
        name = match[1]
        if not name or (secret := read_secret(name, environment)) is None:
            missing.add(name or "“${}”")
            return ""
        used[name] = secret
        return secret

    if isinstance(value, str):
        return _VARIABLE.sub(put_in, value)
    if isinstance(value, dict):
        return {key: _fill(item, environment, used, missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, environment, used, missing) for item in value]
    return value


def _build(component: dict[str, Any]) -> ChatCompletionClient:
    provider: str = component["provider"]
    module, _, _ = provider.rpartition(".")
    try:
        return ChatCompletionClient.load_component(component)
    except ValidationError as failure:
        problems = "; ".join(
            f"{'.'.join(str(p) for p in error['loc']) or 'config'}: {error['msg']}"
            for error in failure.errors(include_input=False, include_url=False)
        )
        sentence = f"{provider} does not take this configuration: {problems}."
    except ModuleNotFoundError as failure:
        if failure.name is not None and (module == failure.name or module.startswith(f"{failure.name}.")):
            sentence = f"there is no provider “{provider}”."
        else:
            sentence = f"{provider} needs the package “{failure.name}”, which is not installed."
    except ImportError as failure:
        sentence = f"{provider} needs a package that is not installed: {failure}."
    except Exception as failure:
        # Providers raise whatever they like when they are built: all of it means that the file is wrong.
        if not module or isinstance(failure, AttributeError):
            sentence = f"there is no provider “{provider}”."
        elif isinstance(failure, TypeError) and str(failure) in _NOT_A_MODEL:
            sentence = f"{provider} is not a model client."
        else:
            sentence = f"{provider} cannot be built: {type(failure).__name__}: {failure}."
    raise _Unfit(sentence)


_NOT_A_MODEL = ("Invalid component class", "Expected type does not match")
"""What AutoGen's loader says of a class that is no component, and of a component of another kind."""
