"""Answers of models, kept for a while, so that all workers give them again."""

from datetime import timedelta

from countersign.domain.ids import Digest
from countersign.store.clock import ms
from countersign.store.reads import reaching
from countersign.store.store import Store


class RedisAnswers:
    """Implements `countersign.usecases.ports.Answers`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, question: Digest) -> bytes | None:
        """What was kept, if its time has not ended."""
        async with reaching():
            kept: bytes | None = await self._store.client.get(self._store.keys.answer(question))
        return kept

    async def put(self, question: Digest, answer: bytes, kept: timedelta) -> None:
        """Keep it for so long."""
        async with reaching():
            await self._store.client.set(self._store.keys.answer(question), answer, px=ms(kept))
