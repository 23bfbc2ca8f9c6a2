"""`slack_input`: AutoGen's `UserProxyAgent` asks in a channel."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

from countersign.client.client import AsyncClient
from countersign.client.connection import Address
from countersign.client.idempotency_keys import QuestionKeys
from countersign.client.open_questions import OnInterrupt
from countersign.client.questions import Question
from countersign.domain.typed_answers import Keywords

_SILENT: Final = ("expired", "withdrawn")


def slack_input(
    channel: str,
    *,
    approve: str = "APPROVE",
    reject: str = "REJECT",
    options: Sequence[str] = (),
    on_silence: Literal["stop", "continue"] = "stop",
    agent: str = "human",
    edit: bool = False,
    requester: str = "",
    key: str = "",
    on_interrupt: OnInterrupt | None = None,
    timeout: float | None = None,
) -> Callable[..., Awaitable[str]]:
    """Return an `input_func` for AutoGen's `UserProxyAgent` that asks in a channel.

    People judge the newest message that the agent was given. It returns what a person would have typed: `approve`;
    `reject` with a colon and the reason; the text of a reviewer who requested changes; the chosen option of `options`;
    `UNANSWERED` if nobody answered in time, and then the team stops, unless `on_silence` is "continue". With `edit`
    people may change the message: it follows on the lines after `approve`. If a text that is not an approval contains
    `approve`, that word is split: `APP·ROVE`.

    `timeout`: seconds that the service may be away before ServiceRefused; the channel's settings limit the time for
    people. `key` names this run: a program that restarts under the same key gets its earlier decisions on the same
    messages. `on_interrupt`: whether Ctrl-C leaves the request to people ("leave") or takes it back ("withdraw"); by
    default it is left if it has a key. InvalidInput, at once, if no service is configured, or a program could mistake
    one answer for another.
    """
    address, keys, keywords = Address.of(None, None, timeout), QuestionKeys(key), Keywords(approve, reject)

    async def input_func(prompt: str, cancellation_token: object = None) -> str:
        content = _newest_message() or prompt
        asked = Question(channel, "", content, options, edit=edit, agent=agent, requester=requester)
        asked = replace(asked, key=keys.next(asked.body))
        async with AsyncClient(address.url, address.key, timeout=address.timeout) as client:
            decision = await client.judge(asked, on_interrupt=on_interrupt)
        changed = decision.message or "" if decision.outcome == "edited" else ""
        text = keywords.typed(decision.outcome, words=decision.words, chosen=decision.chosen, changed=changed)
        if decision.outcome in _SILENT and on_silence == "stop":
            _stop_team(text)
        return text

    return input_func


def _newest_message() -> str:
    """Return the newest text given to AutoGen's proxy, whose prompt is fixed.

    The messages are in the frame of its `on_messages_stream`, which waits for this call (AutoGen 0.7; a test detects
    changes). "" without such a frame.
    """
    frame = _frame("on_messages_stream", "messages")
    if frame is None:
        return ""
    texts = [one.to_text() for one in frame.f_locals["messages"] if hasattr(one, "to_text")]
    return str(texts[-1]) if texts else ""


def _stop_team(why: str) -> None:
    """Stop the asking proxy's team once the proxy has said that nobody answered.

    AutoGen 0.7 gives an `input_func` no means to do so, and a team whose `input_func` raises hangs at its next run. So
    its manager, found from the frame of the proxy's container, gets one more condition (a test detects changes in
    AutoGen).
    """
    frame = _frame("handle_request", "ctx")
    if frame is None:  # the proxy runs without a team
        return
    container: Any = frame.f_locals["self"]
    for manager in getattr(container.runtime, "_instantiated_agents", {}).values():
        if getattr(manager, "_group_topic_type", "") == container._parent_topic_type:
            if manager not in _silences:
                _silences[manager], others = _silence(why), manager._termination_condition
                manager._termination_condition = _silences[manager] if others is None else others | _silences[manager]
            _silences[manager].set()


_silences: Final[WeakKeyDictionary[Any, Any]] = WeakKeyDictionary()
"""Conditions by manager: a team that runs again keeps its condition, which AutoGen resets at the end of each run."""


def _silence(why: str) -> Any:
    """Return a condition that ends a team once it is set; `why` is its stop reason."""
    from autogen_agentchat.conditions import ExternalTermination  # a program without AutoGen never gets here
    from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, StopMessage

    class Silence(ExternalTermination):
        async def __call__(self, messages: Sequence[BaseAgentEvent | BaseChatMessage]) -> StopMessage | None:
            stop = await super().__call__(messages)
            return None if stop is None else StopMessage(content=why, source="slack_input")

    return Silence()


def _frame(function: str, local: str) -> FrameType | None:
    """Return the frame of this name, with this local variable, that waits for the caller."""
    frame = inspect.currentframe()
    while frame is not None and not (frame.f_code.co_name == function and local in frame.f_locals):
        frame = frame.f_back
    return frame
