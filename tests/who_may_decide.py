"""Reads the tables of `tests/data/who_may_decide.md`: what their words mean, as requests, people and attempts.

An unknown word is an error: a line that says nothing to the test would show nothing.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from countersign.domain import (
    decision_attempts,
    eligibility,
    people,
    quiet_hours,
    request_endings,
    schedule,
    standing_permissions,
)
from countersign.domain.channel_settings import Escalation, OnTimeout, Risk
from countersign.domain.decision_attempts import Attempt
from countersign.domain.ids import AttemptId, Digest, GroupId, UserId
from countersign.domain.people import Account, Actor, Reviewers
from countersign.domain.requests import Kind, Request, Scope, Step, Verb
from countersign.domain.schedule import Snooze
from countersign.domain.standing_permissions import Permission, PermissionChoice, Span
from tests.sample_requests import ALICE, AS_BEFORE, BOB, CAROL, DAVE, HERE, LEADS, NOW, call, choice, question, request

TABLES: Final = Path(__file__).parent / "data" / "who_may_decide.md"
TEAM: Final = "email"
APP, ERIN, SLACKBOT, BOSSES = UserId("U0APP"), UserId("U0ERIN"), UserId("USLACKBOT"), GroupId("S0BOSSES")
PEOPLE: Final = {
    "Alice": ALICE, "Bob": BOB, "Carol": CAROL, "Dave": DAVE, "Erin": ERIN, "The app": APP, "the app": APP,
    "Slackbot": SLACKBOT,
}  # fmt: skip

SLACK_SAYS: Final[dict[str, dict[str, bool]]] = {
    "an admin": {"is_admin": True},
    "an owner": {"is_admin": True, "is_owner": True},
    "a guest of one channel": {"is_restricted": True, "is_ultra_restricted": True},
    "a guest of several channels": {"is_restricted": True},
    "through Slack Connect": {"is_stranger": True},
    "a bot": {"is_bot": True},
    "deactivated": {"deleted": True},
}
IN_GROUPS: Final = {"a lead": frozenset({LEADS}), "a boss": frozenset({BOSSES}), "groups not told": None}
ADMINS_NAMED: Final = "named in ADMINS"
ELSEWHERE: Final = {"of another workspace", "not of this workspace", "unknown", ADMINS_NAMED}

ASKED: Final = {
    "a call": call(),
    "code": replace(call(), kind=Kind.CODE),
    "a choice": choice("eu", "us"),
    "several choices": choice("eu", "us", several=True),
    "a doubt": replace(question(), kind=Kind.IN_DOUBT),
    "a conversation": replace(question(), kind=Kind.TURN, offers=(Verb.APPROVE, Verb.RESPOND, Verb.REJECT)),
    "changed code": replace(question(), kind=Kind.DIVERGED, offers=(Verb.APPROVE, Verb.REJECT)),
}
DAY: Final = timedelta(days=1)
RULES: Final[dict[str, dict[str, Any]]] = {
    "own requests": {"own_requests": True},
    "two needed": {"quorum": 2},
    "three needed": {"quorum": 3},
    "high risk": {"risk": Risk.HIGH},
    "break-glass": {"break_glass": True},
    "reminds": {"remind_after": timedelta(minutes=30)},
    "silence approves": {"on_timeout": OnTimeout.APPROVE},
    "waits for ever": {"on_timeout": OnTimeout.WAIT},
    "quiet nights": {"quiet": quiet_hours.parse("19:00-08:00 UTC"), "timeout": DAY},
}

LONG: Final = "x" * (decision_attempts.LONGEST_WORDS + 1)
CHANGED: Final = {"arguments": '{"amount":21,"order":17}'}
OTHER: Final = {"digest": Digest("0" * 64)}
GLASS: Final = {"break_glass": True, "words": "The shop is down."}
CALL, ARGUMENTS, TOOL = (
    {"permission": PermissionChoice(scope, Span.HOUR)} for scope in (Scope.CALL, Scope.ARGUMENTS, Scope.TOOL)
)
THEIR_OWN: Final = UserId("U0WHOCLICKS")
OPENED: Final = {"opened_for": THEIR_OWN}
DOES: Final[dict[str, tuple[Verb, dict[str, Any]]]] = {
    "approve": (Verb.APPROVE, {}),
    "approve in words": (Verb.APPROVE, {"words": "Looks good."}),
    "approve other content": (Verb.APPROVE, OTHER),
    "approve other arguments": (Verb.APPROVE, CHANGED),
    "approve with a choice": (Verb.APPROVE, {"chosen": ("eu",)}),
    "reject": (Verb.REJECT, {}),
    "reject other content": (Verb.REJECT, OTHER),
    "reject at length": (Verb.REJECT, {"words": LONG}),
    "respond": (Verb.RESPOND, {"words": "Ask for five percent."}),
    "respond with nothing": (Verb.RESPOND, {"words": " \n"}),
    "respond that it is approved": (Verb.RESPOND, {"words": "approved"}),
    "respond too long": (Verb.RESPOND, {"words": LONG}),
    "edit": (Verb.EDIT, CHANGED),
    "edit under another rule": (Verb.EDIT, CHANGED),
    "edit nothing": (Verb.EDIT, {"arguments": '{"amount":20,"order":17}'}),
    "edit into nonsense": (Verb.EDIT, {"arguments": "twenty-one"}),
    "choose eu": (Verb.CHOOSE, {"chosen": ("eu",)}),
    "choose us": (Verb.CHOOSE, {"chosen": ("us",)}),
    "choose mars": (Verb.CHOOSE, {"chosen": ("mars",)}),
    "choose nothing": (Verb.CHOOSE, {}),
    "choose eu twice": (Verb.CHOOSE, {"chosen": ("eu", "eu")}),
    "choose eu and us": (Verb.CHOOSE, {"chosen": ("eu", "us")}),
    "expire": (Verb.EXPIRE, {}),
    "withdraw": (Verb.WITHDRAW, {}),
    "allow the call": (Verb.APPROVE, CALL),
    "allow the arguments": (Verb.APPROVE, ARGUMENTS),
    "allow the tool": (Verb.APPROVE, TOOL),
    "allow the call and reject": (Verb.REJECT, CALL),
    "allow the call and edit": (Verb.EDIT, CHANGED | CALL),
    "break the glass": (Verb.APPROVE, GLASS),
    "break the glass without a reason": (Verb.APPROVE, GLASS | {"words": " "}),
    "break the glass at length": (Verb.APPROVE, GLASS | {"words": LONG}),
    "break the glass to reject": (Verb.REJECT, GLASS),
    "break the glass and allow the call": (Verb.APPROVE, GLASS | CALL),
    "break the glass for other content": (Verb.APPROVE, GLASS | OTHER),
    "open and approve": (Verb.APPROVE, OPENED),
    "open and edit": (Verb.EDIT, OPENED | CHANGED),
    "type refund and approve": (Verb.APPROVE, {"typed": "refund"}),
    "open, type refund and approve": (Verb.APPROVE, OPENED | {"typed": "refund"}),
    "open, type REFUND and approve": (Verb.APPROVE, OPENED | {"typed": "REFUND "}),
    "open, type approve and approve": (Verb.APPROVE, OPENED | {"typed": "approve"}),
    "open, type refund and edit": (Verb.EDIT, OPENED | CHANGED | {"typed": "refund"}),
    "approve in Bob's window": (Verb.APPROVE, {"opened_for": BOB}),
    "approve in Carol's window": (Verb.APPROVE, {"opened_for": CAROL, "typed": "refund"}),
}
AGAIN: Final = ", delivered again"
DID: Final = {
    "approved": "approve", "rejected": "reject", "answered": "respond", "edited": "edit", "chose eu": "choose eu",
    "chose us": "choose us", "broke the glass": "break the glass", "opened and approved": "open and approve",
    "looks": "look", "snoozed": "snooze",
}  # fmt: skip
DID_BEFORE: Final = re.compile(r"(\w+(?:, a lead)?)(?: for (\w+))? (" + "|".join(DID) + ")")
NOW_IS: Final = re.compile(r"(\w+) is now (.+)")
PASSED: Final = {"min": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the tables."""

    line: int
    group: str
    who: str
    stands_for: str
    request: str
    before: str
    does: str
    answer: str

    def __str__(self) -> str:
        said = (self.who, self.stands_for and f"for {self.stands_for}", self.request, self.before, self.does)
        return f"{self.line}: " + "; ".join(part for part in said if part)


