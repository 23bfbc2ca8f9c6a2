"""Ask people the questions of runs and programs, and withdraw them.

A program's question is a run of its own, which no worker advances, because the program itself waits. The run's id is
made of the key and the program's idempotency key, so a program that died and asks again finds its request and the
decision.
"""

import asyncio
import json
from dataclasses import replace
from secrets import token_hex
from typing import NamedTuple

from countersign.domain import executions, request_endings, requests, runs
from countersign.domain.actions import Action
from countersign.domain.api_keys import ApiKey, AskingProgram
from countersign.domain.calls import LONGEST_CONTENT
from countersign.domain.errors import Conflict, GivenUp, InvalidInput, Refused
from countersign.domain.events import EventType, plain, shortened, without_secrets
from countersign.domain.ids import AttemptId, ChannelId, RequestId, RunId, UserId, WorkspaceId, short_name
from countersign.domain.question_salts import asker, salted
from countersign.domain.redaction import hide
from countersign.domain.requests import Decision, How, Kind, Question, Request, Status, digest
from countersign.domain.runs import Run
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, live, update
from countersign.usecases.effective_settings import Ruled, judge, ruled_for
from countersign.usecases.found_requests import ProgramRequest, program_request
from countersign.usecases.ports import Change, Lease, Put, Seen, SeenRequest, Store


async def ask(store: Store, lease: Lease, question: Question, limit: int = 0, team_says: str = Action.ASK) -> Request:
    """Ask a question of the run, or find the request that was asked before.

    Another question in the same place of the run withdraws the one asked there before. Refused, with an event, if
    nobody could decide on it. LeaseLost if the run is no longer ours or has ended. GivenUp, with nothing asked, if it
    has asked `limit` questions already (0: no limit; questions about the run itself do not count), or asks too much.
    `team_says` is the judgement of the team's own code, for the record. A question that already has its salt is found
    faster.
    """
    if (problem := _too_long(question)) is not None:
        raise GivenUp(f"The run ended because an agent asked too much at once. {problem}")
    limit = 0 if question.kind in requests.ABOUT_THE_RUN else limit

    async def propose() -> Keep[Request] | Swap[Request] | Refuse:
        place = await _place(store, lease, question)
        if isinstance(place, SeenRequest):  # exactly this question
            return Keep(place.value, confirm=place)
        asked = place.run.value.asked
        if 0 < limit <= asked:
            return Refuse(
                GivenUp(
                    f"The run ended because it had already asked people {asked} times, the limit for one run. What was "
                    "decided and done stays done. If it needs to ask more often, raise REQUESTS and start the task "
                    "again."
                )
            )
        if place.ruled.refused is not None:
            return _refusal(place, place.ruled.refused, team_says, once=AttemptId(place.request))
        return _new_request(place, team_says)

    return (await update(store, propose)).value


def _too_long(question: Question) -> str | None:
    longest = max(len(question.content), len(question.before))
    if longest <= LONGEST_CONTENT:
        return None
    return (
        f"The content is too long: {longest:,} characters, and at most {LONGEST_CONTENT:,} can be shown. Nobody was "
        "asked. Ask about less at once."
    )


class _Place(NamedTuple):
    """A question's place in its run, its rules, and the request found there (`old`)."""

    run: Seen[Run]
    question: Question
    request: RequestId
    ruled: Ruled
    old: SeenRequest | None = None


async def _place(store: Store, lease: Lease, question: Question) -> SeenRequest | _Place:
    guessed = requests.request_id(lease.run, question)
    run, stored = await asyncio.gather(live(store, lease), store.request(guessed))
    question = salted(question, run.value.salt)
    if (name := requests.request_id(lease.run, question)) != guessed:
        stored = await store.request(name)
    if stored is not None:
        return stored
    ruled = await ruled_for(store, run.value, question)
    replaced = run.value.open.get(requests.slot_of(question))
    return _Place(run, question, name, ruled, await store.request(replaced) if replaced else None)


def _new_request(place: _Place, team_says: str) -> Swap[Request]:
    """Make the request, and withdraw the earlier one in its place."""
    run, now = place.run.value, place.run.now
    step = _asked(place, team_says)
    changed = [Put(step.request, 0)]
    events = [*step.events]
    if place.old is not None:
        back = request_endings.withdraw(place.old.value, now, "the run asks something else instead")
        if back.events:
            changed.append(Put(back.request, place.old.version))
            events += back.events
    slot = step.request.slot
    counted = run.asked + (place.question.kind not in requests.ABOUT_THE_RUN)
    recent = (*run.recent, place.request)[-runs.KEPT_RECENT :]
    grants = dict(executions.doubt(run.grants, place.question.about))
    waiting = replace(run, open={**run.open, slot: place.request}, asked=counted, recent=recent, grants=grants)
    change = Change(
        runs=(Put(runs.move(waiting, runs.Verb.WAIT, now) or waiting, place.run.version),),
        requests=tuple(changed),
        events=tuple(events),
        delivered=(run.open[slot],) if slot in run.open else (),
    )
    return Swap(change, step.request)


