"""What /metrics says, for tests: counters live as long as the process, so they are compared with what they were."""

from collections.abc import Iterator
from contextlib import contextmanager

from countersign.metrics import REGISTRY, Repair


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@contextmanager
def repaired(kind: Repair, times: int | None = None) -> Iterator[None]:
    """Within the block so many repairs of this kind were counted; None: at least one."""
    before = count("countersign_repairs_total", kind=kind.value)
    yield
    grown = count("countersign_repairs_total", kind=kind.value) - before
    assert grown >= 1 if times is None else grown == times, f"{kind}: {grown} counted"
