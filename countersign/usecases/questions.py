"""Ask people a question of a run, and take it back."""

import json
from dataclasses import replace
from typing import NamedTuple

from countersign.domain import request_endings, requests, runs
from countersign.domain.calls import LONGEST_CONTENT
from countersign.domain.errors import GivenUp, Refused
from countersign.domain.event_data import plain, shortened, without_secrets
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, RequestId
from countersign.domain.questions import asker, salted
from countersign.domain.redaction import hide
from countersign.domain.requests import Question, Request, digest
from countersign.domain.runs import Run
from countersign.policy.evaluation import Effect
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, live, update
from countersign.usecases.effective_settings import Ruled, ruled_for
from countersign.usecases.ports import Change, Claimed, Lease, Put, Seen, Store


async def ask(store: Store, lease: Lease, question: Question, limit: int = 0, team_says: str = Effect.ASK) -> Request:
    """The request for this question of the run: the one asked before if there is one, else a new one.

    Another question in the same place of the run withdraws the one asked there before. Refused, with an event, if
    nobody could decide on it. LeaseLost if the run is no longer ours or has ended. GivenUp, with nothing asked, if
    it has asked `limit` questions already (0: no limit; questions about the run itself do not count), or asks too much.
    `team_says` is for the record: what the team's own code wanted of it.
    """
    if max(len(question.content), len(question.before)) > LONGEST_CONTENT:
        raise GivenUp(
            f"An agent wanted people to judge {len(question.content):,} characters, and at most "
            f"{LONGEST_CONTENT:,} can be shown. Nothing was asked, so the run has ended. Ask about less at once."
        )
    limit = 0 if question.kind in requests.ABOUT_THE_RUN else limit

    def rule(read: Claimed | _Place) -> Keep[Request] | Swap[Request] | Refuse:
        if isinstance(read, Claimed):  # this very question
            return Keep(read.value, confirm=read)
        asked = read.run.value.asked
        if 0 < limit <= asked:
            return Refuse(
                GivenUp(
                    f"The run has asked people {asked} times, which is the most that one run may (REQUESTS), and "
                    "wanted to ask again; so it has ended. What was decided and done before stays done. If so many "
                    "questions are right, raise REQUESTS and start the task anew."
                )
            )
        if read.ruled.refused is not None:
            return _refusal(read, read.ruled.refused, lease, team_says)
        return _new_request(read, lease, team_says)

    return (await update(store, lambda: _place(store, lease, question), rule)).value


class _Place(NamedTuple):
    """A question's place in its run, by which rules it may be asked, and the request that stands there (`old`)."""

    run: Seen[Run]
    question: Question
    request: RequestId
    ruled: Ruled
    old: Claimed | None


async def _place(store: Store, lease: Lease, question: Question) -> Claimed | _Place:
    run = await live(store, lease)
    question = salted(question, run.value.salt)
    name = requests.request_id(lease.run, question)
    if (known := await store.request(name)) is not None:
        return known
    ruled = await ruled_for(store, run.value, question)
    replaced = run.value.open.get(requests.slot_of(question))
    return _Place(run, question, name, ruled, await store.request(replaced) if replaced else None)


def _new_request(read: _Place, lease: Lease, team_says: str) -> Swap[Request]:
    """The request is asked, the run waits for it, and what was asked in its place before is withdrawn."""
    run, now = read.run.value, read.run.now
    step = requests.ask(
        read.question,
        run=run.id,
        workspace=run.workspace,
        channel=run.channel,
        requester=run.requester,
        rules=read.ruled.rules,
        now=now,
    )
    changed = [Put(step.request, 0)]
    about = _about(read, team_says)
    events = [replace(event, data={**event.data, **about}) for event in step.events]
    if read.old is not None:
        back = request_endings.withdraw(read.old.value, now, "the run asks something else instead")
        if back.events:
            changed.append(Put(back.request, read.old.version))
            events += back.events
    slot = step.request.slot
    counted = run.asked + (read.question.kind not in requests.ABOUT_THE_RUN)
    waiting = replace(run, open={**run.open, slot: read.request}, asked=counted)
    change = Change(
        runs=(Put(runs.move(waiting, runs.Verb.WAIT, now) or waiting, read.run.version),),
        requests=tuple(changed),
        events=tuple(events),
        lease=lease,
        delivered=(run.open[slot],) if slot in run.open else (),
    )
    return Swap(change, step.request)


def _refusal(read: _Place, refused: Refused, lease: Lease, team_says: str) -> Refuse:
    """Nobody may be asked this: on record once, however often the run is rebuilt."""
    run = read.run.value
    data = {
        **_about(read, team_says),
        **_refused(read.question, refused),
        "channel": run.channel,
        "clause": read.ruled.rules.clause,
        "requester": run.requester,
    }
    event = Event(EventType.CALL_REFUSED, read.run.now, run=run.id, workspace=run.workspace, data=data)
    return Refuse(refused, record=Change(events=(event,), lease=lease, once=AttemptId(read.request)))


def _about(read: _Place, team_says: str) -> dict[str, str]:
    """Data that the record keeps of any question, asked or refused."""
    return {"team": read.run.value.team, "team_says": str(team_says), **_settings(read.ruled)}


async def take_back(store: Store, lease: Lease, request: RequestId, why: str) -> None:
    """Nobody in the run waits for this any more: its place is free, and it is withdrawn unless it is decided."""

    async def read() -> tuple[Seen[Run], Claimed | None]:
        return await live(store, lease), await store.request(request)

    def rule(read: tuple[Seen[Run], Claimed | None]) -> Keep[None] | Swap[None]:
        run, seen = read
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
            lease=lease,
            delivered=(request,),
        )
        return Swap(change, None)

    await update(store, read, rule)


def _settings(ruled: Ruled) -> dict[str, str]:
    """The channel's own rules as JSON; beside the rules of a request only what the policy changed."""
    own, beside = plain(ruled.settings), {} if ruled.refused else plain(ruled.rules)
    differ = {name: value for name, value in own.items() if name not in beside or value != beside[name]}
    return {"settings": json.dumps(differ, sort_keys=True, ensure_ascii=False)}


def _refused(question: Question, refused: Refused) -> dict[str, str]:
    call = question.call
    told = {
        "agent": asker(question),
        "title": hide(question.title)[0],
        "why": str(refused),
        "kind": question.kind,
    }
    told |= {"refusal": refused.refusal.name.lower(), "tool": call.tool if call else "", "digest": digest(question)}
    return {**told, "arguments": shortened(without_secrets(call.arguments, call.hidden)) if call else "{}"}
