"""Answers as a person would have typed them, for programs that look for keywords.

They replace `input()`. AutoGen's `TextMentionTermination("APPROVE")` matches anywhere in a text, and other programs
compare in lower case. Therefore an answer contains a keyword, in upper or lower case or inside a longer word, only if
it was the decision (R38).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from countersign.domain.errors import InvalidInput

UNANSWERED: Final = "The question expired without an answer."
"""The answer for a program if nobody answered in time; contains no keyword."""
WITHDRAWN: Final = "The question was withdrawn without an answer."
_GAP: Final = "·"


@dataclass(frozen=True, slots=True)
class Keywords:
    """Keywords that a program takes for an approval and for a rejection.

    InvalidInput if one answer would contain the word for another.
    """

    approve: str = "APPROVE"
    reject: str = "REJECT"

    def __post_init__(self) -> None:
        for keyword, others in (
            (self.approve, (self.reject, UNANSWERED, WITHDRAWN)),
            (self.reject, (self.approve, UNANSWERED, WITHDRAWN)),
        ):
            if len(keyword.strip()) < 2 or len(keyword.splitlines()) > 1 or _GAP in keyword:
                raise InvalidInput(
                    f"“{keyword[:40]}” can't be a keyword: it needs two characters or more, on one line. "
                    "Nobody was asked."
                )
            for other in others:
                if keyword.casefold() in other.casefold():
                    raise InvalidInput(
                        f"“{other[:80]}” contains the keyword “{keyword[:40]}”, so a program that looks for the "
                        "keyword would take one answer for the other. Choose another keyword. Nobody was asked."
                    )

    def typed(self, outcome: str, *, words: str = "", chosen: Sequence[str] = (), changed: str = "") -> str:
        """Return what a person would have typed.

        `words` are a reviewer's reason or request, `chosen` the chosen options, `changed` an approved text with the
        reviewer's edits.
        """
        if outcome in ("approved", "edited"):
            return f"{self.approve}\n{changed}" if changed else self.approve
        if chosen:
            return "\n".join(chosen)
        if outcome == "rejected":
            return f"{self.reject}: {apart(self.approve, words)}" if words else self.reject
        if outcome == "answered":
            return apart(self.approve, words)
        return WITHDRAWN if outcome == "withdrawn" else UNANSWERED


def apart(keyword: str, text: str) -> str:
    """Split the keyword wherever the text contains it: `I do not APP·ROVE this`.

    Programs then do not find it, and people still understand it: only the button approves (R12).
    """
    middle = len(keyword) // 2
    parts = re.compile(f"({re.escape(keyword[:middle])})({re.escape(keyword[middle:])})", re.IGNORECASE)
    while parts.search(text):  # overlapping matches need another round; each round removes one match
        text = parts.sub(rf"\1{_GAP}\2", text)
    return text
