"""Standing permissions in the store: given in one step with the approval, counted at each use, gone at their end."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from countersign import usecases
from countersign.domain import api_keys, standing_permissions
from countersign.domain.channel_settings import Risk, Rules
from countersign.domain.decision_attempts import decide
from countersign.domain.errors import InvalidInput, NotFound, Refused
from countersign.domain.events import EventType
from countersign.domain.ids import AttemptId, PermissionId, RunId, TeamName, UserId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import How, Question, Request, Scope, Status
from countersign.domain.run_calls import Start
from countersign.domain.standing_permissions import Permission, PermissionChoice, Span
from countersign.policy.evaluation import Rulebook
from countersign.store.store import Store
from countersign.usecases import permission_use, run_requests
from countersign.usecases.ports import Change, Lease, Put
from tests.autogen.harness import fact
from tests.sample_requests import ALICE, BOB, CAROL, DAVE, GENERAL, HERE, attempt, call, question, rules
from tests.slack.socket_bot import events
from tests.store_fixtures import NoQueue, new_run
from tests.usecases.test_usecases import kinds

HOUR = PermissionChoice(Scope.ARGUMENTS, Span.HOUR)


async def whose(permission: Permission, _: Rules) -> Actor:
    return Actor(HERE, permission.by)


async def allowed(store: Store, asked: Request) -> Request | None:
    return await permission_use.allow(store, NoQueue(), asked.id, whose)


async def give(
    store: Store,
    lease: Lease,
    wish: PermissionChoice = HOUR,
    asked: Question | None = None,
) -> Permission:
    """Bob approves what the run asks, and does not want to be asked again."""
    of = await usecases.ask(store, lease, asked or call())
    await usecases.decide(store, NoQueue(), of.id, attempt(of, BOB, permission=wish, name=f"give-{of.id}"))
    return (await store.permissions())[-1].value


async def test_approval_and_permission_are_stored_in_one_step(store: Store, lease: Lease) -> None:
    """R3, R24: the same click twice gives one."""
    of = await usecases.ask(store, lease, call())
    for _ in range(2):
        done = await usecases.decide(store, NoQueue(), of.id, attempt(of, BOB, permission=HOUR))
        assert done.status is Status.APPROVED
    (seen,) = await store.permissions()
    permission = seen.value
    assert done.decision is not None and done.decision.standing is not None
    assert done.decision.standing.permission == permission.id
    assert (permission.team, permission.tool, permission.by, permission.used) == ("email", "refund", BOB, 0)
    assert (await kinds(store)).count(EventType.PERMISSION_GIVEN) == 1
    left = await store.client.pttl(store.keys.permission(permission.id))
    assert timedelta(minutes=59) < timedelta(milliseconds=left) <= timedelta(hours=1)


async def test_simultaneous_approvals_give_one_permission(store: Store, lease: Lease) -> None:
    """R3: the loser's wish is lost with their click."""
    of = await usecases.ask(store, lease, call())
    tries = [usecases.decide(store, NoQueue(), of.id, attempt(of, user, permission=HOUR)) for user in (BOB, CAROL)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(d) for d in done if isinstance(d, Exception)] == [Refused]
    assert len(await store.permissions()) == 1


async def test_permission_use_is_decided_counted_and_logged_together(store: Store, lease: Lease) -> None:
    """R24, R25: and the run that waits has its answer."""
    permission = await give(store, lease)
    asked = await usecases.ask(store, await new_run(store, "rlater"), call())
    done = await allowed(store, asked)
    assert done is not None and done.decision is not None
    assert (done.status, done.decision.how, done.decision.by) == (Status.APPROVED, How.PERMISSION, (BOB,))
    assert await allowed(store, asked) is None
    (seen,) = await store.permissions()
    assert seen.value == replace(permission, used=1, changed_at=done.decision.at)
    (told,) = [e for e in await events(store) if e.data.get("how") == "permission"]
    assert (told.request, told.user, told.data["permission"]) == (asked.id, BOB, permission.id)
    assert done in await store.indexes.undelivered(10, timedelta(0))


