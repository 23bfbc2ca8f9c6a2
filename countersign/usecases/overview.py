"""Overviews of requests and runs: a port, and lists with links to the cards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from countersign.domain.ids import ChannelId, GroupId, RequestId, RunId, UserId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.usecases.ports import Message, Store


@dataclass(frozen=True, slots=True)
class Waiting:
    """The newest waiting requests and the number of all; a minimum unless `whole`."""

    requests: tuple[Request, ...]
    total: int
    whole: bool = True


class Overview(Protocol):
    """Requests and runs of one person or channel. Raises the errors of `Store`."""

    async def groups(self) -> list[GroupId]: ...
    async def waiting(
        self,
        names: Sequence[UserId | GroupId | ChannelId],
        unless: UserId | None,
        fits: Callable[[Request], bool],
        limit: int,
        beside: Sequence[UserId | GroupId | ChannelId] = (),
    ) -> Waiting: ...
    async def decided(self, name: UserId | ChannelId, limit: int) -> list[Request]: ...
    async def runs(self, requester: UserId, limit: int) -> tuple[list[Run], int]: ...
    async def messages(self, names: Sequence[str]) -> dict[str, Message]: ...
    async def revision(self) -> str: ...
    async def watch(self, user: UserId, span: timedelta) -> None: ...
    async def watching(self) -> set[UserId]: ...


@dataclass(frozen=True, slots=True)
class Listed:
    """Requests with the known addresses of their cards.

    `total` also counts requests that are not listed; there are even more unless `whole`. `teams` maps runs to their
    teams; if a team is unknown, the agent's name is used. `runs` hold the outcomes of approved actions.
    """

    requests: Sequence[Request]
    links: Mapping[RequestId, str]
    total: int
    teams: Mapping[RunId, str] = field(default_factory=dict)
    whole: bool = True
    runs: Mapping[RunId, Run] = field(default_factory=dict)


async def with_links(
    store: Store, overview: Overview, link: Callable[[Message], str], requests: Sequence[Request]
) -> Listed:
    """Look up the known addresses of cards and names of teams.

    A request that was settled before it had a card links to its run's thread.
    """
    names = {
        request.id: (
            *_cards(request.id),
            *((f"run/{request.run}", f"run/{request.run}/direct") if request.decision is not None else ()),
        )
        for request in requests
    }
    posted = await overview.messages(list({name for places in names.values() for name in places}))
    shown = {request: [posted[name] for name in places if name in posted] for request, places in names.items()}
    links = {request: link(messages[0]) for request, messages in shown.items() if messages}
    runs = await store.readable_runs(list(dict.fromkeys(request.run for request in requests)))
    readable = {run.id: run for run in runs.values() if run is not None}
    teams = {name: run.team for name, run in readable.items()}
    return Listed(requests, links, len(requests), teams, runs=readable)


async def card_link(overview: Overview, link: Callable[[Message], str], request: RequestId) -> str:
    """Find the link to a request's card in Slack; "" until it is posted."""
    posted = await overview.messages(_cards(request))
    return next((link(posted[name]) for name in _cards(request) if name in posted), "")


def _cards(request: RequestId) -> tuple[str, str]:
    return f"card/{request}", f"card/{request}/instead"
