"""The port for workers and programs: one interface for each workspace that is served.

A workspace's own address is `/workspaces/<id>/v1/…`. Where there is only one, `/v1/…` is the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from countersign.domain.ids import WorkspaceId

from ..slack.connection_limits import Asgi, Receive, Scope, Send
from . import endpoints, problems
from .endpoints import Interface
from .problems import Problem

_PREFIX: Final = "/workspaces/"


class ApiPort:
    """The interfaces by workspace; `url` is the address at which workers reach them.

    `ready`: every workspace is open, so one that is not served does not exist here. Before that, and once this process
    stops, workers and programs are told to try again.
    """

    def __init__(self) -> None:
        self.url = ""
        self.ready = False
        self._interfaces: dict[str, Interface] = {}
        self._apps: dict[str, Asgi] = {}

    @contextmanager
    def serving(self, workspace: WorkspaceId, interface: Interface) -> Iterator[str]:
        """Serve the workspace's interface until the block ends; yields its address."""
        self._interfaces[workspace], self._apps[workspace] = interface, endpoints.app(interface)
        try:
            yield f"{self.url}{_PREFIX}{workspace}"
        finally:
            del self._interfaces[workspace], self._apps[workspace]

    def stop(self) -> None:
        """Answer everything that waits: programs and workers ask the next process."""
        self.ready = False
        for interface in self._interfaces.values():
            interface.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the interface of its workspace."""
        path: str = scope["path"]
        app = next(iter(self._apps.values())) if len(self._apps) == 1 else None
        if path.startswith(_PREFIX):
            workspace, _, rest = path.removeprefix(_PREFIX).partition("/")
            app, scope = self._apps.get(workspace), {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}
        if app is None:
            problem = Problem(404, "not-found", "No workspace is served at this address.")
            if not self.ready:
                text = "The workspace is not served at this address just now. Try again soon."
                problem = Problem(503, "not-ready", text, retry_after=1)
            await problems.answer(problem)(scope, receive, send)
            return
        await app(scope, receive, send)
