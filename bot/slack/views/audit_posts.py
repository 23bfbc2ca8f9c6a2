"""Posts about the record: its head each day, a digest each week."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final, Protocol

from countersign.domain.calls import in_words
from countersign.domain.durations import say_roughly
from countersign.domain.events import EventType
from countersign.domain.hash_chain import Head
from countersign.domain.requests import How

from .block_kit import Drawing, words
from .slack_markup import escape, link

LEAST: Final = 10
"""Fewest approvals in a week before a rule is suggested."""
_MOST: Final = 5
PICTURE_TITLE: Final = "Decisions of the week"


class Waits(Protocol):
    """Times that people took to decide."""

    @property
    def count(self) -> int:
        """Return the number of decisions."""

    def quantile(self, share: float) -> timedelta:
        """Return the time that this share of all does not exceed."""


class Week(Protocol):
    """Figures of the record of a week."""

    @property
    def asked(self) -> int:
        """Requests."""

    @property
    def decided(self) -> int:
        """Requests that were decided in any way."""

    @property
    def timeouts(self) -> int:
        """Requests that nobody decided in time."""

    @property
    def waits(self) -> Waits:
        """Times until people decided."""

    @property
    def passed(self) -> Mapping[tuple[str, str], int]:
        """Rule and tool -> calls that it let pass."""

    @property
    def last(self) -> Mapping[str, str]:
        """Kind of entry, decision or action -> the last such request or run."""

    def always_approved(self, least: int) -> list[tuple[str, int]]:
        """List calls of low risk that were asked at least this often and always approved."""


def weekly_digest(week: Week, monday: datetime, links: Mapping[str, str]) -> Drawing:
    """Draw the figures of the week from that Monday.

    `links` lead to the card of the last such request, or to the thread of its run.
    """

    def latest(key: str, form: str = " ({})") -> str:
        return form.format(link(links[key], "latest")) if links.get(key) else ""

    sunday = monday + timedelta(days=6)
    title = f"Approvals, {monday:%-d %B} to {sunday:%-d %B}"
    asked, decided = _count(week.asked, "request"), _count(week.decided, "decision")
    lines = [f"*{asked}*{latest(EventType.REQUEST_ASKED)}, {decided}{latest(EventType.REQUEST_DECIDED)}."]
    if week.waits.count:
        median, most = say_roughly(week.waits.quantile(0.5)), say_roughly(week.waits.quantile(0.95))
        lines.append(f"*Time to decision:* half within {median}, 95% within {most}.")
    if week.timeouts:
        lines.append(f"*Timed out:* {_count(week.timeouts, 'request')}{latest(How.TIMEOUT)}.")
    if week.passed:
        calls = _count(sum(week.passed.values()), "call")
        rules = ", ".join(
            f"{escape(rule or 'the team’s own code')} ({count:,})"
            for (rule, _), count in sorted(week.passed.items(), key=lambda one: -one[1])[:_MOST]
        )
        lines.append(f"*Allowed automatically:* {calls}{latest(EventType.CALL_PASSED)}: {rules}.")
    if rare := week.always_approved(LEAST)[:_MOST]:
        tools = ", ".join(f"{escape(in_words(name))} ({count} times{latest(name, ', {}')})" for name, count in rare)
        lines.append(
            f"*Could be asked less often:* {tools}. Always approved, low risk. "
            "`countersign policy suggest` proposes rules to review."
        )
    return Drawing(f"{title}: {asked}", [words(f"*{title}*"), words("\n".join(lines))])


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def daily_checkpoint(head: Head, day: date) -> Drawing:
    """Draw the head of the record, and the command that verifies it."""
    title = f"{day:%-d %B %Y}"
    entries = f"{head.n:,} entr{'y' if head.n == 1 else 'ies'}"
    return Drawing(
        f"Record of {title} (UTC): {entries}, head {head}",
        [
            words(f"*Record of {title}* (UTC): {entries}. Its head:"),
            words(f"```{head}```"),
            words(f"To check that no entry has changed, run `countersign audit verify --head {head}`."),
        ],
    )
