"""Payloads made wrong: a part of one exchanged, removed, doubled, made longer, deeper, or another's."""

import json
from copy import deepcopy
from random import Random
from typing import Any, Final

ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**63, -(10**30), 1e308, 0.5, [], {}, [[]], [{}], {"": ""},
    "", " ", "0", "-1", "1e5", "٣", "null", "true", "\x00", "\ud800", "\u202eevil", "a\nb", "𝕬", "é" * 300,
    "<!channel>", "<@U0BOB> *Approved*", "../../etc/passwd", "{x}:asked:1", "U0BOB'--", "C0APPROVALS", "C0NOWHERE",
    "T0OTHER", "rtest", "q" + "2" * 16, "r" + "z" * 5000, "2026-03-06T17:00:00", "9999-12-31T23:59:59.999999Z",
    "P99999D", "stop", "park", '{"', "[" * 50, "%", "%ff", "\\", "`", "&amp;",
)  # fmt: skip
"""Values of every kind, and texts that have a meaning somewhere. None of them names a person who may decide."""


def mutated(value: Any, random: Random) -> Any:
    """A copy with one to four parts made wrong."""
    copy = json.loads(json.dumps(value))
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        copy = _once(copy, random)
    return copy


def spoiled(raw: bytes, random: Random) -> bytes:
    """The bytes with some of them exchanged, removed, doubled or put in."""
    if not raw:
        return random.randbytes(20)
    at, length = random.randrange(len(raw)), random.choice((1, 2, 16, 300))
    match random.randrange(5):
        case 0:
            return raw[:at] + random.randbytes(length) + raw[at + length :]
        case 1:
            return raw[:at] + raw[at + length :]
        case 2:
            return raw[:at] + raw[at : at + length] * random.choice((2, 50)) + raw[at:]
        case 3:
            return raw[:at]
    return raw[:at] + bytes([raw[at] ^ 1 << random.randrange(8)]) + raw[at + 1 :]


def _once(value: Any, random: Random) -> Any:
    places = _places(value)
    if not places:
        return _odd(random)
    holder, name = random.choice(places)
    match random.randrange(8):
        case 0 if isinstance(holder, dict):
            del holder[name]
        case 1:
            holder[name] = [deepcopy(holder[name]) for _ in range(random.choice((1, 2, 200)))]
        case 2 if isinstance(holder[name], str):
            holder[name] = holder[name] * random.choice((2, 100)) or "x" * 50_000
        case 3:
            holder[name] = _deep(random.choice((3, 60, 150)), holder[name])
        case 4:
            other, key = random.choice(places)
            holder[name] = json.loads(json.dumps(other[key]))
        case 5 if isinstance(holder[name], str):
            at = random.randrange(len(holder[name]) + 1)
            holder[name] = holder[name][:at] + str(random.choice(ODD)) + holder[name][at:]
        case 6 if isinstance(holder, dict):
            holder[str(random.choice(ODD))] = holder.pop(name)
        case _:
            holder[name] = _odd(random)
    return value


def _deep(levels: int, inner: Any) -> Any:
    for level in range(levels):
        inner = [inner] if level % 2 else {"a": inner}
    return inner


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in it: what holds it, and its name there."""
    found: list[tuple[Any, Any]] = []
    holders = [value]
    while holders:
        holder = holders.pop()
        if isinstance(holder, dict | list):
            names = list(holder) if isinstance(holder, dict) else range(len(holder))
            found += [(holder, name) for name in names]
            holders += [holder[name] for name in names]
    return found


def _odd(random: Random) -> Any:
    """A value of its own each time: one that is in a payload twice would be changed in both places, or hold itself."""
    return deepcopy(random.choice(ODD))
