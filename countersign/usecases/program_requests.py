"""Requests of programs over HTTP: ask, take back, begin, report the outcome.

Each is a run of its own, which web writes and nobody advances: the program waits by itself. Its id is made of the key
and the program's idempotency key, so a program that died and asks again finds its request and the decision.
Everything else is as for teams: the channel's settings, the workspace's policy, one decision, the record.
"""

import json
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Final

from countersign.domain import executions, request_endings, requests, runs
from countersign.domain.api_keys import ApiKey, AskingProgram
from countersign.domain.calls import LONGEST_CONTENT
from countersign.domain.errors import Conflict, InvalidInput, NotFound
from countersign.domain.events import EventType, plain
from countersign.domain.executions import Grant
from countersign.domain.ids import AttemptId, ChannelId, RequestId, RunId, UserId, WorkspaceId, short_name
from countersign.domain.question_salts import salted
from countersign.domain.request_endings import may_act
from countersign.domain.requests import Decision, How, Kind, Question, Request, Status
from countersign.domain.runs import Run
from countersign.policy.evaluation import Action
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, update
from countersign.usecases.effective_settings import judge, ruled_for
from countersign.usecases.ports import Change, Put, Store

LONGEST_OUTCOME: Final = 2000


@dataclass(frozen=True, slots=True)
class ProgramRequest:
    """One request of a program, and the run that holds it."""

    run: Run
    request: Request


_Submitted = Keep[tuple[ProgramRequest, bool]] | Swap[tuple[ProgramRequest, bool]] | Refuse


def run_of(key: ApiKey, idempotency: str) -> RunId:
    """Name the run of a program's request: the same for the same idempotency key."""
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
    """Ask people a program's question; the request, and whether it is new.

    `named`: the requester is whom the program names. The same idempotency key again is the same request. Conflict if it
    came with other content. InvalidInput if it is too long. Refused, on record, if the policy refuses it or nobody
    could decide. A call that the policy lets pass is approved at once, and the record says by which rule.
    """
    if len(question.content) > LONGEST_CONTENT:
        raise InvalidInput(
            f"The content is too long: {len(question.content):,} characters, and the limit is {LONGEST_CONTENT:,}. "
            "Nobody was asked."
        )
    name, program, task = run_of(key, idempotency), AskingProgram(key.id, key.name, named), task or question.title

    async def propose() -> _Submitted:
        before = await store.run(name)
        if before is not None:
            return Keep((await _same(store, key, before.value, question, (channel, requester, task), callback), False))
        run = Run(name, workspace, channel, requester, key.name, task, await store.now())
        run = replace(run, status=runs.Status.PARKED, asked=1, by_script=True, program=key.id, salt=token_hex(12))
        return await _new(store, key, run, question, program, callback)

    return (await update(store, propose)).value


async def _new(
    store: Store, key: ApiKey, run: Run, question: Question, asker: AskingProgram, callback: str
) -> _Submitted:
    """Ask the question under the rules and the policy as they are now. InvalidInput if nobody could answer it."""
    ruled = await ruled_for(store, run, question)
    if ruled.refused is not None:
        event = runs.event(
            EventType.CALL_REFUSED, run, run.created_at, team=key.name, program=key.id, why=str(ruled.refused)
        )
        return Refuse(ruled.refused, Change(events=(event,), once=AttemptId(run.id)))
    if question.kind is Kind.FORM and ruled.rules.quorum > 1:
        people = f"{ruled.rules.quorum} people must approve here"
        raise InvalidInput(f"{people}, but one person fills in a form. Nobody was asked.")
    asked = requests.ask(
        salted(question, run.salt),
        run=run.id,
        workspace=run.workspace,
        channel=run.channel,
        requester=run.requester,
        rules=ruled.rules,
        now=run.created_at,
    )
    settings = json.dumps(plain(ruled.settings), sort_keys=True, ensure_ascii=False)
    about = {"team": key.name, "program": key.id, "settings": settings}
    events = [replace(event, data={**event.data, **about}) for event in asked.events]
    request = replace(asked.request, callback=callback, program=asker)
    if (passed := await _passed(store, run, question)) is not None:
        step = request_endings.settle(request, passed)
        request, events = step.request, [*events, *step.events]
    queued = runs.event(EventType.RUN_QUEUED, run, run.created_at, team=key.name, program=key.id)
    run = replace(run, open={request.slot: request.id})
    change = Change(runs=(Put(run, 0),), requests=(Put(request, 0),), events=(queued, *events))
    return Swap(change, (ProgramRequest(run, request), True))


async def _passed(store: Store, run: Run, question: Question) -> Decision | None:
    """Approve a call that the policy lets pass; None if people are asked."""
    if question.call is None or question.kind is Kind.FORM:
        return None
    judged = await judge(store, run, question.agent, question.call, None)
    if judged.then is not Action.ALLOW:
        return None
    words = f"The workspace's policy, rule “{judged.clause}”."
    return Decision(Status.APPROVED, How.POLICY, run.created_at, words=words)


async def _same(
    store: Store, key: ApiKey, run: Run, question: Question, place: tuple[ChannelId, UserId, str], callback: str
) -> ProgramRequest:
    """The request that stands under this idempotency key. Conflict, with what differs, if it is another."""
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
        # The order of a schema's fields is how they are shown; another one asks for nothing else.
        if call.schema != other.schema and json.loads(call.schema or "null") != json.loads(other.schema or "null"):
            different.append("schema")
    return different


