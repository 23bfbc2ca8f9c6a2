"""Store over Redis: records, the step that changes them, and the other parts."""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import redis.asyncio
from pydantic import TypeAdapter

from countersign.domain.channel_settings import Rules
from countersign.domain.errors import StoreUnavailable, StoreUnsafe, UnknownSchema, WrongSettings
from countersign.domain.ids import ChannelId, RunId, WorkspaceId
from countersign.policy.evaluation import Rulebook
from countersign.store.codec import from_ms, ms
from countersign.store.commit_plan import Commits
from countersign.store.indexes import Indexes
from countersign.store.keys import KEPT, KEPT_CHANNELS, Keys
from countersign.store.leases import Leases
from countersign.store.made_files import MadeFiles
from countersign.store.ownership import RULEBOOK, RULES, Side, rulebook_in
from countersign.store.records import reaching, refusal
from countersign.store.redis import durability
from countersign.store.redis.connection import ClusterClient
from countersign.store.redis.durability import NONE, Replicas
from countersign.store.workers import Workers
from countersign.usecases.worker_claims import KEPT_POLICIES

_NAMES: Final = TypeAdapter(dict[str, ChannelId])
_log = logging.getLogger(__name__)


class Store(Commits):
    """Implements `countersign.usecases.ports.Store` over one Redis client."""

    def __init__(
        self, client: redis.asyncio.Redis, namespace: str, replicas: Replicas = NONE, side: Side = Side.BOTH
    ) -> None:
        super().__init__(client, Keys(namespace), side, replicas)
        self.indexes = Indexes(self)
        self.leases = Leases(client, self.keys)
        self.workers = Workers(self, self.indexes)
        self.made = MadeFiles(client, self.keys)

    async def check(self) -> None:
        """Check that Redis can be reached and is safe.

        StoreUnavailable if it cannot be reached; WrongSettings if it refuses the password, for which nobody should
        wait; StoreUnsafe if it may drop keys when memory is short. Any other way to lose answered writes is logged.
        """
        try:
            async with reaching():
                policies = [memory.get("maxmemory_policy") for memory in await self._memories()]
        except StoreUnavailable as away:
            if away.__cause__ is not None and (why := refusal(away.__cause__)):
                raise WrongSettings([f"REDIS_URL: Redis refuses this process: {why}"]) from None
            raise
        for policy in {*policies} - {"noeviction"}:
            raise StoreUnsafe(
                f"Redis has maxmemory-policy {policy}, so it may forget decisions when memory is short. "
                "Nothing was started. Set `maxmemory-policy noeviction`."
            )
        async with reaching():
            if flaw := await durability.flaw(self.client, self.keys.confirmed):
                _log.warning("%s", flaw)

    async def defaults(self) -> Rules | None:
        async with reaching():
            raw = await self.client.get(self.keys.defaults)
        return RULES.read(raw)[0] if raw else None

    async def set_defaults(self, rules: Rules) -> None:
        async with reaching():
            await self.client.set(self.keys.defaults, RULES.write(rules, 1))

    async def workspace(self) -> WorkspaceId | None:
        """Read the Slack workspace of the approval service; None if it never started here."""
        async with reaching():
            stored = await self.client.get(self.keys.workspace)
        return WorkspaceId(stored.decode()) if stored else None

    async def set_workspace(self, workspace: WorkspaceId) -> None:
        async with reaching():
            await self.client.set(self.keys.workspace, workspace)

    async def channels(self) -> frozenset[ChannelId] | None:
        """Read the channels that the app is in; None if `web` has not said so lately."""
        async with reaching():
            stored = await self.client.get(self.keys.channels)
        return None if stored is None else frozenset(ChannelId.among(stored.split()))

    async def set_channels(self, names: Mapping[str, ChannelId]) -> None:
        """Store the channels that the app is in; a worker reads their ids only."""
        async with reaching():
            await self.client.set(self.keys.channels, " ".join(sorted(names.values())), px=KEPT_CHANNELS)
            await self.client.set(self.keys.channel_names, _NAMES.dump_json({**names}), px=KEPT_CHANNELS)

    async def channel_names(self) -> dict[str, ChannelId] | None:
        """Read these channels by name; None if `web` has not said so lately."""
        async with reaching():
            stored = await self.client.get(self.keys.channel_names)
        return None if stored is None else _NAMES.validate_json(stored)

    async def rulebook(self) -> Rulebook:
        """Read the workspace's policy; one without rules if none was set."""
        async with reaching():
            raw = await self.client.get(self.keys.rulebook)
        return rulebook_in(raw) if raw else Rulebook()

    async def set_rulebook(self, book: Rulebook) -> None:
        """Put this policy in force, by a new number, unless it is in force already."""
        with contextlib.suppress(UnknownSchema):
            if (before := await self.rulebook()).version and before == book:
                return
        now = await self.now()
        async with reaching():
            number = int(await self.client.incr(self.keys.audit_policy))
            raw = RULEBOOK.write(replace(book, version=number), number)
            await self.client.zadd(self.keys.audit_policies, {raw: ms(now)})
            await self.client.zremrangebyrank(self.keys.audit_policies, 0, -KEPT_POLICIES - 1)
            await self.client.set(self.keys.rulebook, raw)

    async def policies(self) -> list[tuple[datetime, Rulebook]]:
        """Read the last policies, each with the moment from which it was in force."""
        async with reaching():
            members = await self.client.zrange(self.keys.audit_policies, 0, -1, withscores=True)
        read: list[tuple[datetime, Rulebook]] = []
        for raw, since in members:
            with contextlib.suppress(UnknownSchema):  # of a newer version: whoever named it is not judged by it
                read.append((from_ms(since), rulebook_in(raw)))
        return read or [(from_ms(0), await self.rulebook())]

    async def put_away(self, limit: int) -> int:
        """Let keys of runs that the other side ended expire; returns the number of runs."""
        if self.side is Side.BOTH:
            return 0
        index = self.keys.ended(Side.WEB if self.side is Side.AGENTS else Side.AGENTS)
        async with reaching():
            runs = await self.indexes.ids(RunId, index, await self.client.zrange(index, 0, limit - 1))
            for run in runs:
                names = [self.keys.journal(run)]
                if self.side is Side.WEB:
                    names = [self.keys.request(request) for request in await self.settled(run)]
                    names.append(self.keys.origin(run))
                for key in names:
                    await self.client.pexpire(key, ms(KEPT))
                await self.client.zrem(index, run)
        return len(runs)

    async def _memories(self) -> list[dict[str, Any]]:
        """Read INFO memory, of every primary of a Cluster. Hosted Redis refuses CONFIG."""
        if not isinstance(self.client, ClusterClient):
            return [await self.client.info("memory")]
        await self.client.initialize()
        return [await self.client.info("memory", target_nodes=[node]) for node in self.client.get_primaries()]
