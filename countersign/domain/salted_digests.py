"""Digests that give nothing away: whoever has the record finds no PIN by trying which has the digest.

A run draws a salt by lot when it starts, and each of its questions has one that follows from it: a rebuilt run that
asks the same finds the same request. Salts are in no record, no receipt and no export.
"""

from dataclasses import replace
from typing import Final

from countersign.domain.ids import Digest, digest_of
from countersign.domain.requests import Question, digest, slot_of

_LENGTH: Final = 32
"""Hex digits of a question's salt: as many as a run's has."""


def salted(question: Question, salt: str) -> Question:
    """The question as it is asked in a run of this salt."""
    return replace(question, salt=digest_of(salt, slot_of(question))[:_LENGTH]) if salt else question


def unsalted(question: Question) -> Digest:
    """The same for the same content in any run: for what is kept where only we read it."""
    return digest(replace(question, salt=""))
