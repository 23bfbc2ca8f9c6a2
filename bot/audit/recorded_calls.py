"""Read actions from the record, and print what another policy does to them.

`countersign.policy.simulation` decides that; it knows neither entries nor tables.
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from countersign.domain.actions import Action
from countersign.domain.channel_settings import Risk, Rules
from countersign.domain.errors import UnknownSchema
from countersign.domain.events import EventType, plain, read_arguments
from countersign.domain.hash_chain import Kept
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.requests import ABOUT_THE_RUN
from countersign.policy.simulation import Recorded, Replayed, ReplayOutcome
from countersign.store.record_codecs import RULES

_EFFECTS: Final = {
    EventType.REQUEST_ASKED: Action.ASK,
    EventType.CALL_PASSED: Action.ALLOW,
    EventType.CALL_REFUSED: Action.DENY,
}
_GONE: Final = "the request was not stored any more when this was recorded"
_NO_TOOL: Final = "the record does not name the tool"
COLUMNS: Final = ("time", "run", "team", "agent", "tool", "was → would be", "rule", "how")
_WIDEST: Final = 40
"""Characters of a cell; the last one has all of its text."""


def recorded(kept: Kept | ValueError) -> Recorded | None:
    """Read the action that an entry records; None if it records no action.

    ValueError if the entry cannot be read.
    """
    if isinstance(kept, ValueError):
        raise kept
    try:
        entry = kept.fields()
        effect = _EFFECTS.get(entry["type"])
        if effect is None or entry.get("what", {}).get("kind") in ABOUT_THE_RUN:
            return None
        return _recorded(entry, effect)
    except (KeyError, TypeError, AttributeError, UnknownSchema) as wrong:
        raise ValueError(f"is no entry that this program reads ({ascii(str(wrong))[:200]})") from None


def _recorded(entry: dict[str, Any], effect: Action) -> Recorded:
    data, question = entry.get("data", {}), entry.get("what", {})
    facts = {**data, **question}  # from the question if the entry has it, else from the event
    rules = None if "rules" not in entry else RULES.load(json.dumps(entry["rules"]).encode())
    team, channel, requester = (_text(facts, name) for name in ("team", "channel", "requester"))
    return Recorded(
        n=int(entry["n"]),
        at=datetime.fromisoformat(entry["at"]),
        then=effect,
        clause=rules.clause if rules else str(data.get("clause", "")),
        run=str(entry.get("run", "")),
        request=str(entry.get("request", "")),
        team=team,
        agent=str(facts.get("agent", "")),
        tool=str(facts.get("tool", "")),
        arguments=read_arguments(facts.get("arguments", "{}")),
        channel=None if channel is None else ChannelId(channel),
        requester=None if requester is None else UserId(requester),
        team_says=_team_says(data, question),
        rules=rules,
        settings=_settings(data, rules),
        program=(team or "") if data.get("program") else "",
        gap=_GONE if "gone" in question else "" if question or "tool" in data else _NO_TOOL,
    )


def _text(facts: dict[str, Any], name: str) -> str | None:
    return None if facts.get(name) is None else str(facts[name])


def _team_says(data: dict[str, Any], question: dict[str, Any]) -> tuple[Action | None, ...]:
    said = data.get("team_says")
    if said == "nothing":
        return (None,)
    if said:
        return (Action(said),)
    # The entry does not say. A question without a call was certainly asked; for a call everything is possible.
    return (Action.ASK,) if question and "tool" not in question else (None, *Action)


def _settings(data: dict[str, Any], rules: Rules | None) -> Rules | None:
    """Restore the channel's own rules at that time.

    They are the request's rules without the policy's changes.
    """
    if "settings" in data:
        base = plain(rules) if rules else {}
        return RULES.load(json.dumps({**base, **json.loads(data["settings"])}).encode())
    return rules if rules is not None and not rules.clause and rules.risk is not Risk.HIGH else None


def summary(replayed: Sequence[Replayed], policy: Path, since: datetime, until: datetime | None) -> str:
    """Say how many actions were replayed, and count each outcome, a line for each."""
    span = f"from {_in_utc(since)} to {_in_utc(until) if until else 'now'}"
    if not replayed:
        return f"No actions on record {span}: nothing to replay.\n"
    number = Counter(action.outcome for action in replayed)
    lines = [f"{len(replayed):,} action{'s' * (len(replayed) != 1)} on record {span}, under {policy}:"]
    lines += [f"{outcome}: {number[outcome]:,}" for outcome in ReplayOutcome if number[outcome]]
    return "".join(f"{line}\n" for line in lines)


def _in_utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def rows(replayed: Sequence[Replayed], *, everything: bool = False) -> list[list[str]]:
    """Return a row for each action with a different outcome.

    `everything`: a row for every action.
    """
    shown = [_row(action) for action in replayed if everything or action.outcome is not ReplayOutcome.SAME]
    return [[*(cell[:_WIDEST] for cell in row[:-1]), row[-1]] for row in shown]


def line(action: Replayed) -> str:
    """Return one JSON object for programs."""
    was = action.was
    return json.dumps(
        {
            "n": was.n,
            "at": was.at.isoformat(),
            **{name: getattr(was, name) for name in ("run", "request", "team", "channel", "agent", "tool")},
            "outcome": action.outcome.name.lower(),
            "was": {"then": was.then, "rule": was.clause},
            "would_be": {"then": action.then, "rule": action.clause},
            "how": action.how,
        },
        ensure_ascii=False,
    )


def _row(action: Replayed) -> list[str]:
    was = action.was
    at = was.at.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    tool = was.tool or "(a question)"
    cells = [at, was.run, was.team or "?", was.agent, tool, action.outcome, action.clause, action.how]
    return ["".join(letter if letter.isprintable() else "·" for letter in cell) for cell in cells]
