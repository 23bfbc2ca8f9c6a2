"""Store over Redis: records, the step that changes them, and the other parts."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import redis.asyncio
from pydantic import TypeAdapter

from countersign.domain.channel_settings import Rules
from countersign.domain.errors import UnknownSchema
from countersign.domain.ids import ChannelId, Digest, WorkspaceId, digest_of
from countersign.domain.proof import CHALLENGE_LASTS, Challenge
from countersign.policy.evaluation import Rulebook
from countersign.policy.loosening import SettingsProposal
from countersign.store.codec import ms
from countersign.store.commit_plan import Commits
from countersign.store.condition import look
from countersign.store.indexes import Indexes
from countersign.store.keys import KEPT_CHANNELS, KEPT_PROPOSAL, Keys
from countersign.store.made_files import MadeFiles
from countersign.store.record_codecs import CHALLENGES, PROPOSALS, RULEBOOK, RULES, rulebook_in
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

    async def measure(self) -> None:
        """Export the condition of Redis to the metrics."""
        (await look(self.client, self.keys.confirmed, self._replicas)).show()

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
        """Read the channels that the app is in; None if `web` has not stored them lately."""
        stored = await self.client.get(self.keys.channels)
        return None if stored is None else frozenset(ChannelId.among(stored.split()))

    async def set_channels(self, names: Mapping[str, ChannelId]) -> None:
        """Store the channels that the app is in."""
        await self.client.set(self.keys.channels, " ".join(sorted(names.values())), px=KEPT_CHANNELS)
        await self.client.set(self.keys.channel_names, _NAMES.dump_json({**names}), px=KEPT_CHANNELS)

    async def channel_names(self) -> dict[str, ChannelId] | None:
        """Read these channels by name; None if `web` has not stored them lately."""
        stored = await self.client.get(self.keys.channel_names)
        return None if stored is None else _NAMES.validate_json(stored)

    async def keep_proposal(self, proposal: SettingsProposal) -> None:
        """Store a change of settings that an admin confirms on its page."""
        await self.client.set(self.keys.proposal(proposal.id), PROPOSALS.write(proposal, 1), px=ms(KEPT_PROPOSAL))

    async def proposal(self, proposal: Digest) -> SettingsProposal | None:
        """Read a proposed change of settings; None if it is unknown or expired."""
        raw = await self.client.get(self.keys.proposal(proposal))
        return None if raw is None else PROPOSALS.read(raw)[0]

    async def keep_challenge(self, challenge: Challenge) -> None:
        """Store a statement that waits to be signed, for as long as that may take."""
        key = self.keys.challenge(digest_of(challenge.nonce))
        await self.client.set(key, CHALLENGES.write(challenge, 1), px=ms(CHALLENGE_LASTS))

    async def take_challenge(self, nonce: str) -> Challenge | None:
        """Take the challenge of this nonce, once; None if it was taken or has expired."""
        raw = await self.client.getdel(self.keys.challenge(digest_of(nonce)))
        return None if raw is None else CHALLENGES.read(raw)[0]

    async def rulebook(self) -> Rulebook:
        """Read the workspace's policy; one without rules if none was set."""
        raw = await self.client.get(self.keys.rulebook)
        return rulebook_in(raw) if raw else Rulebook()

    async def set_rulebook(self, book: Rulebook) -> None:
        """Put this policy in force with a new version, unless it is already in force."""
        with contextlib.suppress(UnknownSchema):
            if (before := await self.rulebook()).version and before == book:
                return
        number = int(await self.client.incr(self.keys.audit_policy))
        raw = RULEBOOK.write(replace(book, version=number), number)
        await self.client.set(self.keys.rulebook, raw)
