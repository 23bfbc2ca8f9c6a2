"""AutoGen's deliveries without what it writes about each of them for traces and logs that nobody reads.

AutoGen 0.7.5 hands every message to every agent of a team, and for each of these deliveries opens spans and writes the
whole message as JSON twice, also where nothing takes them: two thirds of the time that it takes to rebuild a team of
fifty. Where somebody does, by a tracer provider of OpenTelemetry or the logger `autogen_core.events`, nothing changes.
"""

import asyncio
import logging
from typing import Any, Final

from autogen_agentchat.teams._group_chat._chat_agent_container import ChatAgentContainer
from autogen_agentchat.teams._group_chat._events import GroupChatAgentResponse, GroupChatStart, GroupChatTeamResponse
from autogen_core import EVENT_LOGGER_NAME, Agent, MessageContext, SingleThreadedAgentRuntime
from autogen_core._message_handler_context import MessageHandlerContext
from autogen_core._single_threaded_agent_runtime import PublishMessageEnvelope
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider, get_tracer_provider

_events: Final = logging.getLogger(EVENT_LOGGER_NAME)
_log: Final = logging.getLogger("autogen_core")
_NOTED: Final = (GroupChatStart, GroupChatAgentResponse, GroupChatTeamResponse)
_with_words = SingleThreadedAgentRuntime._process_publish


def lighten() -> None:
    """From now on, for every team in this process."""
    SingleThreadedAgentRuntime._process_publish = _publish  # type: ignore[method-assign, assignment]


async def _publish(runtime: SingleThreadedAgentRuntime, envelope: PublishMessageEnvelope) -> None:
    if _events.isEnabledFor(logging.INFO) or _traced(runtime):
        await _with_words(runtime, envelope)
        return
    try:
        recipients = await runtime._subscription_manager.get_subscribed_recipients(envelope.topic_id)
        deliveries = []
        for agent_id in recipients:
            if agent_id == envelope.sender:
                continue
            context = MessageContext(
                sender=envelope.sender,
                topic_id=envelope.topic_id,
                is_rpc=False,
                cancellation_token=envelope.cancellation_token,
                message_id=envelope.message_id,
            )
            agent = await runtime._get_agent(agent_id)
            delivery = _deliver(agent, envelope.message, context)
            if isinstance(envelope.message, _NOTED) and _notes_at_once(agent):
                await delivery
            else:
                deliveries.append(delivery)
        await asyncio.gather(*deliveries)
    except BaseException as error:
        if not runtime._ignore_unhandled_handler_exceptions:
            runtime._background_exception = error
    finally:
        runtime._message_queue.task_done()


def _traced(runtime: SingleThreadedAgentRuntime) -> bool:
    provider = runtime._tracer_helper.tracer_provider
    if isinstance(provider, ProxyTracerProvider):  # stands for whichever the process has by now
        provider = get_tracer_provider()
    return not isinstance(provider, ProxyTracerProvider | NoOpTracerProvider)


def _notes_at_once(agent: Agent) -> bool:
    """Whether the agent only writes such a message down, and is not busy: then no task of its own is needed."""
    return type(agent) is ChatAgentContainer and not agent._fifo_lock._locked


async def _deliver(agent: Agent, message: Any, context: MessageContext) -> None:
    with MessageHandlerContext.populate_context(agent.id):
        try:
            await agent.on_message(message, context)
        except BaseException:
            _log.error("Error processing publish message for %s", agent.id, exc_info=True)
            raise
