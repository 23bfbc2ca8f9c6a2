"""Inputs for words and code that people change: build and parse.

A text that is too long for one input is cut after a line; what nobody touched comes back to the last character (R13).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from countersign.domain.calls import blocks_in, canonical
from countersign.domain.errors import InvalidInput
from countersign.domain.requests import Kind, Question
from countersign.text.safe_text import pieces, typed, visible

_PIECE: Final = 2500
"""Characters of an input at first: it holds 3,000, so there is room to write."""
_MOST: Final = 40
"""Inputs for a text: together they hold more than a card and its window ever show."""
REFUSED: Final = (
    "This text can't be edited here: {why}. Nothing was decided. Approve it as it is, reject it, or request changes."
)


ODD: Final = "it has hidden characters, or what looks like a secret, which would not come back unchanged"


def is_text(question: Question) -> bool:
    """Tell whether a text is judged, and not the fields of a call."""
    return question.kind in (Kind.MESSAGE, Kind.CODE)


class Piece(NamedTuple):
    """One input: its label, the text in it, and whether that is all of a text."""

    label: str
    text: str
    whole: bool


def pieces_of(question: Question) -> list[Piece]:
    """Cut the text into inputs. InvalidInput if one could not show it or give it back."""
    found = []
    for label, text in _texts(question):
        if visible(typed(text)) != text:  # a secret may be on both sides of a cut
            raise InvalidInput(REFUSED.format(why=ODD))
        cuts = _cut(text)
        many = len(cuts)
        labels = [f"{label}, part {number} of {many}" for number in range(1, many + 1)] if many > 1 else [label]
        found += [Piece(name, piece, many == 1) for name, piece in zip(labels, cuts, strict=True)]
    if len(found) > _MOST:
        raise InvalidInput(REFUSED.format(why="it is too long"))
    return found


def joined(question: Question, entered: Mapping[str, object]) -> tuple[str, str]:
    """Return the changed arguments of code, or the changed content."""
    values = iter(entered.values())
    parts = [[next(values) for _ in _cut(text)] for _, text in _texts(question)]
    texts = ["\n".join(piece for piece in part if isinstance(piece, str)) for part in parts]
    if question.call is None:
        return "", texts[0]
    blocks = blocks_in(json.loads(question.call.arguments)) or []
    changed = [{"language": language, "code": text} for (language, _), text in zip(blocks, texts, strict=True)]
    return canonical({"blocks": changed}), ""


def _texts(question: Question) -> Sequence[tuple[str, str]]:
    """Return the texts, each with its label."""
    if question.call is None:
        return [("Text", question.content)]
    blocks = blocks_in(json.loads(question.call.arguments))
    if blocks is None:
        raise InvalidInput(REFUSED.format(why="its code could not be read"))
    if len(blocks) == 1:
        return [("Code", blocks[0][1])]
    return [(f"Block {number}, {language or 'code'}", text) for number, (language, text) in enumerate(blocks, 1)]


def _cut(text: str) -> list[str]:
    """Cut a text after lines; joined by line feeds it is the same again. InvalidInput if a line is too long."""
    cut = list(pieces(text, _PIECE))
    if any(not piece.endswith("\n") for piece in cut[:-1]):
        raise InvalidInput(REFUSED.format(why="one of its lines is too long for an input"))
    return [piece.removesuffix("\n") for piece in cut[:-1]] + cut[-1:]
