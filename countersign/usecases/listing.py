"""Requests as lists show them, with their cards' addresses and their teams."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.usecases.overview import Overview
from countersign.usecases.ports import Message, Store


@dataclass(frozen=True, slots=True)
class Listed:
    """Requests with the addresses of their cards, where they are known.

    `total` counts those that are not among them too; there are even more if not `whole`. `teams` are those that ask, by
    run; where one is not known its agent is named. `runs` say what came of what was approved.
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
    """Look up the cards' addresses and the teams' names, as far as they are known.

    A request that was settled before it had a card links to its run's thread.
    """
    names = {
        request.id: (
            f"card/{request.id}",
            f"card/{request.id}/instead",
            *((f"run/{request.run}", f"run/{request.run}/direct") if request.decision is not None else ()),
        )
        for request in requests
    }
    posted = await overview.messages(list({name for places in names.values() for name in places}))
    shown = {request: [posted[name] for name in places if name in posted] for request, places in names.items()}
    links = {request: link(messages[0]) for request, messages in shown.items() if messages}
    runs = await store.readable_runs(list(dict.fromkeys(request.run for request in requests)))
    known = {run.id: run for run in runs.values() if run is not None}
    teams = {name: run.team for name, run in known.items()}
    return Listed(requests, links, len(requests), teams, runs=known)
