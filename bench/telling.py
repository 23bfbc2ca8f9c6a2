"""Words and figures that all tables share."""


def verdict(met: bool) -> str:
    """The last word of a table."""
    return "met" if met else "MISSED"


def percentile(values: list[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
