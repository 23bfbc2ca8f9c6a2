"""A bug that we plant."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """`file` holds `old` exactly once; with `new` in its place each of `tests` fails.

    The tests are pytest's node ids, with or without parameters.
    """

    name: str
    rule: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