async def find(store: Store, key: ApiKey, request: str) -> ProgramRequest:
    """Read a request. NotFound if there is none, or if it is another program's."""
    name = RequestId.named(request)
    seen = None if name is None else await store.request(name)
    run = None if seen is None else await store.run(seen.value.run)
    if seen is None or run is None or run.value.program != key.id:
        raise NotFound(f"This key has no request “{request[:40]}”.")
    return ProgramRequest(run.value, seen.value)


async def withdraw(store: Store, key: ApiKey, request: str, why: str) -> ProgramRequest:
    """Withdraw the request, unless it is decided. NotFound as for `find`."""
    target = await find(store, key, request)

    async def propose() -> Keep[ProgramRequest] | Swap[ProgramRequest]:
        seen, run = await store.request(target.request.id), await store.run(target.run.id)
        if seen is None or run is None or seen.value.status is not Status.PENDING:
            return Keep(ProgramRequest(target.run, target.request if seen is None else seen.value))
        step = request_endings.withdraw(seen.value, seen.now, why or f"{key.name} took it back")
        change = Change(requests=(Put(step.request, seen.version),), events=step.events)
        return Swap(change, ProgramRequest(run.value, step.request))

    return (await update(store, propose)).value


async def begin(store: Store, key: ApiKey, request: str, execution: str, replaces: str = "") -> ProgramRequest:
    """Grant the execution, unless another one was granted or an outcome is known.

    Only the execution that the returned run names may act. To begin the same one again changes nothing, so it may be
    repeated when the reply was lost. `replaces` names an earlier one that did nothing; with an empty `execution` in its
    place, nothing has begun.

    NotFound as for `find`. InvalidInput if nobody decided yet. Conflict if it was not approved, or people stopped it.
    """
    found = await find(store, key, request)
    status = found.request.status
    if status is Status.PENDING:
        raise InvalidInput("This request hasn't been decided yet. Begin after the decision.")
    if status not in (Status.APPROVED, Status.EDITED):
        raise Conflict(f"This request was not approved: it is {status.value}. Nothing may be done.")

    async def propose() -> Keep[ProgramRequest] | Swap[ProgramRequest] | Refuse:
        seen = await store.run(found.run.id)
        if seen is None:
            return Refuse(NotFound(f"The request “{found.request.id}” no longer exists."))
        run = seen.value
        if run.status is runs.Status.STOPPED:
            return Refuse(Conflict("People stopped this request, so nothing may be done."))
        if execution:
            grants, _ = executions.grant(run.grants, execution, Grant(found.request.id), replaces=replaces)
        else:
            grants = executions.take_back(run.grants, replaces)
        if run.told_outcome or grants == run.grants:
            return Keep(ProgramRequest(run, found.request))
        begun = replace(run, grants=dict(grants))
        return Swap(Change(runs=(Put(begun, seen.version),)), ProgramRequest(begun, found.request))

    return (await update(store, propose)).value


async def report(store: Store, key: ApiKey, request: str, *, succeeded: bool, words: str) -> ProgramRequest:
    """Report what came of the action; the card and the record show it.

    The same report again changes nothing. One that comes after the request ended without one still counts. InvalidInput
    if nobody decided yet, or `words` are too long. Conflict if it was not approved, or something else was reported
    before. Who acts on the answer to a question may report it; words in the place of an approval are none.
    """
    if len(words) > LONGEST_OUTCOME:
        raise InvalidInput(f"An outcome can have at most {LONGEST_OUTCOME:,} characters.")
    target = await find(store, key, request)
    if target.request.status is Status.PENDING:
        raise InvalidInput("This request hasn't been decided yet. Report its outcome after the decision.")
    if not may_act(target.request):
        raise Conflict(
            f"This request was not approved: it is {target.request.status.value}. Nothing was changed, and the "
            "card shows no outcome. If the action was done all the same, tell the reviewers."
        )
    verb = runs.Verb.FINISH if succeeded else runs.Verb.FAIL
    return await end(store, target, verb, words)


async def end(
    store: Store,
    target: ProgramRequest,
    verb: runs.Verb,
    words: str,
    *,
    ended_as: str = "",
) -> ProgramRequest:
    """End the request with what came of it, or without, as `ended_as` says.

    Conflict if something else was reported before, NotFound if it is gone.
    """

    async def propose() -> Keep[ProgramRequest] | Swap[ProgramRequest] | Refuse:
        seen = await store.run(target.run.id)
        if seen is None:
            return Refuse(NotFound(f"The request “{target.request.id}” no longer exists."))
        run = seen.value
        if run.over and (ended_as or run.told_outcome or run.status is runs.Status.STOPPED):
            same = (run.status is runs.Status.FINISHED) == (verb is runs.Verb.FINISH)
            if ended_as or (same and run.result == words and run.told_outcome):
                return Keep(ProgramRequest(run, target.request))
            return Refuse(Conflict("Another outcome was already reported, or people stopped this request."))
        running = replace(run, status=runs.Status.RUNNING)  # also one that ended as nothing was reported
        step = runs.end(running, verb, seen.now, result=words, ended_as=ended_as)
        events = tuple(replace(event, request=target.request.id) for event in step.events)
        change = Change(runs=(Put(step.run, seen.version),), events=events, delivered=(target.request.id,))
        return Swap(change, ProgramRequest(step.run, target.request))

    return (await update(store, propose)).value
