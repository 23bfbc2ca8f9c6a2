"""The ids, each a type of its own, so that a channel never stands where a user belongs."""

import hashlib
from typing import NewType

WorkspaceId = NewType("WorkspaceId", str)
"""Slack's team id, `T…`. Called workspace here, because a team is a team of agents."""
UserId = NewType("UserId", str)
"""Slack's user id, `U…` or `W…`; means something only together with its workspace."""
GroupId = NewType("GroupId", str)
"""Slack's user group id, `S…`."""
ChannelId = NewType("ChannelId", str)
RunId = NewType("RunId", str)
RequestId = NewType("RequestId", str)
AttemptId = NewType("AttemptId", str)
"""One person's one click, whatever number of times it is delivered (R8)."""
Digest = NewType("Digest", str)
"""SHA-256, in hex, of exactly what a request shows."""

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def digest_of(*parts: str | bytes) -> Digest:
    """Digest of the parts; their borders count, so ("ab", "c") and ("a", "bc") differ. A text counts as its UTF-8."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        whole.update(len(raw).to_bytes(8, "big"))
        whole.update(raw)
    return Digest(whole.hexdigest())


def short_name(*parts: str, length: int) -> str:
    """A readable name made from the parts: the same parts give the same name, without 0/o, 1/l/i."""
    number = int(digest_of(*parts), 16)
    letters = []
    for _ in range(length):
        number, at = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[at])
    return "".join(letters)
