"""What a model's client raised, recorded so that the team's own code meets the same error in a rebuilt run.

A client that asks again decides by the error's class and by what it says of itself (`status_code`, `code`). So the
class is looked for among those that this process has loaded, and nothing of it is called.
"""

import json
import sys
from typing import Final

from bot.core.secrets import hide

_PLAIN: Final = (str, int, float, bool, type(None))


class ModelError(Exception):
    """An error of a model's client of which this process does not know the class."""


def dump(error: Exception) -> str:
    """JSON, without secrets."""
    said = {name: _shown(value) for name, value in vars(error).items() if isinstance(value, _PLAIN)}
    classes = [(kind.__module__, kind.__qualname__) for kind in type(error).__mro__]
    return json.dumps({"classes": classes, "words": hide(str(error))[0], "said": said})


def load(recorded: str) -> Exception:
    """The error; of the nearest class that is known here."""
    found = json.loads(recorded)
    kind = next((known for path in found["classes"] if (known := _loaded(*path)) is not None), ModelError)
    try:
        error = kind.__new__(kind, found["words"])
    except TypeError:  # it cannot be made from outside
        error = ModelError()
    error.args = (found["words"],)
    error.__dict__.update(found["said"])
    return error


def _shown(value: object) -> object:
    return hide(value)[0] if isinstance(value, str) else value


def _loaded(module: str, name: str) -> type[Exception] | None:
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, Exception) and found is not Exception:
        return found
    return None