async def test_uncovered_request_waits_for_people(store: Store, lease: Lease) -> None:
    """R24"""
    await give(store, lease)
    later = await new_run(store, "rlater")
    for asked in (call(order=18, amount=20), question()):
        request = await usecases.ask(store, later, asked)
        assert await allowed(store, request) is None
        seen = await store.request(request.id)
        assert seen is not None and seen.value.status is Status.PENDING


async def test_twenty_simultaneous_uses_are_all_counted(store: Store, lease: Lease) -> None:
    """R3, R24"""
    await give(store, lease, PermissionChoice(Scope.TOOL, Span.DAY))
    later = await new_run(store, "rlater")
    asked = [await usecases.ask(store, later, replace(call(order=n), asked=n)) for n in range(20)]
    done = await asyncio.gather(*(allowed(store, request) for request in asked))
    assert {d.status for d in done if d} == {Status.APPROVED} and len(done) == 20
    assert (await store.permissions())[0].value.used == 20


async def test_narrowest_covering_permission_is_used(store: Store, lease: Lease) -> None:
    await give(store, lease, PermissionChoice(Scope.TOOL, Span.DAY))
    exact = await give(store, lease, PermissionChoice(Scope.CALL, Span.DAY), replace(call(), asked=1))
    asked = await usecases.ask(store, await new_run(store, "rlater"), call())
    done = await allowed(store, asked)
    assert done is not None and done.decision is not None and done.decision.standing is not None
    assert done.decision.standing.permission == exact.id


async def _gone(store: Store) -> bool | None:
    return None if await store.permissions() else True


async def test_expired_permission_leaves_the_index_with_the_next_grant(store: Store, lease: Lease) -> None:
    """R20, R24"""
    of = await usecases.ask(store, lease, call())
    now = await store.now()
    long_ago = decide(
        of, attempt(of, BOB, permission=HOUR), now - timedelta(minutes=59, seconds=59, milliseconds=800)
    ).request
    ending = standing_permissions.given_with(long_ago, "email")
    assert ending is not None
    await store.commit(Change(permissions=(Put(replace(ending, changed_at=now), 0),)))
    assert [seen.value.id for seen in await store.permissions()] == [ending.id]
    asked = await usecases.ask(store, await new_run(store, "rlater"), call())
    await fact(lambda: _gone(store))
    assert await allowed(store, asked) is None
    await give(store, lease)
    assert await store.client.zcard(store.keys.permissions) == 1
    assert not await store.client.exists(store.keys.permission(ending.id))


@pytest.mark.parametrize(
    ("user", "admin", "may"),
    [(BOB, False, True), (CAROL, False, True), (DAVE, True, True), (DAVE, False, False), (ALICE, False, False)],
)
async def test_giver_reviewers_and_admins_revoke_a_permission(
    store: Store, lease: Lease, user: UserId, admin: bool, may: bool
) -> None:
    """R24, R25: from then on people are asked; who may not is on record."""
    permission = await give(store, lease)
    later = await new_run(store, "rlater")
    actor, admins = Actor(HERE, user), frozenset({user} if admin else ())
    if may:
        for _ in range(2):
            assert (await permission_use.revoke(store, permission.id, actor, admins)).revoked_by == user
    else:
        for _ in range(2):
            with pytest.raises(InvalidInput, match="It's still in force"):
                await permission_use.revoke(store, permission.id, actor, admins, AttemptId("s1"))
    assert (await allowed(store, await usecases.ask(store, later, call())) is None) is may
    assert [seen.value.id for seen in await store.permissions()] == ([] if may else [permission.id])
    assert (await kinds(store)).count(EventType.PERMISSION_REVOKED) == may
    assert (await kinds(store)).count(EventType.ATTEMPT_REFUSED) == (not may)


async def test_departed_or_foreign_person_revokes_no_permission(store: Store, lease: Lease) -> None:
    """R9, R25: the record says why not."""
    permission = await give(store, lease)
    for actor in (replace(Actor(HERE, BOB), is_deactivated=True), replace(Actor(HERE, CAROL), checked=False)):
        with pytest.raises(InvalidInput):
            await permission_use.revoke(store, permission.id, actor, frozenset())
    refused = [e for e in await events(store) if e.type is EventType.ATTEMPT_REFUSED]
    assert [(e.user, e.data["refusal"]) for e in refused] == [(BOB, "deactivated"), (CAROL, "not_checked")]
    assert len(await store.permissions()) == 1
    with pytest.raises(NotFound, match="has already ended"):
        await permission_use.revoke(store, PermissionId("pnothing"), Actor(HERE, BOB), frozenset())


