"""`python -m tests.fuzz --count 100000 --seed 1`: payloads made wrong, sent through the real app and the real store.

Nobody who may decide sends any of them. So nothing may be decided, no exception may leave Bolt or a reader of records,
every request must be answered with less than 500, and memory must stay flat. Exit status 1 if anything is not so.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from functools import partial
from pathlib import Path

from countersign.store.acl import url_of
from countersign.store.embedded_server import EmbeddedRedis
from tests.fuzz.campaign import fuzz
from tests.fuzz.target import deployment


async def main(count: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            EmbeddedRedis(Path(folder), namespace="fuzz") as redis,
            deployment(url_of("web", redis.url), "fuzz") as it,
        ):
            found = await fuzz(it, count, seed, say=partial(print, flush=True))
    return 1 if found.problems else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    sys.exit(asyncio.run(main(given.count, given.seed)))
