"""`python -m agents` with teams from any folder, and a lease that its test ends."""

import asyncio
import logging
import signal
import sys
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

import agents.__main__
from agents.__main__ import serve
from countersign.process_settings import WorkerSettings


async def main(url: str, namespace: str, data: str, folder: str, smtp_url: str, park_after: str, lease: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = WorkerSettings.model_construct(
        redis_url=SecretStr(url),
        namespace=namespace,
        teams=Path(folder),
        log_level="INFO",
        model_config_file=None,
        smtp_url=SecretStr(smtp_url) if smtp_url else None,
        mail_from="countersign@example.com",
        data_dir=Path(data),
        lease=timedelta(seconds=float(lease)),
        park_after=timedelta(seconds=float(park_after)),
        concurrency=100,
    )
    # Whatever the lease, the job of one that is lost comes to another after a second; the store says who has the run.
    agents.__main__.BEYOND_THE_LEASE = timedelta(seconds=1) - settings.lease  # type: ignore[misc]
    await serve(settings, stop)


logging.basicConfig(level="INFO", format="%(relativeCreated)d %(process)d %(name)s %(message)s")
logging.getLogger("autogen_core").setLevel("WARNING")
asyncio.run(main(*sys.argv[1:]))
