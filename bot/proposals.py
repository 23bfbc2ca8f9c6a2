"""A change of settings that waits for a second person, as the text that its button carries (R33)."""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from bot.core.errors import InvalidInput
from bot.core.loosening import Proposal

_KIND: Final = TypeAdapter(Proposal)


def written(proposal: Proposal) -> str:
    """The text; what is not set is left out."""
    return _KIND.dump_json(proposal, exclude_none=True).decode()


def read(text: str) -> Proposal:
    """The way back. InvalidInput if it is nothing that this version wrote."""
    try:
        return _KIND.validate_json(text)
    except ValidationError:
        raise InvalidInput("This button is of another version of the app. Nothing was changed.") from None
