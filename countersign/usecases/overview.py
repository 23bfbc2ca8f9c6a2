"""Port of what people read of requests and runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.usecases.ports import Message


@dataclass(frozen=True, slots=True)
class Waiting:
    """The newest requests that wait, and the number of all; or more if not `whole`."""

    requests: tuple[Request, ...]
    total: int
    whole: bool = True


class Overview(Protocol):
    """Requests and runs of one person or one channel. May raise what `Store` may."""

    async def groups(self) -> list[GroupId]: ...
    async def waiting(
        self,
        names: Sequence[UserId | GroupId | ChannelId],
        unless: UserId | None,
        fits: Callable[[Request], bool],
        limit: int,
    ) -> Waiting: ...
    async def decided(self, name: UserId | ChannelId, limit: int) -> list[Request]: ...
    async def runs(self, requester: UserId, limit: int) -> tuple[list[Run], int]: ...
    async def messages(self, names: Sequence[str]) -> dict[str, Message]: ...
    async def contradicted(self) -> int: ...
    async def watch(self, user: UserId, span: timedelta) -> None: ...
    async def watching(self) -> set[UserId]: ...
