"""Paths to which somebody returns after a sign-in: ours, and no other address."""

import re
from typing import Final

_OURS: Final = re.compile(
    r"/(requests/q[a-z0-9]{1,40}|runs/[rsp][a-z0-9_-]{1,40}|passkeys|people|settings/[0-9a-f]{64}|confirm/[\w-]{1,64})?"
)


def return_path(text: str) -> str:
    """Return the path if it is one of our pages, else that of the inbox."""
    return text if _OURS.fullmatch(text) else "/"
