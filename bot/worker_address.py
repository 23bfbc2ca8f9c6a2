"""The address of `web` and the workers' key, kept in the workers' area."""

import asyncio
import logging
import socket
from datetime import timedelta
from typing import Final

from countersign.domain import api_keys
from countersign.domain.errors import CountersignError
from countersign.runs.area import Area
from countersign.store.store import Store
from countersign.usecases import program_keys

WORKERS: Final = "workers"
"""The name of the key that workers without one of their own have."""
_EVERY: Final = 5.0
_OVERLAP: Final = timedelta(minutes=1)
_ANYWHERE: Final = ("0.0.0.0", "::", "")
_log = logging.getLogger(__name__)


def url_of(host: str, port: int) -> str:
    """Write the address at which others reach a port of this machine."""
    name = socket.gethostname() if host in _ANYWHERE else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


async def keep(store: Store, area: Area, url: str) -> None:
    """Keep the address and the key in the area until cancelled."""
    try:
        while True:
            try:
                await area.put_address(url, await _key(store, area))
            except CountersignError as away:
                _log.warning("Workers were not told where web is: %s", away)
            await asyncio.sleep(_EVERY)
    finally:
        try:
            async with asyncio.timeout(1):
                await area.drop_address(url)
        except (CountersignError, TimeoutError):
            _log.info("The address of web ends by itself in the workers' area.")


async def _key(store: Store, area: Area) -> str:
    """Return the key of the area, made now if there is none that opens."""
    token = await area.web_key()
    parts = api_keys.parts_of(token)
    seen = None if parts is None else await store.api_key(parts[0])
    secret = None if parts is None or seen is None else api_keys.secret_of(seen.value, parts[1])
    if seen is not None and secret is not None and secret.valid(seen.now):
        return token
    before = await store.api_key(api_keys.id_of(WORKERS))
    if before is not None:
        return (await program_keys.rotate(store, before.value.id, _OVERLAP, "web")).token
    issued = api_keys.issue_worker(WORKERS, (), await store.now())
    await program_keys.create(store, issued, "web")
    return issued.token
