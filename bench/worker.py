"""`python -m agents` with the benchmark's teams."""

import asyncio
import logging
import signal
from pathlib import Path

from agents.__main__ import serve
from countersign.settings import WorkerSettings, read


async def main() -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(read(WorkerSettings), stop, Path(__file__).parent / "teams")


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    for loud in ("autogen_core", "autogen_core.events", "autogen_agentchat", "autogen_agentchat.events"):
        logging.getLogger(loud).setLevel(logging.CRITICAL)
    asyncio.run(main())
