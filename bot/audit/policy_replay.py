"""Read actions from the record, and print what another policy does to them.

What it does is decided by `countersign.policy.simulation`, which knows neither entries nor tables."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from countersign.domain.channel_settings import Risk, Rules
from countersign.domain.errors import UnknownSchema
from countersign.domain.event_data import plain, read_arguments
from countersign.domain.events import EventType
from countersign.domain.hash_chain import Kept
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.requests import ABOUT_THE_RUN
from countersign.policy.evaluation import Effect
from countersign.policy.simulation import Outcome, Recorded, Replayed
from countersign.store.ownership import RULES

_EFFECTS: Final = {
    EventType.REQUEST_ASKED: Effect.ASK,
    EventType.CALL_PASSED: Effect.PASS,
    EventType.CALL_REFUSED: Effect.REFUSE,
}
_GONE: Final = "the request was not stored any more when this was recorded"
_NO_TOOL: Final = "the record does not name the tool"
_COLUMNS: Final = ("time", "run", "team", "agent", "tool", "was → would be", "rule", "how")
_WIDEST: Final = 40
"""Characters of a cell; the last one has all of its text."""


def recorded(kept: Kept | ValueError) -> Recorded | None:
    """Read the action that an entry tells of; None if it tells of none. ValueError if the entry cannot be read."""
    if isinstance(kept, ValueError):
        raise kept
    try:
        entry = kept.fields()
        effect = _EFFECTS.get(entry["type"])
        if effect is None or entry.get("what", {}).get("kind") in ABOUT_THE_RUN:
            return None
        return _recorded(entry, effect)
    except (KeyError, TypeError, AttributeError, UnknownSchema) as wrong:
        raise ValueError(f"is no entry that this program reads ({wrong!r})") from None


def _recorded(entry: dict[str, Any], effect: Effect) -> Recorded:
    data, what = entry.get("data", {}), entry.get("what", {})
    said = {**data, **what}  # a question's own words, where the entry has them, else what the event says
    rules = None if "rules" not in entry else RULES.load(json.dumps(entry["rules"]).encode())
    team, channel, requester = (_text(said, name) for name in ("team", "channel", "requester"))
    return Recorded(
        n=int(entry["n"]),
        at=datetime.fromisoformat(entry["at"]),
        effect=effect,
        clause=rules.clause if rules else str(data.get("clause", "")),
        run=str(entry.get("run", "")),
        request=str(entry.get("request", "")),
        team=team,
        agent=str(said.get("agent", "")),
        tool=str(said.get("tool", "")),
        arguments=read_arguments(said.get("arguments", "{}")),
        channel=None if channel is None else ChannelId(channel),
        requester=None if requester is None else UserId(requester),
        team_says=_team_says(data, what),
        rules=rules,
        settings=_settings(data, rules),
        gap=_GONE if "gone" in what else "" if what or "tool" in data else _NO_TOOL,
    )


def _text(said: dict[str, Any], name: str) -> str | None:
    return None if said.get(name) is None else str(said[name])


def _team_says(data: dict[str, Any], what: dict[str, Any]) -> tuple[Effect | None, ...]:
    said = data.get("team_says")
    if said == "nothing":
        return (None,)
    if said:
        return (Effect(said),)
    # A worker may leave it out: a question that is no call can only be asked, of a call it is not known.
    return (Effect.ASK,) if what and "tool" not in what else (None, *Effect)


def _settings(data: dict[str, Any], rules: Rules | None) -> Rules | None:
    """Restore the channel's own rules of then: those of the request with what the policy had changed put back."""
    if "settings" in data:
        base = plain(rules) if rules else {}
        return RULES.load(json.dumps({**base, **json.loads(data["settings"])}).encode())
    return rules if rules is not None and not rules.clause and rules.risk is not Risk.HIGH else None


def table(replayed: Sequence[Replayed], *, everything: bool = False) -> Iterator[str]:
    """Count each outcome, then give a row for each action that changes or cannot be told, or for all of them."""
    counts = Counter(one.outcome for one in replayed)
    yield from (f"{outcome}: {counts[outcome]:,}" for outcome in Outcome if counts[outcome])
    rows = [_row(one) for one in replayed if everything or one.outcome is not Outcome.SAME]
    if not rows:
        return
    yield ""
    rows = [list(_COLUMNS), *rows]
    widths = [min(_WIDEST, max(len(row[at]) for row in rows)) for at in range(len(_COLUMNS) - 1)]
    for row in rows:
        cells = [cell[:width].ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def line(one: Replayed) -> str:
    """Give one JSON object for programs."""
    was = one.was
    return json.dumps(
        {
            "n": was.n,
            "at": was.at.isoformat(),
            "run": was.run,
            "request": was.request,
            "team": was.team,
            "channel": was.channel,
            "agent": was.agent,
            "tool": was.tool,
            "outcome": one.outcome.name.lower(),
            "was": {"effect": was.effect, "rule": was.clause},
            "would_be": {"effect": one.effect, "rule": one.clause},
            "how": one.how,
        },
        ensure_ascii=False,
    )


def _row(one: Replayed) -> list[str]:
    was = one.was
    at = was.at.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    cells = [at, was.run, was.team or "?", was.agent, was.tool or "(a question)", one.outcome, one.clause, one.how]
    return ["".join(letter if letter.isprintable() else "·" for letter in cell) for cell in cells]
