"""Options of a team, like a mode: chosen when a task starts, kept by the run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from countersign.domain import start_sentences
from countersign.domain.errors import InvalidInput

LONGEST_CHOICE: Final = 75
"""Characters that Slack shows of an option of a select (static_select, `text`)."""
MOST_CHOICES: Final = 100
"""Options that Slack takes in one select."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")
_GIVEN: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=(\S*)(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a team, chosen when a task starts.

    People write it `name=choice` before the task, or choose it below `label` in the window. `name` is a word of small
    letters; choices are single words, 100 of 75 characters at most; `hint` explains them in 150 characters. Without a
    choice, `default` applies. ValueError with a sentence if the option cannot be offered.
    """

    name: str
    label: str
    choices: tuple[str, ...]
    default: str
    hint: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"the option “{self.name}” needs a name of small letters, digits and _, 30 at most")
        if not 0 < len(self.choices) <= MOST_CHOICES or len(set(self.choices)) != len(self.choices):
            raise ValueError(f"the option “{self.name}” needs 1 to {MOST_CHOICES} choices, each once")
        wrong = [c for c in self.choices if not 0 < len(c) <= LONGEST_CHOICE or any(x.isspace() for x in c)]
        if wrong:
            raise ValueError(f"the choice “{wrong[0]}” of “{self.name}” is no word of 1 to {LONGEST_CHOICE} characters")
        if self.default not in self.choices:
            raise ValueError(f"the default “{self.default}” of “{self.name}” is none of its choices")

    def __str__(self) -> str:
        return f"{self.name}={'|'.join(self.choices)}"


def in_words(words: str, options: Sequence[Option]) -> tuple[dict[str, str], str]:
    """Split a text into its leading `name=choice` pairs and the rest.

    A team without options has no such pairs. Choices are not checked here. InvalidInput if a name is given twice.
    """
    choices: dict[str, str] = {}
    while options and (match := _GIVEN.match(words)):
        name = match[1].lower()
        if name in choices:
            raise InvalidInput(start_sentences.chosen_twice(name))
        choices[name], words = match[2], words[match.end() :]
    return choices, words


def chosen(team: str, options: Sequence[Option], choices: Mapping[str, str]) -> dict[str, str]:
    """Return a choice for every option of the team: the given one, or the default.

    Upper and lower case do not matter. InvalidInput with a sentence for an unknown option or choice.
    """
    offered = {option.name: option for option in options}
    for name, choice in choices.items():
        if name not in offered:
            raise InvalidInput(start_sentences.no_option(team, name, options))
        if choice.casefold() not in (c.casefold() for c in offered[name].choices):
            raise InvalidInput(start_sentences.no_choice(name, choice, offered[name].choices))
    return {
        option.name: next(
            c for c in option.choices if c.casefold() == choices.get(option.name, option.default).casefold()
        )
        for option in options
    }
