"""The lines of the drafter of the email team without a model."""

from collections.abc import Sequence

from autogen_core.models import LLMMessage, UserMessage

from countersign import current_run

from ..services.demo_writer import write_mail


def play(agent: str, messages: Sequence[LLMMessage]) -> str:
    """Write a mail for the task, with people's wishes worked in, the oldest first."""
    task = next(str(message.content) for message in messages if isinstance(message, UserMessage))
    return write_mail(task, [outcome.words for outcome in current_run().outcomes if outcome.words])