class Scene(NamedTuple):
    """What is there when somebody clicks."""

    request: Request
    now: datetime


def rows() -> list[Row]:
    """Every line of every table, in order."""
    found, group = [], ""
    for number, text in enumerate(TABLES.read_text().splitlines(), 1):
        if text.startswith("## "):
            group = text.removeprefix("## ")
        elif text.startswith("| ") and not text.startswith("| who "):
            cells = [cell.strip() for cell in text.strip("|").split("|")]
            found.append(Row(number, group, *cells))
    return found


def actor(row: Row) -> Actor:
    """Who clicks, with whom they stand in for."""
    return replace(_person(row.who), stands_for=tuple(_person(one) for one in _parts(row.stands_for, "; ")))


def admins(row: Row) -> frozenset[UserId]:
    """Those whom the setting ADMINS names."""
    return frozenset({_person(row.who).user}) if ADMINS_NAMED in row.who else frozenset()


def scene(row: Row, start: datetime = NOW) -> Scene:
    """The request as it was asked at `start`, after what the line says came before."""
    now, asked = start, _asked(row.request, start)
    for what in _parts(row.before, "; "):
        if NOW_IS.fullmatch(what):
            continue
        if what == "the run stopped":
            asked = request_endings.withdraw(asked, now, "stopped").request
        elif passed := re.fullmatch(r"(\d+) (min|h|d) pass( unnoticed)?", what):
            now += timedelta(**{PASSED[passed[2]]: int(passed[1])})
            asked = asked if passed[3] else _kept(asked, now)
        else:
            asked = _done(asked, what, now)
    return Scene(asked, now)


