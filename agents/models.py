"""The model client that MODEL_CONFIG names, or the offline demo model when it names none.

MODEL_CONFIG is the path of a YAML file that holds one AutoGen component; `docs/models.md` has examples. Whatever is
wrong with it is one `WrongSettings` with a sentence, raised at start, and never holds a secret.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from autogen_core.models import ChatCompletionClient
from pydantic import ValidationError

from agents.demo_model import DemoModel
from bot.core.errors import WrongSettings

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def load_model(config_path: Path | None, environment: Mapping[str, str] = os.environ) -> ChatCompletionClient:
    """Build the client; no request is made. `${NAME}` in the file's texts stands for a variable of `environment`.

    The variables are put in after the YAML was read, so a secret may hold any character. WrongSettings if the file,
    a variable, the provider or its package is missing, or if the provider does not take the configuration.
    """
    if config_path is None:
        return DemoModel()
    component = _read(config_path)
    used: dict[str, str] = {}
    missing: set[str] = set()
    component = _fill(component, environment, used, missing)
    if missing:
        names = ", ".join(sorted(missing))
        raise _wrong(config_path, f"it uses {names}, which the environment does not have (or has empty); set it.")
    return _build(config_path, component, [secret for secret in used.values() if len(secret) > 3])


def _wrong(path: Path, sentence: str) -> WrongSettings:
    return WrongSettings([f"MODEL_CONFIG ({path}): {sentence} See docs/models.md."])


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _wrong(path, "there is no such file.") from None
    except (OSError, UnicodeDecodeError) as failure:
        raise _wrong(path, f"the file cannot be read: {failure}.") from None
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        # The error's own text quotes the line, which may hold a key.
        raise _wrong(path, f"this is not YAML{where}.") from None
    if not isinstance(found, dict) or not isinstance(found.get("provider"), str):
        raise _wrong(path, "this is not a component; it needs “provider:” with a name and “config:” below it.")
    if not isinstance(found.get("config"), dict):
        raise _wrong(path, "this is not a component; “config:” is missing or holds no settings.")
    return found


def _fill(value: Any, environment: Mapping[str, str], used: dict[str, str], missing: set[str]) -> Any:
    """The same YAML value with each `${NAME}` replaced; notes which variables were used and which are missing."""

    def put_in(found: re.Match[str]) -> str:
        name = found[1]
        if not environment.get(name):
            missing.add(name or "“${}”")
            return ""
        used[name] = environment[name]
        return used[name]

    if isinstance(value, str):
        return _VARIABLE.sub(put_in, value)
    if isinstance(value, dict):
        return {key: _fill(item, environment, used, missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, environment, used, missing) for item in value]
    return value


def _build(path: Path, component: dict[str, Any], secrets: list[str]) -> ChatCompletionClient:
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
    for secret in secrets:
        sentence = sentence.replace(secret, "***")
    raise _wrong(path, sentence)


_NOT_A_MODEL = ("Invalid component class", "Expected type does not match")
"""What AutoGen's loader says of a class that is no component, and of a component of another kind."""
