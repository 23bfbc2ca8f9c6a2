"""What will happen, drawn from the seed alone: which faults when, which tasks, and how people behave."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

WEIGHTS: Final = {
    "kill worker": 7,
    "kill web": 5,
    "end worker": 2,
    "end web": 1,
    "freeze worker": 5,
    "freeze web": 4,
    "kill Redis": 4,
    "freeze Redis": 3,
    "cut wire": 8,
    "lose reply": 12,
    "lose script's reply": 14,
    "hold wire": 4,
    "Slack: 429": 5,
    "Slack: 5xx": 7,
    "Slack: lost reply": 12,
    "Slack: lost request": 5,
    "Slack: slow": 6,
    "Slack: deliver twice": 12,
    "Slack: deliver late": 5,
    "Slack: cut sockets": 4,
    "mail: lost reply": 2,
    "tear Redis' file": 2,
    "Redis out of memory": 2,
    "half-open wire": 3,
    "API: cut wire": 8,
    "API: hold wire": 4,
    "API: half-open wire": 3,
    "API: lose answer": 14,
    "double job": 5,
}
"""Kinds of faults, and how often each comes beside the others."""
SKEWS: Final = (-3600, 0, 3600)
TEAMS: Final = (
    *("email", "single", "single", "double", "double", "parallel", "nested", "burst"),
    *("refusing", "thinking", "impatient"),
)
CHANNELS: Final = {
    "#general": (),
    "#hasty": ("timeout 6s",),
    "#trusting": ("timeout 8s", "on-timeout approve"),
    "#careful": ("quorum 2",),
    "#patient": ("on-timeout wait",),
}
"""Where tasks are given, and the settings made there."""
REQUESTERS: Final = ("alice", "dave")
REVIEWERS: Final = tuple(f"rev{n}" for n in range(1, 13))


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault. `at` and `seconds` are seconds; `pick` chooses among what there is (0 to 1)."""

    at: float
    kind: str
    pick: float
    seconds: float
    times: int


def blows(seed: int, span: float) -> list[Blow]:
    """The faults of a run of so many seconds, on average one each 0.6 seconds."""
    random = Random(f"faults {seed}")
    found, at = [], 1.0
    while (at := at + random.expovariate(1 / 0.6)) < span:
        kind = random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        found.append(Blow(at, kind, random.random(), random.uniform(0.2, 1.0), random.randint(1, 3)))
    # Rare: in each five minutes one of a kind; Slack and `web` are away for a minute.
    starts = [five * 300 + random.uniform(60, 120) for five in range(math.ceil(span / 300))]
    away = [Blow(start, "Slack: away", 0, random.uniform(61, 90), 1) for start in starts]
    for five in range(math.ceil(span / 300)):
        away.append(Blow(five * 300 + random.uniform(15, 40), "every web away", random.random(), 60, 1))
        away.append(Blow(five * 300 + random.uniform(80, 110), "lose area", 0, 0, 1))
    return sorted([*found, *(one for one in away if one.at + one.seconds < span)], key=lambda blow: blow.at)


@dataclass(frozen=True, slots=True)
class Task:
    """One task: its tag is in its text, so it is known again wherever it shows."""

    tag: str
    team: str
    channel: str
    requester: str
    stop_after: float | None
    """Seconds until its requester stops it."""


def tasks(seed: int, patience: float) -> Iterator[Task]:
    """Tasks without end. `patience`: how long people take on average, in seconds."""
    random = Random(f"tasks {seed}")
    number = 0
    while True:
        number += 1
        yield Task(
            f"tag{seed}x{number}",
            random.choice(TEAMS),
            random.choice(list(CHANNELS)),
            random.choice(REQUESTERS),
            random.uniform(0, 2 * patience) if random.random() < 0.05 else None,
        )


@dataclass(frozen=True, slots=True)
class Manner:
    """How people treat one card."""

    kind: str
    after: float
    verbs: tuple[str, ...]
    people: tuple[str, ...]
    late: tuple[str, ...]
    """Who clicks once more when it is settled, on what they saw before."""
    changes: bool = False
    """Whether somebody changes a program's call before."""


ASKS: Final = "May tag"
"""The begin of what programs ask, and no team."""
_CHANGED: Final = 0.7
"""The share of programs' calls that somebody changes."""
_MANNERS: Final = {"plain": 45, "compete": 20, "repeat": 10, "intrude": 7, "ignore": 10, "last moment": 8}


def manner(seed: int, card: str, patience: float, *, may_respond: bool) -> Manner:
    """How they treat the card of this name; `patience` as for `tasks`."""
    random = Random(f"people {seed} {card}")
    kind = random.choices(list(_MANNERS), list(_MANNERS.values()))[0]
    words = ["approve"] * 6 + ["reject"] * 2 + ["respond"] * (2 if may_respond else 0)
    count = random.randint(2, 5) if kind == "compete" else 1
    people = random.sample(REVIEWERS, 6)
    return Manner(
        kind,
        min(random.expovariate(1 / patience), 4 * patience),
        tuple(random.choice(words) for _ in range(count)),
        tuple(people[:count]) if count > 1 else tuple(people[:2]),
        tuple(people[4:]) if random.random() < 0.3 else (),
        random.random() < _CHANGED,
    )
