"""Sentences about starting a run: why nothing was started, and what to do next.

Sentences that are data get their mentions from the views.
"""

from collections.abc import Iterable
from typing import Final

from countersign.domain.attempt_refusals import Sentence
from countersign.domain.slash_commands import NAMES

NO_WORKER: Final = "The agents are not running, so nothing was started. Tell whoever runs this app."
NO_WEB: Final = "`web` hasn't run on this Redis yet. Start it first: `python -m bot`."
NOT_HERE: Final[Sentence] = (
    "The app is not in this channel, so nobody would see the run there and nothing was started. Invite it with "
    "`/invite`, and try again.",
)
REVIEWERS_UNKNOWN: Final[Sentence] = (
    "Slack didn't say in time who can decide here, so nothing was started. Please try again in a moment.",
)
PRESENCE_UNKNOWN: Final[Sentence] = (
    "Slack didn't say in time whether the app is in this channel, so nothing was started. Please try again in a "
    "moment.",
)
NOT_AGAIN: Final = "Only a run that failed or expired can be tried again. Nothing was started."


def no_task() -> str:
    """Say that a task is missing."""
    return f"Add a task, like `{NAMES.agent} email tell the vendor …`. Nothing was started."


def no_reviewers() -> str:
    """Say that the channel has no reviewers."""
    return (
        "This channel has no reviewers, so nothing was started. "
        f"Ask an admin to name some, like `{NAMES.approvals} reviewers @someone`."
    )


def not_known() -> str:
    """Say that a run is too old to be tried again."""
    return f"This run is no longer known, so it can't be tried again. Start the task with `{NAMES.agent}`."


def unknown_team(team: str, teams: Iterable[str]) -> str:
    """Say that no worker has this team, and list the known teams."""
    return f"There is no team “{team[:40]}”; nothing was started. Teams: {', '.join(teams)}."


def broken_team(team: str, problem: str) -> str:
    """Say that the team cannot be built."""
    return f"The team “{team}” can't run: {problem[:500]} Nothing was started."


def too_long(length: int, most: int) -> str:
    """Say that the task is too long."""
    return (
        f"The task is too long: {length:,} characters, and the limit is {most:,}. Nothing was started; shorten it, or "
        "put the long part where the agents can read it."
    )


def chosen_twice(option: str) -> str:
    """Say that an option was given twice."""
    return f"“{option}” is chosen twice; nothing was started. Choose it once."


def no_option(team: str, name: str, options: Iterable[object]) -> str:
    """Say that the team does not have this option, and list its options."""
    listed = ", ".join(map(str, options))
    offered = f"Its options: {listed}." if listed else "It has none."
    return f"The team “{team}” has no option “{name[:40]}”; nothing was started. {offered}"


def no_choice(option: str, choice: str, choices: Iterable[str]) -> str:
    """Say that the option does not have this choice, and list its choices."""
    return f"“{choice[:40]}” can't be chosen for “{option}”; nothing was started. Choose one of {', '.join(choices)}."


def not_in(channel: str) -> str:
    """Tell a program that the app is not in the channel, or that it does not exist."""
    return (
        f"The app isn't in channel {channel}, or that channel doesn't exist, so nothing was started. Invite it "
        "there with `/invite`, and try again in a minute."
    )


def because_of(problem: Sentence) -> Sentence:
    """Say that nothing was started because of this problem, which is a sentence."""
    return *problem, " Nothing was started."


def nobody_could(why: str, details: Iterable[Sentence]) -> Sentence:
    """Say why nobody could decide; `details` are sentences about reviewers."""
    return f"Nothing was started, because {why}.", *(part for sentence in details for part in (" ", *sentence))


def repeated(run: str) -> str:
    """Say that the same task is running already."""
    return (
        f"This task was started here a moment ago and is still running (run `{run}`), so it was not started again. To "
        "run it twice, wait a minute or change the wording."
    )
