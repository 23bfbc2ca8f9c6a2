"""All errors that this project raises, in one tree.

    CountersignError
    ├── WrongSettings        the environment or a file of settings; the process ends and says what to fix
    ├── InvalidInput         what a person typed; nothing was changed
    │   ├── InvalidId        a text that does not have the form of its kind of id
    │   └── NotShown         a call or a question that people can't be shown; nobody was asked
    ├── CannotTell           a condition of the policy cannot be judged of these arguments
    ├── NotRecorded          the record does not hold what a condition of the policy looks at
    ├── NotFound             no such run, request or team
    ├── Conflict             a program asked or reported something else under the same key before
    ├── Refused              an attempt that did not count; carries the refusal
    ├── QuestionLost         Redis no longer has what a run asked and waits for: it is rebuilt, and asks again
    ├── JournalLost          a run that had acted has no journal: it is not rebuilt from nothing
    ├── LeaseLost            another worker advances this run, or the run ended: stop touching it
    ├── UnknownSchema        a stored record that this program does not read: of another version, or damaged
    │   └── NewerSchema      a newer version of this program wrote it, and reads it
    ├── StoreUnavailable     Redis cannot be reached or refuses; nothing was changed
    │   ├── StoreFull        Redis answers and takes nothing more: it is out of memory or disk
    │   └── NotReplicated    it was stored, but the replicas did not confirm it in time; a repeat counts once
    ├── StoreUnsafe          Redis is set up so that decisions could be lost; the process does not start
    ├── ActionFailed         an effect outside certainly did not happen
    ├── OutcomeUnknown       nobody knows whether it happened; it must not be repeated silently
    ├── WrongTeam            a team is put together in a way that cannot work; its run ends
    ├── GivenUp              people, their silence, or a limit they set ended a run that could not go on by itself
    └── NoAnswer             no model that may be asked gave an answer

The text of an error is for people: what happened, what was kept, what to do next.
"""

from datetime import datetime
from typing import Final

from countersign.domain.attempt_refusals import Refusal, Sentence

PROBLEM: Final = "urn:countersign:"
"""Prefix of the `type` of each problem in answers of the HTTP API."""


class CountersignError(Exception):
    """Root of the tree; its arguments are parts of a sentence: strings, ids, moments."""

    @property
    def sentence(self) -> Sentence:
        """The parts of the sentence; the view formats mentions and dates."""
        return self.args

    def __str__(self) -> str:
        return plain_text(self.sentence)


def plain_text(sentence: Sentence) -> str:
    """Write a sentence for logs and records: ids as they are, moments in UTC."""
    return "".join(f"at {in_utc(part)}" if isinstance(part, datetime) else str(part) for part in sentence)


def in_utc(at: datetime) -> str:
    """Write a moment for logs and records, and where Slack can't show it."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


class WrongSettings(CountersignError):
    """The settings are wrong; `problems` holds all of them, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("Some settings are wrong, so nothing was started:\n" + "\n".join(f"  - {p}" for p in problems))


class InvalidInput(CountersignError):
    """A person's input cannot be used; nothing was changed."""


class InvalidId(InvalidInput, ValueError):
    """A text does not have the form of such an id (R27).

    It is also a ValueError, for the parsers of stored records.
    """


class NotShown(InvalidInput, ValueError):
    """People can't be shown a call or a question, so nobody was asked.

    Models read the text too.
    """


class CannotTell(CountersignError):
    """A condition cannot be judged: a field is missing, too long or of another kind."""


class NotRecorded(CountersignError):
    """The record does not hold a value that a condition looks at."""


class NotFound(CountersignError):
    """There is no such thing, or no longer."""


class Conflict(CountersignError):
    """The same key stands for something else already; nothing was changed."""


class Refused(CountersignError):
    """An attempt did not count. `refusal` says why; the sentence is for the person."""

    def __init__(self, refusal: Refusal, sentence: Sentence) -> None:
        self.refusal = refusal
        super().__init__(*sentence)


class LeaseLost(CountersignError):
    """This process may no longer write the run: the lease is lost or the run over."""


class JournalLost(CountersignError):
    """A run that had acted has no journal here; nothing is rebuilt from nothing."""


class QuestionLost(CountersignError):
    """A question that a run waits for is gone from Redis; nobody can decide on it."""


class UnknownSchema(CountersignError):
    """A stored record cannot be read by this program. It was left as it is."""


class NewerSchema(UnknownSchema):
    """A stored record was written by a newer version of this program, and is kept."""


class StoreUnavailable(CountersignError):
    """Redis does not answer; this call changed nothing, and what was stored is kept."""

    reason: str = ""
    """The cause, in a sentence without an address, safe to show to anybody; "" if unknown."""


class StoreFull(StoreUnavailable):
    """Redis is out of memory or disk, as the text says; what it had taken is kept."""


class NotReplicated(StoreUnavailable):
    """The change is stored, but too few replicas confirmed it; a repeat counts once."""


class StoreUnsafe(CountersignError):
    """Redis could drop decisions the way it is set up."""


class ActionFailed(CountersignError):
    """An effect outside did certainly not happen."""


class OutcomeUnknown(CountersignError):
    """An effect outside may have happened; people must find out before a repeat."""


class WrongTeam(CountersignError):
    """A team is built in a way that cannot work; its run ends and nothing was done."""


class GivenUp(CountersignError):
    """A run that could not go on was ended by people, their silence or their limit."""


class NoAnswer(CountersignError):
    """Every model that may be asked was asked, and none gave an answer."""