def _asked(place: _Place, team_says: str) -> requests.Step:
    """Make the request, with its event."""
    run, about = place.run.value, _about(place, team_says)
    step = requests.ask(
        place.question,
        run=run.id,
        workspace=run.workspace,
        channel=run.channel,
        requester=run.requester,
        rules=place.ruled.rules,
        now=place.run.now,
    )
    return replace(step, events=tuple(replace(event, data={**event.data, **about}) for event in step.events))


def _refusal(place: _Place, refused: Refused, team_says: str, once: AttemptId) -> Refuse:
    """Refuse to ask; record it once, however often the same question is asked."""
    run, question, call = place.run.value, place.question, place.question.call
    data = {
        **_about(place, team_says),
        "agent": asker(question),
        "title": hide(question.title)[0],
        "why": str(refused),
        "kind": question.kind,
        "refusal": refused.refusal.name.lower(),
        "tool": call.tool if call else "",
        "digest": digest(question),
        "arguments": shortened(without_secrets(call.arguments, call.hidden)) if call else "{}",
        "channel": run.channel,
        "clause": place.ruled.rules.clause,
        "requester": run.requester,
    }
    event = replace(runs.event(EventType.CALL_REFUSED, run, place.run.now), data=data)
    held = Put(run, place.run.version) if place.run.version else None
    return Refuse(refused, record=Change(held=held, events=(event,), once=once))


def _about(place: _Place, team_says: str) -> dict[str, str]:
    """Collect the data that the audit log keeps of any question, asked or refused.

    The channel's own rules are JSON; for a request, only the rules that differ from the request's.
    """
    run, ruled = place.run.value, place.ruled
    own, beside = plain(ruled.settings), {} if ruled.refused else plain(ruled.rules)
    differ = {name: value for name, value in own.items() if name not in beside or value != beside[name]}
    settings = json.dumps(differ, sort_keys=True, ensure_ascii=False)
    program = {} if run.program is None else {"program": run.program}
    return {"team": run.team, "team_says": str(team_says), "settings": settings, **program}


async def take_back(store: Store, lease: Lease, request: RequestId, why: str) -> None:
    """Withdraw a request that the run no longer waits for, and free its place."""

    async def propose() -> Keep[None] | Swap[None]:
        run, seen = await live(store, lease), await store.request(request)
        if seen is None or run.value.open.get(seen.value.slot) != request:
            return Keep(None)
        step = request_endings.withdraw(seen.value, run.now, why)
        freed = replace(run.value, open={k: v for k, v in run.value.open.items() if k != seen.value.slot})
        if not freed.open:
            freed = runs.move(freed, runs.Verb.GO_ON, run.now) or freed
        change = Change(
            runs=(Put(freed, run.version),),
            requests=(Put(step.request, seen.version),) if step.changes else (),
            events=step.events,
            delivered=(request,),
        )
        return Swap(change, None)

    await update(store, propose)


def run_of(key: ApiKey, idempotency: str) -> RunId:
    """Derive the run id of a program's request from its idempotency key."""
    return RunId("p" + short_name(key.id, idempotency, length=24))


async def submit(
    store: Store,
    key: ApiKey,
    idempotency: str,
    question: Question,
    *,
    workspace: WorkspaceId,
    channel: ChannelId,
    requester: UserId,
    task: str,
    named: bool = False,
    callback: str = "",
) -> tuple[ProgramRequest, bool]:
    """Ask people a program's question; return the request, and whether it is new.

    `named`: the program named the requester. A repeated idempotency key returns the same request. Conflict if it came
    with other content. InvalidInput if it is too long, or nobody could answer it. Refused, with a record, if the policy
    refuses it or nobody could decide. A call that the policy passes is approved at once, and the record names the rule.
    """
    if (problem := _too_long(question)) is not None:
        raise InvalidInput(problem)
    name, task = run_of(key, idempotency), task or question.title

    async def propose() -> Keep[tuple[ProgramRequest, bool]] | Swap[tuple[ProgramRequest, bool]] | Refuse:
        before = await store.run(name)
        if before is not None:
            return Keep((await _same(store, key, before.value, question, (channel, requester, task), callback), False))
        run = Run(name, workspace, channel, requester, key.name, task, now := await store.now())
        run = replace(run, status=runs.Status.PARKED, asked=1, by_script=True, program=key.id, salt=token_hex(12))
        asked, ruled = salted(question, run.salt), await ruled_for(store, run, question)
        place = _Place(Seen(run, 0, now), asked, requests.request_id(name, asked), ruled)
        return await _new_program_request(store, place, AskingProgram(key.id, key.name, named), callback)

    return (await update(store, propose)).value


