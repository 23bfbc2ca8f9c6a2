"""`python -m tests.e2e.worker`: the worker with the teams of the folder beside it, settings as ever."""

import asyncio
import logging
import signal
from pathlib import Path

from agents.__main__ import serve
from countersign.settings import WorkerSettings, read

TEAMS = Path(__file__).parent / "teams"


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(read(WorkerSettings), stop, TEAMS)


if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for loud in ("autogen_core", "autogen_core.events", "autogen_agentchat.events"):
        logging.getLogger(loud).setLevel(logging.CRITICAL)
    asyncio.run(main())
