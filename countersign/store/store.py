"""Store over Redis: records, the step that changes them, and the other parts."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import redis.asyncio
from pydantic import TypeAdapter

from countersign.domain.channel_settings import Rules
from countersign.domain.errors import UnknownSchema
from countersign.domain.ids import ChannelId, WorkspaceId
from countersign.policy.evaluation import Rulebook
from countersign.store.commit_plan import Commits
from countersign.store.indexes import Indexes
from countersign.store.keys import KEPT_CHANNELS, Keys
from countersign.store.made_files import MadeFiles
from countersign.store.record_codecs import RULEBOOK, RULES, rulebook_in
from countersign.store.redis.durability import NONE, Replicas
from countersign.store.server_check import check
from countersign.store.workers import Workers

_NAMES: Final = TypeAdapter(dict[str, ChannelId])


class Store(Commits):
    """Implements `countersign.usecases.ports.Store` over one Redis client."""

    def __init__(self, client: redis.asyncio.Redis, namespace: str, replicas: Replicas = NONE) -> None:
        super().__init__(client, Keys(namespace), replicas)
        self.indexes = Indexes(self)
        self.workers = Workers(self)
        self.made = MadeFiles(client, self.keys)

    async def check(self) -> None:
        """Check that Redis can be reached and is safe, as `check` says."""
        await check(self.client, self.keys.confirmed)

    async def defaults(self) -> Rules | None:
        raw = await self.client.get(self.keys.defaults)
        return RULES.read(raw)[0] if raw else None

    async def set_defaults(self, rules: Rules) -> None:
        await self.client.set(self.keys.defaults, RULES.write(rules, 1))

    async def workspace(self) -> WorkspaceId | None:
        """Read the Slack workspace of the approval service; None if it never started here."""
        stored = await self.client.get(self.keys.workspace)
        return WorkspaceId(stored.decode()) if stored else None

    async def set_workspace(self, workspace: WorkspaceId) -> None:
        await self.client.set(self.keys.workspace, workspace)

    async def channels(self) -> frozenset[ChannelId] | None:
        """Read the channels that the app is in; None if `web` has not said so lately."""
        stored = await self.client.get(self.keys.channels)
        return None if stored is None else frozenset(ChannelId.among(stored.split()))

    async def set_channels(self, names: Mapping[str, ChannelId]) -> None:
        """Store the channels that the app is in."""
        await self.client.set(self.keys.channels, " ".join(sorted(names.values())), px=KEPT_CHANNELS)
        await self.client.set(self.keys.channel_names, _NAMES.dump_json({**names}), px=KEPT_CHANNELS)

    async def channel_names(self) -> dict[str, ChannelId] | None:
        """Read these channels by name; None if `web` has not said so lately."""
        stored = await self.client.get(self.keys.channel_names)
        return None if stored is None else _NAMES.validate_json(stored)

    async def rulebook(self) -> Rulebook:
        """Read the workspace's policy; one without rules if none was set."""
        raw = await self.client.get(self.keys.rulebook)
        return rulebook_in(raw) if raw else Rulebook()

    async def set_rulebook(self, book: Rulebook) -> None:
        """Put this policy in force, by a new number, unless it is in force already."""
        with contextlib.suppress(UnknownSchema):
            if (before := await self.rulebook()).version and before == book:
                return
        number = int(await self.client.incr(self.keys.audit_policy))
        raw = RULEBOOK.write(replace(book, version=number), number)
        await self.client.set(self.keys.rulebook, raw)
