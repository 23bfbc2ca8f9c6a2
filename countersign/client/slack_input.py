"""`slack_input`: AutoGen's `UserProxyAgent` asks in a channel."""

import inspect
from collections.abc import Awaitable, Callable

from countersign.client.client import AsyncClient, question
from countersign.client.connection import Address
from countersign.client.idempotency_keys import QuestionKeys


def slack_input(
    channel: str,
    *,
    agent: str = "human",
    edit: bool = False,
    requester: str = "",
    key: str = "",
    leave: bool | None = None,
) -> Callable[..., Awaitable[str]]:
    """Return an `input_func` for AutoGen's `UserProxyAgent` that asks in a channel.

    People judge the newest message that the agent was given, and with `edit` they may change it. What it returns tells
    the decision, with the message as it was changed, as a model reads it. `key` names this run: a program that dies and
    runs again under the same key gets the decisions that it had on the same messages. `leave`: whether Ctrl-C leaves
    the request to people; by default it does so with a key. InvalidInput, at once, if no service is known here.
    """
    address, keys = Address.of(None, None), QuestionKeys(key)

    async def input_func(prompt: str, cancellation_token: object = None) -> str:
        content = _newest_message() or prompt
        body = question(channel, "", content, edit=edit, agent=agent, requester=requester)
        async with AsyncClient(address.url, address.key) as client:
            return (await client.ask(body, key=keys.next(body), leave=leave)).text

    return input_func


def _newest_message() -> str:
    """Return the newest text that AutoGen's proxy was given: it asks with a fixed prompt, and tells nothing else.

    The messages stand in the frame of its `on_messages_stream`, which waits for this call (AutoGen 0.7; a test says
    when that changes). "" if there is no such frame.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "on_messages_stream" and "messages" in frame.f_locals:
            texts = [one.to_text() for one in frame.f_locals["messages"] if hasattr(one, "to_text")]
            return str(texts[-1]) if texts else ""
        frame = frame.f_back
    return ""
