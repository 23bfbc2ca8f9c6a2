"""Whom a question about changed code names."""

import pytest

from countersign.frameworks.autogen.changed_code import _who

KEY = "0" * 24 + "/0"


@pytest.mark.parametrize(
    ("missing", "who", "agent"),
    [
        ("clerk", "clerk", "clerk"),
        ("society/inner/writer", "society/inner/writer", "writer"),
        (f"tool/clerk/{KEY}", "tool/clerk", "clerk"),
        (f"step/send mail/{KEY}/again1", "step/send mail", "send mail"),
        (f"gate/clerk/{KEY}/changed", "gate/clerk", "clerk"),
        (f"human/writer to second/{KEY}", "human/writer to second", "writer"),
    ],
)
def test_missing_step_names_its_agent(missing: str, who: str, agent: str) -> None:
    """R45: for nested turns the card named the society, or a path, and not the agent."""
    assert _who(missing) == (who, agent)
