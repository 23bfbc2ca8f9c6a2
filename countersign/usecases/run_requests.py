"""Ask people a question of a run, and take it back."""

import asyncio
import json
from dataclasses import replace
from typing import NamedTuple

from countersign.domain import executions, request_endings, requests, runs
from countersign.domain.calls import LONGEST_CONTENT
from countersign.domain.errors import GivenUp, Refused
from countersign.domain.events import Event, EventType, plain, shortened, without_secrets
from countersign.domain.ids import AttemptId, RequestId
from countersign.domain.question_salts import asker, salted
from countersign.domain.redaction import hide
from countersign.domain.requests import Question, Request, digest
from countersign.domain.runs import Run
from countersign.policy.evaluation import Action
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, live, update
from countersign.usecases.effective_settings import Ruled, ruled_for
from countersign.usecases.ports import Change, Lease, Put, Seen, SeenRequest, Store


async def ask(store: Store, lease: Lease, question: Question, limit: int = 0, team_says: str = Action.ASK) -> Request:
    """Ask a question of the run, or find the request that was asked before.

    Another question in the same place of the run withdraws the one asked there before. Refused, with an event, if
    nobody could decide on it. LeaseLost if the run is no longer ours or has ended. GivenUp, with nothing asked, if
    it has asked `limit` questions already (0: no limit; questions about the run itself do not count), or asks too much.
    `team_says` is the judgement of the team's own code, for the record. A question that has its salt is found sooner.
    """
    if max(len(question.content), len(question.before)) > LONGEST_CONTENT:
        raise GivenUp(
            f"The run ended because an agent asked people to review {len(question.content):,} characters, and at most "
            f"{LONGEST_CONTENT:,} can be shown. Nobody was asked. Ask about less at once."
        )
    limit = 0 if question.kind in requests.ABOUT_THE_RUN else limit

    async def propose() -> Keep[Request] | Swap[Request] | Refuse:
        place = await _place(store, lease, question)
        if isinstance(place, SeenRequest):  # this very question
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
            return _refusal(place, place.ruled.refused, team_says)
        return _new_request(place, team_says)

    return (await update(store, propose)).value


class _Place(NamedTuple):
    """A question's place in its run, its rules, and the request found there (`old`)."""

    run: Seen[Run]
    question: Question
    request: RequestId
    ruled: Ruled
    old: SeenRequest | None


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
    """Make the request; the run waits for it, and the one in its place is withdrawn."""
    run, now = place.run.value, place.run.now
    step = requests.ask(
        place.question,
        run=run.id,
        workspace=run.workspace,
        channel=run.channel,
        requester=run.requester,
        rules=place.ruled.rules,
        now=now,
    )
    changed = [Put(step.request, 0)]
    about = _about(place, team_says)
    events = [replace(event, data={**event.data, **about}) for event in step.events]
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


def _refusal(place: _Place, refused: Refused, team_says: str) -> Refuse:
    """Refuse to ask; it is recorded once, however often the run is rebuilt."""
    run = place.run.value
    data = {
        **_about(place, team_says),
        **_refused(place.question, refused),
        "channel": run.channel,
        "clause": place.ruled.rules.clause,
        "requester": run.requester,
    }
    event = Event(EventType.CALL_REFUSED, place.run.now, run=run.id, workspace=run.workspace, data=data)
    return Refuse(
        refused, record=Change(held=Put(run, place.run.version), events=(event,), once=AttemptId(place.request))
    )


def _about(place: _Place, team_says: str) -> dict[str, str]:
    """Collect the data that the record keeps of any question, asked or refused."""
    return {"team": place.run.value.team, "team_says": str(team_says), **_settings(place.ruled)}


async def take_back(store: Store, lease: Lease, request: RequestId, why: str) -> None:
    """Withdraw a request that nobody in the run waits for, and free its place."""

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


def _settings(ruled: Ruled) -> dict[str, str]:
    """Write the channel's own rules as JSON; beside a request's, those that differ."""
    own, beside = plain(ruled.settings), {} if ruled.refused else plain(ruled.rules)
    differ = {name: value for name, value in own.items() if name not in beside or value != beside[name]}
    return {"settings": json.dumps(differ, sort_keys=True, ensure_ascii=False)}


def _refused(question: Question, refused: Refused) -> dict[str, str]:
    call = question.call
    data = {
        "agent": asker(question),
        "title": hide(question.title)[0],
        "why": str(refused),
        "kind": question.kind,
    }
    data |= {"refusal": refused.refusal.name.lower(), "tool": call.tool if call else "", "digest": digest(question)}
    return {**data, "arguments": shortened(without_secrets(call.arguments, call.hidden)) if call else "{}"}
