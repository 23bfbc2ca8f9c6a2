"""Deliveries inside AutoGen cost less, and do the same."""

import asyncio
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import BaseChatMessage, StopMessage, TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import (
    EVENT_LOGGER_NAME,
    AgentRuntime,
    CancellationToken,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TopicId,
    TypePrefixSubscription,
    TypeSubscription,
    event,
)
from opentelemetry.trace import INVALID_SPAN, NoOpTracer, ProxyTracer, Span, Tracer, TracerProvider
from opentelemetry.util._decorator import _AgnosticContextManager

from countersign.autogen.deliveries import lighten


@pytest.fixture(autouse=True)
def light(caplog: pytest.LogCaptureFixture) -> None:
    """As the worker has it."""
    lighten()
    caplog.set_level(logging.CRITICAL, "autogen_core")


class Says(BaseChatAgent):
    """Repeats how many messages it was given since it last spoke; fails at the word "fail"."""

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        if any(m.to_text() == "fail" for m in messages):
            raise ValueError("I was told to")
        return Response(chat_message=TextMessage(content=" ".join(m.source for m in messages), source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


def team(runtime: AgentRuntime | None = None) -> RoundRobinGroupChat:
    agents: list[Any] = [Says(name, "") for name in ("ann", "ben", "cem")]
    return RoundRobinGroupChat(agents, termination_condition=MaxMessageTermination(6), runtime=runtime)


SAID = ["go", "user", "user ann", "user ann ben", "ben cem", "cem ann"]


async def test_every_agent_hears_what_the_others_said_in_order_and_nothing_is_written(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []

    @contextmanager
    def span(tracer: ProxyTracer, name: str, *_: Any, **__: Any) -> Iterator[Span]:
        names.append(name)
        yield INVALID_SPAN

    monkeypatch.setattr(ProxyTracer, "start_as_current_span", span)
    result = await team().run(task="go")
    assert [name for name in names if re.search("process|send|publish", name)] == []
    assert [m.to_text() for m in result.messages if isinstance(m, BaseChatMessage)] == SAID
    assert not caplog.records


async def test_what_an_agent_raises_ends_its_team() -> None:
    with pytest.raises(RuntimeError, match="I was told to"):
        await team().run(task="fail")


async def test_who_listens_to_autogens_events_hears_them_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, EVENT_LOGGER_NAME)
    result = await team().run(task="go")
    assert len(result.messages) == len(SAID)
    delivered = [r for r in caplog.records if "DeliveryStage.DELIVER" in r.getMessage()]
    assert len(delivered) > 3 * len(SAID)
    assert any("user ann ben" in r.getMessage() for r in delivered)


async def test_a_delivery_that_ends_after_its_runtime_was_stopped_is_counted_where_it_began() -> None:
    """A stopped runtime has a new queue, which knows nothing of it."""
    entered, released = asyncio.Event(), asyncio.Event()

    class Slow(RoutedAgent):
        @event
        async def on_text(self, message: TextMessage, ctx: MessageContext) -> None:
            entered.set()
            await released.wait()

    runtime = SingleThreadedAgentRuntime(ignore_unhandled_exceptions=False)
    await Slow.register(runtime, "slow", lambda: Slow("waits"))
    await runtime.add_subscription(TypeSubscription("topic", "slow"))
    runtime.start()
    await runtime.publish_message(TextMessage(content="go", source="user"), TopicId("topic", "one"))
    await entered.wait()
    deliveries = list(runtime._background_tasks)
    await runtime.stop()
    released.set()
    assert await asyncio.gather(*deliveries) == [None] * len(deliveries)
    assert deliveries


class Watching(TracerProvider):
    """Notes the names of the spans."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def get_tracer(self, *_: Any, **__: Any) -> Tracer:
        provider = self

        class It(NoOpTracer):
            def start_as_current_span(self, name: str, *args: Any, **more: Any) -> _AgnosticContextManager[Span]:
                provider.names.append(name)
                return super().start_as_current_span(name, *args, **more)

        return It()


async def test_who_traces_sees_every_delivery() -> None:
    watching = Watching()
    runtime = SingleThreadedAgentRuntime(tracer_provider=watching, ignore_unhandled_exceptions=False)
    runtime.start()
    await team(runtime).run(task="go")
    await runtime.stop()
    assert sum("process" in name for name in watching.names) > 3 * len(SAID)
    assert sum("create" in name for name in watching.names) > len(SAID)


async def test_the_same_subscription_is_refused_and_comes_back_after_its_removal() -> None:
    runtime = SingleThreadedAgentRuntime()
    for same in (lambda: TypeSubscription("t", "a"), lambda: TypePrefixSubscription("t", "a")):
        first = same()
        await runtime.add_subscription(first)
        await runtime.add_subscription(TypeSubscription("other", first.id))
        with pytest.raises(ValueError, match="already exists"):
            await runtime.add_subscription(same())
        await runtime.remove_subscription(first.id)
        await runtime.add_subscription(same())


def test_what_agents_of_a_class_handle_is_looked_for_once_and_is_its_own() -> None:
    class Hears(RoutedAgent):
        @event
        async def on_text(self, message: TextMessage, ctx: MessageContext) -> None: ...

    class HearsMore(Hears):
        @event
        async def on_stop(self, message: StopMessage, ctx: MessageContext) -> None: ...

    found: dict[type[RoutedAgent], Any] = {kind: kind._discover_handlers() for kind in (RoutedAgent, Hears, HearsMore)}
    assert [[h.__name__ for h in handlers] for handlers in found.values()] == [[], ["on_text"], ["on_stop", "on_text"]]
    assert all(kind._discover_handlers() is handlers for kind, handlers in found.items())
    assert [kind for kind, _ in HearsMore._handles_types()] == [StopMessage, TextMessage]
    assert HearsMore._handles_types() is HearsMore._handles_types()
