"""Record an invitation of the app to a channel, which is greeted once.

The event is the only trace: the greeting is drawn from it by whichever process draws Slack, so a second delivery, a
restart or a second `web` greets nobody again.
"""

from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, ChannelId, UserId, WorkspaceId
from countersign.usecases.ports import Change, Store


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

    `by`: who invited it, None if Slack does not say. `shared_outside`: another company reads the channel.
    """
    data = {"channel": channel, **({"shared": "yes"} if shared_outside else {})}
    event = Event(EventType.CHANNEL_JOINED, await store.now(), workspace=workspace, user=by, data=data)
    await store.commit(Change(events=(event,), once=delivery))
