"""The stream of decisions at a worker, which may be older than `web` (R4)."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from countersign.domain.errors import NewerSchema
from countersign.domain.ids import RequestId, RunId
from countersign.runs.decision_stream import DecisionStream, WaitingAnswer
from countersign.store.codec import decompress
from countersign.store.record_codecs import REQUESTS
from tests.sample_requests import question, request

READABLE = request(asked=question("readable"))
LINE = decompress(REQUESTS.dump(READABLE))
NEWER = RequestId("qnewer")
NEWER_LINE = json.dumps({**json.loads(LINE), "id": NEWER, "status": "of a newer web"}, separators=(",", ":")).encode()


@pytest.mark.parametrize("pushed", [True, False])
async def test_unreadable_decision_harms_only_its_own_wait(pushed: bool) -> None:
    """The run that waits for it is left for a newer worker; the others get theirs."""
    awaited = asyncio.Event()

    @asynccontextmanager
    async def lines() -> AsyncIterator[AsyncIterator[bytes]]:
        async def each() -> AsyncIterator[bytes]:
            await awaited.wait()
            for line in (NEWER_LINE, LINE) if pushed else (b"{}",):
                yield line
            await asyncio.get_running_loop().create_future()

        yield each()

    async def read_back(requests: Sequence[RequestId], runs: Sequence[RunId]) -> WaitingAnswer:
        settled = b"" if pushed else b",".join((NEWER_LINE, LINE))
        return WaitingAnswer.load(b'{"settled":[%b]}' % settled)

    async with DecisionStream(lines, read_back) as stream:
        waits = [asyncio.ensure_future(stream.settled(name)) for name in (NEWER, READABLE.id)]
        await asyncio.sleep(0)
        awaited.set()
        newer, readable = await asyncio.gather(*waits, return_exceptions=True)
    assert readable == READABLE
    assert isinstance(newer, NewerSchema) and NEWER in str(newer)
