"""Answers as a person would have typed them, for programs that look for keywords.

They stand in for `input()`. AutoGen's `TextMentionTermination("APPROVE")` matches anywhere in a text, and other
programs compare in small letters. So a keyword stands in an answer only if it was the decision, in capital or small
letters, also inside a longer word (R38).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from countersign.domain.errors import InvalidInput

UNANSWERED: Final = "The question expired without an answer."
"""What a program reads if nobody answered in time: it has no keyword."""
WITHDRAWN: Final = "The question was withdrawn without an answer."
_GAP: Final = "·"


@dataclass(frozen=True, slots=True)
class Keywords:
    """The words that a program takes for an approval and for a rejection.

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

        `words` are a reviewer's reason or request, `chosen` the chosen options, `changed` an approved text as a
        reviewer changed it.
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
    """Write the keyword apart wherever the text has it: `I do not APP·ROVE this`.

    No program finds it then, and a person still reads what was meant: only the button approves (R12).
    """
    middle = len(keyword) // 2
    parts = re.compile(f"({re.escape(keyword[:middle])})({re.escape(keyword[middle:])})", re.IGNORECASE)
    while parts.search(text):  # what overlaps needs another round; each takes one place where it could match
        text = parts.sub(rf"\1{_GAP}\2", text)
    return text
