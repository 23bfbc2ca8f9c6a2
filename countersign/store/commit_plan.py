"""Commit of a change in one step: all that `commit.lua` checks and writes."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import redis.asyncio
from pydantic import TypeAdapter

from countersign.domain import schedule
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, PermissionId, RequestId, RunId
from countersign.domain.proof import Proof
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.domain.runs import Status as RunStatus
from countersign.domain.standing_permissions import Permission
from countersign.store.codec import ms
from countersign.store.keys import KEPT, KEPT_ATTEMPT, KEPT_MESSAGE, Keys
from countersign.store.record_codecs import (
    ABSENCES,
    API_KEYS,
    EVENTS,
    PASSKEYS,
    PERMISSIONS,
    REQUESTS,
    RUNS,
    SETTINGS,
    write_message,
)
from countersign.store.records import Records
from countersign.store.redis.durability import Replicas, WritingScript
from countersign.usecases.ports import Change, Committed, Message, Put, Seen

_COMMIT: Final = (Path(__file__).parent / "commit.lua").read_text()
_PLAN: Final = TypeAdapter(dict[str, Any])
_log = logging.getLogger(__name__)


class CommitPlan:
    """A change for the script: keys once each, the plan as JSON, the values after it."""

    def __init__(self, names: Keys) -> None:
        self.names = names
        self.keys: dict[str, int] = {names.pending: 1}
        self.values: list[bytes] = []
        self.plan: dict[str, Any] = {
            "records": [],
            "unchanged": [],
            "texts": [],
            "add": [],
            "list": [],
            "remove": [],
            "expire": [],
            "settled": [],
            "events": 0,
            "log": names.events,
            "wake": [],
            "channel": names.wake,
        }

    def args(self) -> list[bytes]:
        return [_PLAN.dump_json(self.plan), *self.values]

    def fill(self, change: Change) -> None:
        for run in change.runs:
            self._run(run.value, run.version)
        for request in change.requests:
            self._request(request.value, request.version)
        for guard in change.unchanged:
            self._unchanged(self.names.request(guard.value.id), guard.version)
        if (held := change.held) is not None:
            self._unchanged(self.names.run(held.value.id), held.version)
        for shown in change.shown:
            key, field = self.names.message(shown.value.name)
            self.plan["unchanged"].append({"key": self._key(key), "field": field, "version": shown.version})
        for delivered in change.delivered:
            of_program = any(run.value.id.of_program for run in change.runs)
            unheard = self.names.unreported if of_program else self.names.undelivered
            self._remove(unheard, delivered)
        for message in change.messages:
            self._message(message.value, message.version)
        for channel, settings in change.settings.items():
            self._record(
                self.names.settings(channel), SETTINGS.write(settings.value, settings.version + 1), settings.version
            )
            if settings.value.proof not in (None, Proof.SLACK):
                self._list(self.names.proof_channels, channel)
        if (away := change.absences) is not None:
            self._record(self.names.absences, ABSENCES.write(away.value, away.version + 1), away.version)
        for program in change.keys:
            api_key, version = program.value, program.version
            self._record(self.names.api_key(api_key.id), API_KEYS.write(api_key, version + 1), version)
            self._add(self.names.api_keys, api_key.created_at, api_key.id)
        for holder in change.passkeys:
            passkeys = holder.value
            self._record(
                self.names.passkeys(passkeys.user), PASSKEYS.write(passkeys, holder.version + 1), holder.version
            )
            self._list(self.names.passkey_holders, passkeys.user)
        for permission in change.permissions:
            self._permission(permission.value, permission.version)
        for event in change.events:
            self.values.append(EVENTS.dump(event))
        self.plan["events"] = len(change.events)
        if change.before is not None:
            self.plan["before"] = ms(change.before)
        if change.once is not None:
            self.plan["once"] = self._key(self.names.once(change.once))
            self.plan["once_ttl"] = ms(KEPT_ATTEMPT)

    def expire_with_run(self, settled: list[RequestId]) -> None:
        """Let settled requests expire with their run, which this change ends."""
        for request in settled:
            self._expire(self.names.request(request))

    def drop_permissions(self, ended: list[PermissionId]) -> None:
        """Remove expired permissions from the index."""
        for permission in ended:
            self._remove(self.names.permissions, permission)

    def _key(self, name: str) -> int:
        return self.keys.setdefault(name, len(self.keys) + 1)

    def _unchanged(self, name: str, version: int) -> None:
        self.plan["unchanged"].append({"key": self._key(name), "version": version})

    def _record(self, key: str, raw: bytes, version: int, ttl: timedelta | None = None) -> None:
        record: dict[str, Any] = {"key": self._key(key), "version": version}
        if ttl is not None:
            record["ttl"] = ms(ttl)
        self.plan["records"].append(record)
        self.values.append(raw)

    def _run(self, run: Run, version: int) -> None:
        self._record(self.names.run(run.id), RUNS.write(run, version + 1), version, KEPT if run.over else None)
        if run.over:
            for index in (self.names.active, self.names.parked, self.names.runs(run.requester)):
                self._remove(index, run.id)
            self._expire(self.names.settled(run.id))
            self.plan["wake"].append({"name": f"run {run.id}"})
            return
        stands, other = self.names.active, self.names.parked
        if run.status is RunStatus.PARKED:
            stands, other = other, stands
        for index in (stands, self.names.runs(run.requester)) if version == 0 else (stands,):
            self._add(index, run.created_at, run.id)
        self._remove(other, run.id)

    def _request(self, request: Request, version: int) -> None:
        settled = request.status is not Status.PENDING
        name = self.names.request(request.id)
        self._record(name, REQUESTS.write(request, version + 1), version)
        value = len(self.values) + 1
        if settled:
            run, index = self._key(self.names.run(request.run)), self._key(self.names.settled(request.run))
            entry = {"key": self._key(name), "run": run, "index": index, "id": request.id, "ttl": ms(KEPT)}
            self.plan["settled"].append(entry)
            self._remove(self.names.pending, request.id)
            self._remove(self.names.unposted, request.id)
            if request.decision is not None:
                unheard = self.names.unreported if request.run.of_program else self.names.undelivered
                self._add(unheard, request.decision.at, request.id)
                if request.callback:
                    self._add(self.names.callbacks, request.decision.at, request.id)
            self.plan["wake"].append({"name": f"request {request.id}", "value": value})
            if not request.run.of_program:  # no worker needs to continue it
                self.plan["parked"] = {"key": self._key(self.names.parked), "member": request.run}
        else:
            coming = schedule.next_step(request)
            self._add(self.names.pending, None if coming is None else coming.at, request.id)
            if version == 0:
                self._add(self.names.unposted, request.created_at, request.id)
            self.plan["wake"].append({"name": "due"})

    def _add(self, key: str, at: datetime | None, member: str) -> None:
        score = "+inf" if at is None else str(ms(at))
        self.plan["add"].append({"key": self._key(key), "score": score, "member": member})

    def _list(self, key: str, member: str) -> None:
        self.plan["list"].append({"key": self._key(key), "member": member})

    def _remove(self, key: str, member: str) -> None:
        self.plan["remove"].append({"key": self._key(key), "member": member})

    def _expire(self, key: str) -> None:
        self.plan["expire"].append({"key": self._key(key), "ttl": ms(KEPT)})

    def _permission(self, permission: Permission, version: int) -> None:
        left = max(permission.until - permission.changed_at, timedelta(milliseconds=1))
        self._record(self.names.permission(permission.id), PERMISSIONS.write(permission, version + 1), version, left)
        if permission.revoked_by is not None:
            self._remove(self.names.permissions, permission.id)
        else:
            self._add(self.names.permissions, permission.until, permission.id)

    def _message(self, message: Message, version: int) -> None:
        key, field = self.names.message(message.name)
        record = {"key": self._key(key), "field": field, "version": version, "ttl": ms(KEPT_MESSAGE)}
        self.plan["records"].append(record)
        self.values.append(write_message(message, version + 1))
        about = message.request or message.head_of
        if about is not None and message.ts:
            key = self.names.ts(message.workspace, ChannelId(message.channel), message.ts)
            entry = {"field": message.ts, "value": about, "ttl": ms(KEPT_MESSAGE)}
            self.plan["texts"].append({"key": self._key(key), **entry})
        if message.ts and message.name.startswith("card/"):
            for request in message.rows or filter(None, (message.request,)):
                self._remove(self.names.unposted, request)


def _log_decisions(events: Sequence[Event]) -> None:
    """Log each decision once, when it is stored."""
    for event in events:
        if event.type is EventType.REQUEST_DECIDED:
            outcome, how = event.data.get("outcome", ""), event.data.get("how", "")
            fields = {"workspace": event.workspace, "outcome": outcome, "how": how}
            fields |= {"user": event.user} if event.user else {}
            _log.info(
                "Request %s of run %s: %s by %s.", event.request, event.run, outcome, how, extra={"fields": fields}
            )


class Commits(Records):
    """Records, and the step that changes them."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, replicas: Replicas) -> None:
        super().__init__(client, keys)
        self._replicas = replicas
        self._commit = self.writing(_COMMIT)

    def writing(self, text: str) -> WritingScript:
        """Make a writing script that answers once the replicas have its write."""
        return WritingScript(self.client, text, self._replicas, self.keys.confirmed, self.pipeline)

    async def commit(self, change: Change) -> Committed:
        """Store all of the change, or nothing, and return the outcome.

        A repeat after a lost reply answers stale or repeated.
        """
        plan = CommitPlan(self.keys)
        plan.fill(change)
        for run in change.runs:
            if run.value.over:
                plan.expire_with_run(await self.settled(run.value.id))
        if any(put.version == 0 for put in change.permissions):
            ended = await self.client.zrange(
                self.keys.permissions, "-inf", ms(change.permissions[0].value.at), byscore=True
            )
            plan.drop_permissions([PermissionId(permission.decode()) for permission in ended])
        answer = Committed((await self._commit([*plan.keys], plan.args())).decode())
        if answer in (Committed.DONE, Committed.DONE_BUT_PARKED):
            _log_decisions(change.events)
        return answer

    async def confirm(self, seen: Seen[Request]) -> bool:
        """Confirm that the request still is as it was seen, also on the replicas.

        For a repeat that finds its work done: the first attempt may have failed at exactly this confirmation.
        NotReplicated unless the replicas have the request.
        """
        if not self._replicas.wanted:
            return True
        return await self.commit(Change(unchanged=(Put(seen.value, seen.version),))) is Committed.DONE

    async def settled(self, run: RunId) -> list[RequestId]:
        """Read the settled requests of a run."""
        return RequestId.among(await self.client.smembers(self.keys.settled(run)))