async def test_simultaneous_use_and_revocation_agree(store: Store, lease: Lease) -> None:
    """R3, R24: whichever is first, the count and the decision agree."""
    for number in range(10):
        permission = await give(store, lease, asked=replace(call(), asked=number))
        run = await new_run(store, f"rlater{number}")
        asked = await usecases.ask(store, run, call())
        done, ended = await asyncio.gather(
            allowed(store, asked), permission_use.revoke(store, permission.id, Actor(HERE, CAROL), frozenset())
        )
        assert ended.revoked_by == CAROL
        kept = await store.permission(permission.id)
        assert kept is not None and kept.value.used == (done is not None)


async def test_permission_of_a_former_reviewer_allows_nothing(store: Store, lease: Lease) -> None:
    """R9, R24"""
    await give(store, lease)
    await store.set_defaults(replace(rules(), reviewers=replace(rules().reviewers, users=frozenset({CAROL}))))
    assert await allowed(store, await usecases.ask(store, await new_run(store, "rlater"), call())) is None


@pytest.mark.parametrize("changed", ["risk", "reviewers"])
async def test_permission_does_not_cover_requests_under_stricter_rules(
    store: Store, lease: Lease, changed: str
) -> None:
    """R9, R24: the settings and the policy that are in force say who is asked."""
    await give(store, lease, PermissionChoice(Scope.TOOL, Span.HOUR))
    if changed == "risk":
        await store.set_rulebook(Rulebook(risks=(("refund", Risk.HIGH),)))
    else:
        await store.set_defaults(rules(reviewers=Reviewers(frozenset({CAROL}))))
    asked = await usecases.ask(store, await new_run(store, "rlater"), call())
    assert await allowed(store, asked) is None


async def script_run(store: Store, name: str, team: str) -> Lease:
    """A run that a program advances itself, begun."""
    await store.set_workspace(HERE)
    await usecases.start_by_script(store, RunId(name), Start(GENERAL, ALICE, TeamName(team), "pay"))
    lease = Lease(RunId(name), 1, "program")
    await usecases.begin(store, lease)
    return lease


async def test_program_named_like_a_team_cannot_use_its_permission(store: Store, lease: Lease) -> None:
    """R24: what was allowed to the team that runs in Slack."""
    await give(store, lease, PermissionChoice(Scope.TOOL, Span.HOUR))
    asked = await usecases.ask(store, await script_run(store, "slater", "email"), call())
    assert await allowed(store, asked) is None
    own = await usecases.decide(
        store, NoQueue(), asked.id, attempt(asked, permission=PermissionChoice(Scope.TOOL, Span.HOUR), name="its-own")
    )
    assert own.decision is not None and own.decision.standing is not None
    of_slack = await usecases.ask(store, await new_run(store, "rlast"), call())
    done = await allowed(store, of_slack)
    assert done is not None and done.decision is not None and done.decision.standing is not None
    assert done.decision.standing.permission != own.decision.standing.permission


async def test_permission_of_a_program_belongs_to_its_key(store: Store) -> None:
    """R24: neither another key's, nor a script's that takes the key's name."""
    await store.set_workspace(HERE)
    now = await store.now()
    own, other = (api_keys.issue(name, ("C0GENERAL",), now).key for name in ("ci", "other"))

    async def asked(key: api_keys.ApiKey, name: str) -> Request:
        of: dict[str, Any] = {"workspace": HERE, "channel": GENERAL, "requester": ALICE, "task": "pay"}
        return (await run_requests.submit(store, key, name, call(), **of))[0].request

    first = await asked(own, "first")
    await usecases.decide(
        store, NoQueue(), first.id, attempt(first, permission=PermissionChoice(Scope.TOOL, Span.HOUR))
    )
    assert await allowed(store, await asked(own, "second")) is not None
    assert await allowed(store, await asked(other, "third")) is None
    assert await allowed(store, await usecases.ask(store, await script_run(store, "slater", "ci"), call())) is None
