"""The port for workers and programs, with one interface for each workspace.

A workspace's own address is `/workspaces/<id>/v1/…`. Where there is only one, `/v1/…` is the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from countersign.domain.ids import WorkspaceId

from . import endpoints, problems
from .endpoints import Interface
from .problems import Problem

_PREFIX: Final = "/workspaces/"
_NOT_SERVED: Final = Problem(503, "no-workspace", "This workspace is not served just now. Try again soon.", 2)
"""Not 404: the port opens before its workspaces and closes after them, and a worker would take its run for gone."""
_AMBIGUOUS: Final = Problem(404, "not-found", "Several workspaces are served. Call /workspaces/<id>/v1/… of yours.")


class ApiPort:
    """The interfaces by workspace; `url` is the address at which workers reach them."""

    def __init__(self) -> None:
        self.url = ""
        self._interfaces: dict[str, Interface] = {}
        self._apps: dict[str, ASGIApp] = {}

    @contextmanager
    def serving(self, workspace: WorkspaceId, interface: Interface) -> Iterator[str]:
        """Serve the workspace's interface until the block ends; yields its address."""
        self._interfaces[workspace], self._apps[workspace] = interface, endpoints.app(interface)
        try:
            yield f"{self.url}{_PREFIX}{workspace}"
        finally:
            del self._interfaces[workspace], self._apps[workspace]

    @property
    def streams(self) -> int:
        """Count the streams of decisions that workers have open."""
        return sum(interface.workers.streams.total() for interface in self._interfaces.values())

    def stop(self) -> None:
        """Answer everything that waits: programs and workers ask the next process."""
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
            named = path.startswith(_PREFIX)
            problem = _AMBIGUOUS if self._apps and not named else _NOT_SERVED
            await problems.answer(problem)(scope, receive, send)
            return
        await app(scope, receive, send)
