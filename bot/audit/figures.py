"""Figures of the record, from one pass over its entries.

Memory grows with days, channels, people, tools, rules and permissions, not with the entries.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from countersign.domain.channel_settings import Risk
from countersign.domain.events import EventType
from countersign.domain.hash_chain import Kept
from countersign.domain.requests import How, Kind

from .entries import is_readable

_BY_PEOPLE: Final = (How.REVIEWERS, How.BREAK_GLASS)
_STEP: Final = math.log(1.02)


class Waits:
    """Spans of time, as a histogram from which quantiles are read.

    Its steps are of 2 %, so a quantile is within 1 % of the true one, and years need a thousand numbers.
    """

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()
        self.count = 0

    def add(self, seconds: float) -> None:
        """Count one span; below a second all are the same."""
        self._steps[round(math.log(max(seconds, 1.0)) / _STEP)] += 1
        self.count += 1

    def quantile(self, share: float) -> timedelta:
        """Return the span that this share of all does not exceed; zero if there is none."""
        left = math.ceil(self.count * share)
        for step in sorted(self._steps):
            left -= self._steps[step]
            if left <= 0:
                return timedelta(seconds=round(math.exp(step * _STEP)))
        return timedelta(0)


@dataclass(slots=True)
class ChannelFigures:
    """The decisions of a channel's cards."""

    waits: Waits = field(default_factory=Waits)
    """Until people decided."""
    timeouts: int = 0
    escalations: int = 0
    reminders: int = 0


@dataclass(slots=True)
class Load:
    """The decisions of a person."""

    outcomes: Counter[str] = field(default_factory=Counter)
    waits: Waits = field(default_factory=Waits)


@dataclass(slots=True)
class FailureCount:
    """A kind of failure: how often, and the last one."""

    count: int = 0
    last: str = ""
    run: str = ""
    why: str = ""


@dataclass(slots=True)
class Use:
    """A standing permission, and the requests that it approved."""

    tool: str = ""
    team: str = ""
    channel: str = ""
    by: str = ""
    until: str = ""
    used: int = 0
    revoked: bool = False

    def ended(self, now: datetime) -> bool:
        """Tell whether it allows nothing any more, as far as the record says."""
        return self.revoked or (bool(self.until) and datetime.fromisoformat(self.until) <= now)