async def _new_program_request(
    store: Store, place: _Place, program: AskingProgram, callback: str
) -> Swap[tuple[ProgramRequest, bool]] | Refuse:
    """Make the run and its request; the policy may decide at once."""
    run, ruled, now = place.run.value, place.ruled, place.run.now
    is_call = place.question.call is not None and place.question.kind is not Kind.FORM
    team_says = "nothing" if is_call else Action.ASK
    if ruled.refused is not None:
        return _refusal(place, ruled.refused, team_says, once=AttemptId(run.id))
    if place.question.kind is Kind.FORM and ruled.rules.quorum > 1:
        people = f"{ruled.rules.quorum} people must approve here"
        raise InvalidInput(f"{people}, but one person fills in a form. Nobody was asked.")
    asked = _asked(place, team_says)
    request, events = replace(asked.request, callback=callback, program=program), asked.events
    if is_call:
        judged = await judge(store, run, place.question.agent, place.question.call, None)
        if judged.then is Action.ALLOW:
            words = f"The workspace's policy, rule “{judged.clause}”."
            step = request_endings.settle(request, Decision(Status.APPROVED, How.POLICY, now, words=words))
            request, events = step.request, (*events, *step.events)
    queued = runs.event(EventType.RUN_QUEUED, run, now, team=run.team, program=program.key)
    run = replace(run, open={request.slot: request.id})
    change = Change(runs=(Put(run, 0),), requests=(Put(request, 0),), events=(queued, *events))
    return Swap(change, (ProgramRequest(run, request), True))


async def _same(
    store: Store, key: ApiKey, run: Run, question: Question, place: tuple[ChannelId, UserId, str], callback: str
) -> ProgramRequest:
    """Return the request of this idempotency key; Conflict if its content differs."""
    name = next(iter(run.open.values()), None) or requests.request_id(run.id, salted(question, run.salt))
    seen = await store.request(name)
    if seen is None or run.program != key.id:
        used = "This idempotency key was used for a request with other content."
        raise Conflict(f"{used} Use a new key for a new request.")
    before = seen.value
    named = zip(("channel", "requester", "task"), (run.channel, run.requester, run.task), place, strict=True)
    differing = _differing(before, question) + [name for name, one, other in named if one != other]
    if before.callback != callback:
        differing.append("callback_url")
    if differing:
        raise Conflict(
            f"This idempotency key was used for a request with another {', '.join(differing)}. Use a new key for a "
            "new request."
        )
    return ProgramRequest(run, before)


def _differing(before: Request, question: Question) -> list[str]:
    asked, names = before.question, ("title", "content", "kind", "options", "several", "notes", "agent")
    different = [name for name in names if getattr(asked, name) != getattr(question, name)]
    call, other = asked.call, question.call
    if call is None and asked.offers != question.offers:
        different.append("edit")
    if (call is None) != (other is None):
        different.append("call")
    elif call is not None and other is not None:
        different += [name for name in ("tool", "arguments", "hidden") if getattr(call, name) != getattr(other, name)]
        # The order of a schema's fields only affects display, so another order is not a conflict.
        if call.schema != other.schema and json.loads(call.schema or "null") != json.loads(other.schema or "null"):
            different.append("schema")
    return different


async def withdraw(store: Store, key: ApiKey, request: str, why: str) -> ProgramRequest:
    """Withdraw the request, unless it is decided. NotFound as for `program_request`."""
    target = await program_request(store, key, request)

    async def propose() -> Keep[ProgramRequest] | Swap[ProgramRequest]:
        seen, run = await store.request(target.request.id), await store.run(target.run.id)
        if seen is None or run is None or seen.value.status is not Status.PENDING:
            return Keep(ProgramRequest(target.run, target.request if seen is None else seen.value))
        step = request_endings.withdraw(seen.value, seen.now, why or f"{key.name} took it back")
        change = Change(requests=(Put(step.request, seen.version),), events=step.events)
        return Swap(change, ProgramRequest(run.value, step.request))

    return (await update(store, propose)).value
