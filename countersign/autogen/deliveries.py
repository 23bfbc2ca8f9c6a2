"""AutoGen's deliveries without what it writes about each of them for traces and logs that nobody reads.

AutoGen 0.7.5 hands every message to every agent of a team, and for each of these deliveries opens spans and writes the
whole message as JSON twice, also where nothing takes them: two thirds of the time that it takes to rebuild a team of
fifty. Where somebody does, by a tracer provider of OpenTelemetry or the logger `autogen_core.events`, nothing changes.
And for each agent that is made it looks through its class for what that handles, which is the same each time.
"""

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Final
from weakref import WeakKeyDictionary

from autogen_agentchat.teams._group_chat._chat_agent_container import ChatAgentContainer
from autogen_agentchat.teams._group_chat._events import GroupChatAgentResponse, GroupChatStart, GroupChatTeamResponse
from autogen_core import (
    EVENT_LOGGER_NAME,
    Agent,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    Subscription,
    TypePrefixSubscription,
    TypeSubscription,
)
from autogen_core._message_handler_context import MessageHandlerContext
from autogen_core._runtime_impl_helpers import SubscriptionManager
from autogen_core._single_threaded_agent_runtime import PublishMessageEnvelope
from autogen_core._telemetry import TraceHelper
from opentelemetry.trace import INVALID_SPAN, NoOpTracerProvider, ProxyTracerProvider, Span, get_tracer_provider

_events: Final = logging.getLogger(EVENT_LOGGER_NAME)
_log: Final = logging.getLogger("autogen_core")
_NOTES: Final[dict[type, Any]] = {
    GroupChatStart: ChatAgentContainer.handle_start,
    GroupChatAgentResponse: ChatAgentContainer.handle_agent_response,
    GroupChatTeamResponse: ChatAgentContainer.handle_team_response,
}
"""What an agent only writes down for when it is asked to speak. A team of fifty does so 2,500 times in fifty turns."""
_subscribed: Final[WeakKeyDictionary[SubscriptionManager, set[tuple[str, ...]]]] = WeakKeyDictionary()
_with_words = SingleThreadedAgentRuntime._process_publish
_with_json = SingleThreadedAgentRuntime._try_serialize
_with_span = TraceHelper.trace_block
_agent: Final[Any] = RoutedAgent
_handlers: Final[Any] = cache(_agent._discover_handlers.__func__)
_types: Final[Any] = cache(_agent._handles_types.__func__)


def lighten() -> None:
    """From now on, for every team in this process."""
    SingleThreadedAgentRuntime._process_publish = _publish  # type: ignore[method-assign, assignment]
    SingleThreadedAgentRuntime._try_serialize = _serialized  # type: ignore[method-assign, assignment]
    SubscriptionManager.add_subscription = _subscribe  # type: ignore[method-assign, assignment]
    TraceHelper.trace_block = _span  # type: ignore[method-assign, assignment]
    _agent._discover_handlers, _agent._handles_types = classmethod(_handlers), classmethod(_types)


async def _publish(runtime: SingleThreadedAgentRuntime, envelope: PublishMessageEnvelope) -> None:
    if _read(runtime):
        await _with_words(runtime, envelope)
        return
    queue = runtime._message_queue  # a runtime that is stopped meanwhile gets another one
    try:
        recipients = await runtime._subscription_manager.get_subscribed_recipients(envelope.topic_id)
        note, context = _NOTES.get(type(envelope.message)), _context(envelope)
        deliveries = []
        for agent_id in recipients:
            if agent_id == envelope.sender:
                continue
            agent = await runtime._get_agent(agent_id)
            if note is not None and _notes_at_once(agent):
                await _logging(agent, note(agent, envelope.message, context))
            else:
                deliveries.append(_deliver(agent, envelope.message, _context(envelope)))
        await asyncio.gather(*deliveries)
    except BaseException as error:
        if not runtime._ignore_unhandled_handler_exceptions:
            runtime._background_exception = error
    finally:
        queue.task_done()


async def _subscribe(manager: SubscriptionManager, subscription: Subscription) -> None:
    """Looks for the same subscription in a set, where AutoGen compares it with each of those before."""
    known, meaning = _subscribed.setdefault(manager, set()), _meaning(subscription)
    if len(known) != len(manager._subscriptions):  # some were removed
        known.clear()
        known.update(map(_meaning, manager._subscriptions))
    if meaning in known:
        raise ValueError("Subscription already exists")
    known.add(meaning)
    manager._subscriptions.append(subscription)
    manager._rebuild_subscriptions(manager._seen_topics)


def _meaning(subscription: Subscription) -> tuple[str, ...]:
    match subscription:
        case TypeSubscription():
            return ("type", subscription.topic_type, subscription.agent_type)
        case TypePrefixSubscription():
            return ("prefix", subscription.topic_type_prefix, subscription.agent_type)
    return (subscription.id,)


def _serialized(runtime: SingleThreadedAgentRuntime, message: Any) -> str:
    return _with_json(runtime, message) if _read(runtime) else ""


def _span(helper: TraceHelper[Any, Any, Any], *of: Any, **more: Any) -> AbstractContextManager[Span]:
    return _with_span(helper, *of, **more) if _traced(helper) else nullcontext(INVALID_SPAN)


def _read(runtime: SingleThreadedAgentRuntime) -> bool:
    """Whether anybody takes what AutoGen writes about deliveries."""
    return _events.isEnabledFor(logging.INFO) or _traced(runtime._tracer_helper)


def _traced(helper: TraceHelper[Any, Any, Any]) -> bool:
    provider = helper.tracer_provider
    if isinstance(provider, ProxyTracerProvider):  # stands for whichever the process has by now
        provider = get_tracer_provider()
    return not isinstance(provider, ProxyTracerProvider | NoOpTracerProvider)


def _notes_at_once(agent: Agent) -> bool:
    """Whether the agent is AutoGen's own and not busy: then neither a task nor its way by type and lock is needed."""
    return type(agent) is ChatAgentContainer and not agent._fifo_lock._locked


def _context(envelope: PublishMessageEnvelope) -> MessageContext:
    return MessageContext(
        sender=envelope.sender,
        topic_id=envelope.topic_id,
        is_rpc=False,
        cancellation_token=envelope.cancellation_token,
        message_id=envelope.message_id,
    )


async def _deliver(agent: Agent, message: Any, context: MessageContext) -> None:
    with MessageHandlerContext.populate_context(agent.id):
        await _logging(agent, agent.on_message(message, context))


async def _logging(agent: Agent, handling: Awaitable[Any]) -> None:
    try:
        await handling
    except SystemExit as error:  # would end the worker, with all of its runs, and then the next one that takes this
        raise RuntimeError(f"its code ended with SystemExit: {error}") from error
    except BaseException:
        _log.error("Error processing publish message for %s", agent.id, exc_info=True)
        raise
