"""Record events that change no run and no request.

They are attempts that were refused before a run or request existed (R25), and invitations of the app to a channel,
whose only trace is the event that the greeting is drawn from. Each is recorded once, however often Slack delivers it
(R8). `web` records them, because only `web` knows the person.
"""

import json
from collections.abc import Mapping

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.events import Event, EventType, shortened
from countersign.domain.ids import AttemptId, ChannelId, RequestId, RunId, UserId, WorkspaceId
from countersign.domain.redaction import hide
from countersign.domain.requests import Verb
from countersign.usecases.ports import Change, Store

_LONGEST_NAME = 100
"""Most characters recorded of a typed team name."""


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
    """Record why a task was not started, unless its run exists after all."""
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
    """Record a refused attempt to change a channel's settings, with the reason."""
    data = {"channel": channel, "words": shortened(hide(words)[0]), "problems": hide(why)[0]}
    event = Event(EventType.SETTINGS_REFUSED, await store.now(), workspace=workspace, user=user, data=data)
    await store.commit(Change(events=(event,), once=attempt))


async def unknown_run(
    store: Store, attempt: AttemptId | None, *, name: str, workspace: WorkspaceId, user: UserId, why: str
) -> None:
    """Record an attempt to stop an unknown run."""
    data = {"words": hide(name)[0][:_LONGEST_NAME], "why": hide(why)[0]}
    event = Event(EventType.STOP_REFUSED, await store.now(), workspace=workspace, user=user, data=data)
    await store.commit(Change(events=(event,), once=attempt))


async def attempt_refused(
    store: Store,
    attempt: AttemptId,
    *,
    request: RequestId | None,
    workspace: WorkspaceId,
    user: UserId,
    verb: Verb,
    words: str,
    refusal: Refusal,
) -> None:
    """Record an attempt to decide that was refused before its request was read."""
    event = Event(
        EventType.ATTEMPT_REFUSED,
        await store.now(),
        request=request,
        workspace=workspace,
        user=user,
        data={"verb": verb, "refusal": refusal.name.lower(), "words": words},
    )
    await store.commit(Change(events=(event,), once=attempt))


async def invited(
    store: Store,
    delivery: AttemptId,
    *,
    workspace: WorkspaceId,
    channel: ChannelId,
    by: UserId | None,
    shared_outside: bool,
) -> None:
    """Record that the app joined the channel, once for each delivery (R8).

    `by`: the person who invited it, None if Slack does not say. `shared_outside`: another company can read the channel.
    """
    data = {"channel": channel, **({"shared": "yes"} if shared_outside else {})}
    event = Event(EventType.CHANNEL_JOINED, await store.now(), workspace=workspace, user=by, data=data)
    await store.commit(Change(events=(event,), once=delivery))


async def sessions_ended(store: Store, workspace: WorkspaceId, user: UserId, why: str, by: UserId | None) -> None:
    """Record that `user` was signed out of all pages by the person `by`."""
    data = {"whose": str(user), "why": why}
    event = Event(EventType.SESSIONS_ENDED, await store.now(), workspace=workspace, user=by, data=data)
    await store.commit(Change(events=(event,)))
