"""Time and memory of `countersign audit report` over a generated record.

`python -m bench.record_report [ENTRIES]`, a million if left out. The command runs as a process of its own,
over a tenth of the entries and then over all of them, so that memory that grows with the record would show.
"""

import asyncio
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from tests.audit.generated_record import entries, fill

_COMMAND = (sys.executable, "-m", "countersign", "audit", "report", "--since", "90d", "-o")


async def measure(count: int) -> str:
    """Report on a record of that many entries, and describe what it took."""
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedRedis(Path(folder) / "redis") as server:
            async with connect(server.url) as client:
                await fill(Store(client, "bench"), entries(count, datetime.now(UTC)))
            page = Path(folder) / "report.html"
            environment = {**os.environ, "REDIS_URL": server.url, "NAMESPACE": "bench"}
            began = time.perf_counter()
            process = os.posix_spawn(sys.executable, [*_COMMAND, str(page)], environment)  # noqa: ASYNC221 - it is what is timed
            _, status, usage = await asyncio.to_thread(os.wait4, process, 0)
            seconds, busy = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
            if status:
                raise SystemExit(f"The report failed with status {status}.")
            memory = f"{usage.ru_maxrss / 1024:.0f} MB"
            return f"{count:,} entries: {seconds:.1f} s ({busy:.1f} s of processor), {memory}"


def main() -> None:
    """Print two lines."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for part in (count // 10, count):
        print(asyncio.run(measure(part)), flush=True)


if __name__ == "__main__":
    main()
