"""Record attempts that were refused before there was a run or request (R25).

Each is recorded once, however often Slack delivers it (R8); web does it, because only web knows who it was.
"""

import json
from collections.abc import Mapping

from countersign.domain.events import Event, EventType, shortened
from countersign.domain.ids import AttemptId, ChannelId, RequestId, RunId, UserId, WorkspaceId
from countersign.domain.redaction import hide
from countersign.domain.refusal_reasons import Refusal
from countersign.domain.requests import Verb
from countersign.usecases.ports import Change, Store

_LONGEST_NAME = 100
"""Characters of what was typed where a team's name belongs."""


async def start_refused(
    store: Store,
    attempt: AttemptId,
    *,
    run: RunId | None,
    workspace: WorkspaceId,
    channel: ChannelId,
    requester: UserId,
    team: str,
    task: str,
    options: Mapping[str, str],
    why: str,
) -> None:
    """Record why a task was not started, unless it has become that run after all."""
    if run is not None and await store.run(run) is not None:
        return
    data = {
        "channel": channel,
        "team": hide(team)[0][:_LONGEST_NAME],
        "task": shortened(hide(task)[0]),
        "options": hide(json.dumps(dict(options), ensure_ascii=False))[0] if options else "",
        "why": hide(why)[0],
    }
    event = Event(EventType.START_REFUSED, await store.now(), workspace=workspace, user=requester, data=data)
    await store.commit(Change(events=(event,), once=attempt))


async def settings_refused(
    store: Store,
    attempt: AttemptId,
    *,
    workspace: WorkspaceId,
    channel: ChannelId,
    user: UserId,
    words: str,
    why: str,
) -> None:
    """Record an attempt to change a channel's settings, and why nothing was changed."""
    data = {"channel": channel, "words": shortened(hide(words)[0]), "problems": hide(why)[0]}
    event = Event(EventType.SETTINGS_REFUSED, await store.now(), workspace=workspace, user=user, data=data)
    await store.commit(Change(events=(event,), once=attempt))


async def unknown_run(
    store: Store, attempt: AttemptId | None, *, name: str, workspace: WorkspaceId, user: UserId, why: str
) -> None:
    """Record an attempt to stop a run that is not, or no longer, known."""
    data = {"words": hide(name)[0][:_LONGEST_NAME], "why": hide(why)[0]}
    event = Event(EventType.STOP_REFUSED, await store.now(), workspace=workspace, user=user, data=data)
    await store.commit(Change(events=(event,), once=attempt))


async def unknown_request(
    store: Store,
    attempt: AttemptId,
    *,
    request: RequestId | None,
    workspace: WorkspaceId,
    user: UserId,
    verb: Verb,
    words: str,
) -> None:
    """Record an attempt to decide on a request that is not, or no longer, known."""
    event = Event(
        EventType.ATTEMPT_REFUSED,
        await store.now(),
        request=request,
        workspace=workspace,
        user=user,
        data={"verb": verb, "refusal": Refusal.UNKNOWN.name.lower(), "words": words},
    )
    await store.commit(Change(events=(event,), once=attempt))
