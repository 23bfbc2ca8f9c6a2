"""A run asks people something."""

import json
from dataclasses import replace

from countersign.domain import request_endings, requests, runs
from countersign.domain.calls import LONGEST_CONTENT
from countersign.domain.errors import GivenUp, Refused
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, RequestId
from countersign.domain.questions import asker, salted
from countersign.domain.redaction import plain, shortened, without_secrets
from countersign.domain.requests import Question, Request, digest
from countersign.domain.secrets import hide
from countersign.policy.evaluation import Effect
from countersign.usecases.compare_and_set import TRIES, fenced, live, too_many_tries
from countersign.usecases.effective_settings import Ruled, ruled_for
from countersign.usecases.ports import Change, Lease, Put, Store


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
    counts = question.kind not in requests.ABOUT_THE_RUN
    for _ in range(TRIES):
        run = await live(store, lease)
        question = salted(question, run.value.salt)
        wanted = requests.request_id(lease.run, question)
        known = await store.request(wanted)
        if known is not None:
            if not await store.confirm(known):
                continue
            return known.value
        if counts and 0 < limit <= run.value.asked:
            raise GivenUp(
                f"The run has asked people {run.value.asked} times, which is the most that one run may (REQUESTS), and "
                "wanted to ask again; so it has ended. What was decided and done before stays done. If so many "
                "questions are right, raise REQUESTS and start the task anew."
            )
        ruled = await ruled_for(store, run.value, question)
        told = {"team": run.value.team, "team_says": str(team_says), **_settings(ruled)}
        if ruled.refused is not None:
            told |= {**_refused(question, ruled.refused), "channel": run.value.channel, "clause": ruled.rules.clause}
            event = Event(
                EventType.CALL_REFUSED,
                run.now,
                run=run.value.id,
                workspace=run.value.workspace,
                data={**told, "requester": run.value.requester},
            )
            await fenced(store, Change(events=(event,), lease=lease, once=AttemptId(wanted)))
            raise ruled.refused
        step = requests.ask(
            question,
            run=run.value.id,
            workspace=run.value.workspace,
            channel=run.value.channel,
            requester=run.value.requester,
            rules=ruled.rules,
            now=run.now,
        )
        changed = [Put(step.request, 0)]
        events = [replace(event, data={**event.data, **told}) for event in step.events]
        old = run.value.open.get(step.request.slot)
        if old and (before := await store.request(old)):
            back = request_endings.withdraw(before.value, run.now, "the run asks something else instead")
            if back.events:
                changed.append(Put(back.request, before.version))
                events += back.events
        waiting = replace(run.value, open={**run.value.open, step.request.slot: wanted}, asked=run.value.asked + counts)
        waiting = runs.move(waiting, runs.Verb.WAIT, run.now) or waiting
        change = Change(
            runs=(Put(waiting, run.version),),
            requests=tuple(changed),
            events=tuple(events),
            lease=lease,
            delivered=(old,) if old else (),
        )
        if await fenced(store, change):
            return step.request
    raise too_many_tries()


async def take_back(store: Store, lease: Lease, request: RequestId, why: str) -> None:
    """Nobody in the run waits for this any more: its place is free, and it is withdrawn unless it is decided."""
    for _ in range(TRIES):
        run = await live(store, lease)
        seen = await store.request(request)
        if seen is None or run.value.open.get(seen.value.slot) != request:
            return
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
        if await fenced(store, change):
            return
    raise too_many_tries()


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
