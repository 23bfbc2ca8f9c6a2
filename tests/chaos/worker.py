"""`python -m agents` with a clock that may be wrong (`SKEW`, in seconds)."""

import asyncio
import logging
import os
import signal

from tests.chaos import clock_skew

clock_skew.shift(float(os.environ.get("SKEW", "0")))

from agents.__main__ import serve  # noqa: E402
from countersign.process_settings import WorkerSettings, read  # noqa: E402


async def main() -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(read(WorkerSettings), stop)


if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for loud in ("autogen_core.events", "autogen_agentchat", "autogen_agentchat.events"):
        logging.getLogger(loud).setLevel(logging.WARNING)
    logging.getLogger("autogen_core").setLevel(logging.CRITICAL)
    asyncio.run(main())
