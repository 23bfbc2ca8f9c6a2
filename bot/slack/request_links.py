"""Addresses of requests' cards and names of their teams, for lists.

A Home and the lists of `/approvals` both use them.
"""

from collections.abc import Callable, Sequence

from countersign.domain.requests import Request
from countersign.usecases.ports import Message, Overview, Store

from .views.home import Listed


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
    teams = {run.id: run.team for run in runs.values() if run is not None}
    return Listed(requests, links, len(requests), teams)
