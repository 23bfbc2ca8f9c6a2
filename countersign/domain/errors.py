"""All errors that this project raises, in one tree.

    CountersignError
    ├── WrongSettings        the environment or a file of settings; the process ends and says what to fix
    ├── InvalidInput         what a person typed; nothing was changed
    │   └── InvalidId        a text that does not have the form of its kind of id
    ├── CannotTell           a condition of the policy cannot be judged of these arguments
    ├── NotRecorded          the record does not hold what a condition of the policy looks at
    ├── NotFound             no such run, request or team
    ├── Refused              an attempt that did not count; carries the refusal
    ├── QuestionLost         Redis no longer has what a run asked and waits for: it is rebuilt, and asks again
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

from countersign.domain.refusals import Refusal, Sentence


class CountersignError(Exception):
    """Root of the tree, made of the parts of a sentence: words, ids and moments."""

    @property
    def sentence(self) -> Sentence:
        """The parts; whoever shows them draws the mentions and the dates."""
        return self.args

    def __str__(self) -> str:
        return plain_text(self.sentence)


def plain_text(sentence: Sentence) -> str:
    """Write a sentence for logs, records and command lines: ids as they are, moments in UTC."""
    return "".join(f"{part:%Y-%m-%d %H:%M:%S} UTC" if isinstance(part, datetime) else str(part) for part in sentence)


class WrongSettings(CountersignError):
    """The settings are wrong; `problems` holds all of them, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("Settings are wrong, nothing was started:\n" + "\n".join(f"  - {p}" for p in problems))


class InvalidInput(CountersignError):
    """A person's input cannot be used; nothing was changed."""


class InvalidId(InvalidInput, ValueError):
    """A text does not have the one form of such an id (R27). A ValueError too, for whatever reads records."""


class CannotTell(CountersignError):
    """A condition cannot be judged: a field is missing, of another kind, or too long to be looked at."""


class NotRecorded(CountersignError):
    """The record does not hold what a condition looks at, so nobody can tell whether it held then."""


class NotFound(CountersignError):
    """There is no such thing, or no longer."""


class Refused(CountersignError):
    """An attempt did not count. `refusal` says why; the sentence is for the person."""

    def __init__(self, refusal: Refusal, sentence: Sentence) -> None:
        self.refusal = refusal
        super().__init__(*sentence)


class LeaseLost(CountersignError):
    """This process may no longer write the run: another holds its lease, or the run has ended."""


class QuestionLost(CountersignError):
    """A question that a run waits for is gone from Redis; nobody can decide on it any more."""


class UnknownSchema(CountersignError):
    """A stored record cannot be read by this program. It was left as it is."""


class NewerSchema(UnknownSchema):
    """A stored record carries a number that only a newer version of this program knows: it is left for that."""


class StoreUnavailable(CountersignError):
    """Redis does not answer. What was stored before is kept; nothing was changed by this call."""


class StoreFull(StoreUnavailable):
    """Redis takes nothing more; what it had taken is kept. The text says of what it is out."""


class NotReplicated(StoreUnavailable):
    """The change is stored, and too few replicas confirmed that they have it; doing it again is the same once more."""


class StoreUnsafe(CountersignError):
    """Redis could drop decisions the way it is set up."""


class ActionFailed(CountersignError):
    """An effect outside did certainly not happen."""


class OutcomeUnknown(CountersignError):
    """An effect outside may or may not have happened; people must find out before anybody repeats it."""


class WrongTeam(CountersignError):
    """A team is put together in a way that cannot work; its run ends, and nothing was done."""


class GivenUp(CountersignError):
    """People, their silence, or a limit they set ended a run that could not go on by itself."""


class NoAnswer(CountersignError):
    """Every model that may be asked was asked, and none gave an answer."""
