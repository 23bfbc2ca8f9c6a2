"""Secrets of the environment: `NAME`, or the file that `NAME_FILE` names.

Container platforms mount secrets as files, which child processes do not inherit and `docker inspect` does not show.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from countersign.domain.errors import InvalidInput

SUFFIX: Final = "_FILE"
_LARGEST: Final = 65_536


def read_secret(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the secret, or None if neither variable is set.

    An empty variable counts as not set. InvalidInput if both are set, or if the file is unreadable, empty or has
    several lines; its text shows no content.
    """
    value, path = environment.get(name), environment.get(name + SUFFIX)
    if not path:
        return value or None
    if value:
        raise InvalidInput(f"{name} and {name}{SUFFIX} are both set; remove one of them.")
    return _content(f"{name}{SUFFIX}", path)


def is_given(name: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether the secret or its file is named, without reading the file."""
    return bool(environment.get(name) or environment.get(name + SUFFIX))


def _content(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
        text = content.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{variable}: the file “{path}” is not text in UTF-8.") from None
    except (OSError, ValueError) as failure:
        why = getattr(failure, "strerror", None) or "not a path"
        raise InvalidInput(f"{variable}: the file “{path}” cannot be read ({why}).") from None
    text = text.rstrip("\r\n")
    if len(content) > _LARGEST or "\n" in text or "\r" in text:
        raise InvalidInput(f"{variable}: the file “{path}” must hold the secret alone, in one line.")
    if not text:
        raise InvalidInput(f"{variable}: the file “{path}” is empty.")
    return text
