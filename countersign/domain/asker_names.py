"""Who asks, as people read it: where a run has several humans, `Question.agent` says behind the name whom it asks."""

from typing import Final

from countersign.domain.requests import ABOUT_THE_RUN, Question

_TO: Final = " to "
"""AutoGen's names have no spaces; those of steps, about which only the run asks, may have."""


def asking(agent: str, whom: str) -> str:
    """The `Question.agent` of an agent that may ask several: its questions to each are counted by themselves."""
    return f"{agent}{_TO}{whom}"


def asker(question: Question) -> str:
    """The agent's name alone, or that of the step that the run asks about."""
    return question.agent if question.kind in ABOUT_THE_RUN else question.agent.partition(_TO)[0]