def attempt(row: Row, of: Request) -> Attempt:
    """What the line says that somebody does; its id is that of the click before, if that is delivered again."""
    again = row.does.endswith(AGAIN)
    made = _attempt(of, actor(row), row.does.removesuffix(AGAIN), "before" if again else "now")
    return replace(made, voters=voters(row))


def voters(row: Row) -> tuple[Actor, ...]:
    """Who did something before, as Slack describes them when somebody clicks now."""
    found: dict[UserId, Actor] = {}
    for what in _parts(row.before, "; "):
        if now := NOW_IS.fullmatch(what):
            before = found[PEOPLE[now[1]]]
            is_now = _person(now[1] if now[2] == "no lead" else f"{now[1]}, {now[2]}")
            found[before.user] = replace(is_now, stands_for=before.stands_for)
        elif DID_BEFORE.fullmatch(what):
            found[_doer(what).user] = _doer(what)
    return tuple(found.values())


def tried(
    asked: Request, who: Actor, does: str, now: datetime, name: str, before: tuple[Actor, ...] = AS_BEFORE
) -> Step:
    """What comes of it when somebody does that."""
    match does:
        case "look":
            return schedule.look(asked, who, now)
        case "snooze":
            return schedule.snooze(asked, who, Snooze.HOUR, now)
    made = replace(_attempt(asked, who, does, name), voters=before)
    return decision_attempts.decide(asked, made, now, outgrown=does == "edit under another rule")


def permission(by: UserId) -> Permission:
    """What this person allowed, when they approved the same call of the same team, for an hour."""
    of = request(asked=call(), reviewers=Reviewers(frozenset({by})), own_requests=True)
    allowed = decision_attempts.decide(of, _attempt(of, Actor(HERE, by), "allow the arguments", "allowed"), NOW).request
    given = standing_permissions.given_with(allowed, TEAM)
    assert given is not None
    return given


def _person(words: str) -> Actor:
    name, *traits = words.split(", ")
    says: dict[str, Any] = {"team_id": "T0OTHER" if "of another workspace" in traits else HERE}
    groups: frozenset[GroupId] | None = frozenset()
    for trait in traits:
        if trait in IN_GROUPS:
            groups = IN_GROUPS[trait]
        elif trait not in ELSEWHERE:
            says |= SLACK_SAYS[trait]
    account = None if "unknown" in traits else Account() if "not of this workspace" in traits else Account.read(says)
    return people.actor_of(HERE, PEOPLE[name], account, groups)


def _asked(words: str, start: datetime) -> Request:
    rules: dict[str, Any] = {}
    about = question()
    for word in _parts(words, ", "):
        if word in ASKED:
            about = ASKED[word]
        elif word in RULES:
            rules |= RULES[word]
        elif named := re.fullmatch(r"of (.+)", word):
            rules["reviewers"] = _named(named[1])
        elif then := re.fullmatch(r"then (.+)", word):
            rules |= {"escalation": (Escalation(timedelta(hours=2), _named(then[1])),), "timeout": DAY}
        else:
            raise ValueError(f"“{word}” says nothing of a request")
    made = request(start, asked=about, **rules)
    talk = about.kind is Kind.TURN
    return replace(made, rules=eligibility.for_requester(made.rules, ALICE)) if talk else made


def _named(words: str) -> Reviewers:
    if words == "nobody":
        return Reviewers()
    names = words.split(" or ")
    groups = frozenset({LEADS}) if "leads" in names else frozenset()
    return Reviewers(frozenset(PEOPLE[name] for name in names if name != "leads"), groups)


def _kept(asked: Request, until: datetime) -> Request:
    """What happens by itself until then, each thing at its moment."""
    while (coming := schedule.next_step(asked)) is not None and coming.at <= until:
        asked = schedule.due(asked, coming.at).request
    return asked


def _done(asked: Request, what: str, now: datetime) -> Request:
    found = DID_BEFORE.fullmatch(what)
    assert found, what
    step = tried(asked, _doer(what), DID[found[3]], now, "before")
    assert step.refusal is None, f"“{what}” was refused: {step.refusal}"
    return step.request


def _doer(what: str) -> Actor:
    found = DID_BEFORE.fullmatch(what)
    assert found, what
    return replace(_person(found[1]), stands_for=(_person(found[2]),) if found[2] else ())


def _attempt(of: Request, who: Actor, does: str, name: str) -> Attempt:
    verb, own = DOES[does]
    if own.get("opened_for") is THEIR_OWN:
        own = own | {"opened_for": who.user}
    attempt = AttemptId(re.sub("[^A-Za-z0-9]", "-", f"{who.user}-{does}-{name}"))
    return replace(Attempt(attempt, who, verb, of.digest), **own)


def _parts(cell: str, between: str) -> list[str]:
    return cell.split(between) if cell else []
