"""The port for workers and programs while its workspaces are not served yet, or no longer."""

import pytest

from bot.api.endpoints import CONNECTIONS
from bot.api.port import ApiPort
from bot.slack import http
from countersign.domain.errors import NotFound, StoreUnavailable
from countersign.domain.ids import RunId
from countersign.domain.run_calls import Claim
from countersign.runs.area import WebAddress
from countersign.runs.service import HttpService
from countersign.usecases.ports import Lease


@pytest.mark.parametrize("path", ["", "/workspaces/T0LOCAL"])
async def test_workers_wait_for_a_workspace_that_opens_or_closes(path: str) -> None:
    """R4: it may be served in a moment, or by another process; a run that is not found would end."""
    port, lease = ApiPort(), Lease(RunId("r1"), 1, "worker")
    async with http.serving(port, "127.0.0.1", 0, CONNECTIONS) as number:

        async def resolve() -> WebAddress:
            return WebAddress((f"http://127.0.0.1:{number}{path}",), "csk_x")

        async with HttpService(resolve) as service:
            with pytest.raises(StoreUnavailable, match="not served at this address just now"):
                await service.call(lease, Claim())
            port.ready = True
            with pytest.raises(NotFound, match="No workspace is served"):
                await service.call(lease, Claim())
            port.stop()
            with pytest.raises(StoreUnavailable):
                await service.call(lease, Claim())