class Figures:
    """The sums of all entries taken."""

    def __init__(self) -> None:
        self.entries = 0
        self.unread = 0
        self.asked = 0
        self.days: dict[date, Counter[str]] = defaultdict(Counter)
        self.hows: Counter[str] = Counter()
        self.waits = Waits()
        self.channels: dict[str, ChannelFigures] = defaultdict(ChannelFigures)
        self.people: dict[str, Load] = defaultdict(Load)
        self.actions: dict[str, Counter[str]] = defaultdict(Counter)
        """Tool, or kind of question -> how often asked, and each outcome."""
        self.harmful: set[str] = set()
        """Actions of more than low risk, and questions without a call."""
        self.names: dict[str, str] = {}
        """Id of a person who decided -> their name, as of their last decision."""
        self.last: dict[str, str] = {}
        """Action, outcome or way of the decision -> the last such request; type of entry -> its request or run."""
        self.passed: Counter[tuple[str, str]] = Counter()
        """Rule and tool -> calls that it let pass."""
        self.refused: Counter[tuple[str, str]] = Counter()
        self.programs: Counter[tuple[str, str]] = Counter()
        """Name and id of a program's key -> how often it asked."""
        self.failures: dict[tuple[str, str], FailureCount] = defaultdict(FailureCount)
        self.permissions: dict[str, Use] = defaultdict(Use)
        self._take: Final = {
            EventType.REQUEST_ASKED: self._asked,
            EventType.REQUEST_DECIDED: self._decided,
            EventType.REQUEST_ESCALATED: self._escalated,
            EventType.REQUEST_REMINDED: self._reminded,
            EventType.CALL_PASSED: self._passed,
            EventType.CALL_REFUSED: self._refused,
            EventType.PERMISSION_GIVEN: self._given,
            EventType.PERMISSION_REVOKED: self._revoked,
        }

    @property
    def decided(self) -> int:
        """Requests that were decided in any way."""
        return self.hows.total()

    @property
    def timeouts(self) -> int:
        """Requests that nobody decided in time."""
        return self.hows[How.TIMEOUT]

    @property
    def escalations(self) -> int:
        """Steps of escalation that were taken."""
        return sum(channel.escalations for channel in self.channels.values())

    def read(self, kept: Kept | ValueError) -> None:
        """Count one entry as it is kept, as unread if it cannot be read."""
        try:
            if isinstance(kept, ValueError):
                raise kept
            entry = json.loads(kept.entry)
        except (ValueError, RecursionError):
            self.entries += 1
            self.unread += 1
        else:
            self.take(entry)

    def take(self, entry: Mapping[str, Any]) -> None:
        """Count one entry, as unread if this program does not know its shape."""
        self.entries += 1
        try:
            entry = entry if is_readable(entry) else {}
            if (take := self._take.get(entry["type"])) is not None:
                take(entry)
                self.last[entry["type"]] = entry.get("request") or entry.get("run") or ""
            if entry["outcome"] == "failed":
                self._failed(entry)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.unread += 1

    def _asked(self, entry: Mapping[str, Any]) -> None:
        self.asked += 1
        action = _action(entry)
        self.actions[action]["asked"] += 1
        if (key := entry["data"].get("program")) and entry.get("by") != "worker":
            self.programs[entry["data"]["team"], key] += 1
        if "tool" not in entry["what"] or entry["rules"]["risk"] != Risk.LOW:
            self.harmful.add(action)

    def _decided(self, entry: Mapping[str, Any]) -> None:
        data, outcome = entry["data"], entry["outcome"]
        self.days[date.fromisoformat(entry["at"][:10])][outcome] += 1
        how, waited, action = data["how"], float(data["waited"]), _action(entry)
        self.hows[how] += 1
        self.actions[action][outcome] += 1
        self.last |= dict.fromkeys((action, outcome, how), entry["request"])
        channel = self.channels[_channel(entry)]
        if how in _BY_PEOPLE:
            self.waits.add(waited)
            channel.waits.add(waited)
            self.names |= _names(entry["decision"])
            for person in entry["decision"].get("by") or ():
                load = self.people[person]
                load.outcomes[outcome] += 1
                load.waits.add(waited)
        elif how == How.TIMEOUT:
            channel.timeouts += 1
        elif how == How.PERMISSION and data.get("permission"):
            use = self.permissions[data["permission"]]
            use.used += 1
            use.tool = use.tool or entry["what"].get("tool", "")

    def _escalated(self, entry: Mapping[str, Any]) -> None:
        self.channels[_channel(entry)].escalations += 1

    def _reminded(self, entry: Mapping[str, Any]) -> None:
        self.channels[_channel(entry)].reminders += 1

    def _passed(self, entry: Mapping[str, Any]) -> None:
        data = entry["data"]
        self.passed[data.get("clause") or "", data.get("tool") or ""] += 1

    def _refused(self, entry: Mapping[str, Any]) -> None:
        self.refused[entry["data"].get("clause") or "", entry["data"].get("tool") or ""] += 1

    def _given(self, entry: Mapping[str, Any]) -> None:
        data = entry["data"]
        use = self.permissions[data["permission"]]
        use.tool, use.team, use.channel = data["tool"], data["team"], data["channel"]
        use.by, use.until = data["given_by"], data["until"]

    def _revoked(self, entry: Mapping[str, Any]) -> None:
        self._given(entry)
        self.permissions[entry["data"]["permission"]].revoked = True

    def _failed(self, entry: Mapping[str, Any]) -> None:
        data = entry.get("data") or {}
        name = data.get("tool") or data.get("team") or (entry.get("what") or {}).get("tool") or ""
        failure = self.failures[entry["type"], name]
        failure.count += 1
        failure.last, failure.run = entry["at"], entry.get("run") or ""
        failure.why = next((data[key] for key in ("problem", "error", "result", "words", "why") if data.get(key)), "")[
            :200
        ]

    def always_approved(self, least: int) -> list[tuple[str, int]]:
        """List calls of low risk that were asked at least this often and always approved."""
        return sorted(
            (
                (name, outcomes["asked"])
                for name, outcomes in self.actions.items()
                if name not in self.harmful and outcomes["approved"] == outcomes["asked"] >= least
            ),
            key=lambda action: (-action[1], action[0]),
        )

    def most_loaded(self) -> list[tuple[str, Load]]:
        """List people, those with the most decisions first."""
        return sorted(self.people.items(), key=lambda entry: (-entry[1].outcomes.total(), entry[0]))

    def most_failed(self) -> list[tuple[tuple[str, str], FailureCount]]:
        """List failures, the most frequent first."""
        return sorted(self.failures.items(), key=lambda entry: (-entry[1].count, entry[0]))

    def in_use(self, now: datetime) -> list[tuple[str, Use]]:
        """List standing permissions that have not ended, the most used first."""
        live = ((name, use) for name, use in self.permissions.items() if not use.ended(now))
        return sorted(live, key=lambda entry: (-entry[1].used, entry[0]))


def _names(decision: Mapping[str, Any]) -> dict[str, str]:
    known = zip(decision.get("by") or (), decision.get("names") or (), strict=False)
    return {person: name for person, name in known if name}


def _action(entry: Mapping[str, Any]) -> str:
    described = entry.get("what") or {}
    return str(described.get("tool") or _KINDS.get(described.get("kind", ""), "question"))


_KINDS: Final = {
    Kind.MESSAGE: "text to review",
    Kind.CHOICE: "choice",
    Kind.CODE: "code",
    Kind.IN_DOUBT: "unclear outcome",
}


def _channel(entry: Mapping[str, Any]) -> str:
    return str((entry.get("rules") or {}).get("approvals_channel") or "")
