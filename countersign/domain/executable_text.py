"""Whether a text could act: then no guess hides it from who judges it (R30)."""

import re
from typing import Final

_SIGNS: Final = re.compile(r"[\s\x00-\x1f;|&$`<>(){}\[\]\\]")
_PATH: Final = re.compile(r"[@!-]|\.{0,2}/|~|[A-Za-z]:[/\\]|[^/]*/")
_ADDRESS: Final = re.compile(
    r"(?:[^@:/]*@)?(?:[\w-]+\.)+[A-Za-z]{1,12}(?::[0-9]*)?(?:/.*)?|[0-9]+(?:[.:][0-9]*)+(?:/.*)?"
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_TURNS: Final = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[0-9])[A-Za-z]|(?<=[A-Z])[0-9]")


def could_act(text: str) -> bool:
    """Whether this could be a command, a path, an option or an address: then nothing but a team's own word hides it."""
    if _SIGNS.search(text) or _ADDRESS.fullmatch(text):
        return True
    return bool(_PATH.match(text)) and not _is_base64(text)


def _is_base64(text: str) -> bool:
    """Characters drawn by lot, of which one may be a slash: no path changes so often between letters and digits."""
    long_parts = len(text) >= 8 * (text.count("/") + 1)
    return bool(_BASE64.fullmatch(text)) and long_parts and 6 * len(_TURNS.findall(text)) >= len(text)
