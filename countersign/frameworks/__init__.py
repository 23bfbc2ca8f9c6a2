"""Adapters for the frameworks of agents, loaded only by programs that import one."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import a framework in this block; ImportError names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise ImportError(
            f"The package {missing.name} isn't installed. Run: pip install 'countersign-slack[{name}]'",
            name=missing.name,
        ) from None
