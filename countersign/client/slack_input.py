"""`slack_input`: AutoGen's `UserProxyAgent` asks in a channel."""

import inspect
from collections.abc import Awaitable, Callable

from countersign.client.client import AsyncClient, question


def slack_input(
    channel: str, *, agent: str = "human", edit: bool = False, requester: str = ""
) -> Callable[..., Awaitable[str]]:
    """Return an `input_func` for AutoGen's `UserProxyAgent` that asks in a channel.

    People judge the newest message that the agent was given, and with `edit` they may change it. What it returns tells
    the decision, with the message as it was changed, as a model reads it.
    """

    async def input_func(prompt: str, cancellation_token: object = None) -> str:
        content = _newest_message() or prompt
        async with AsyncClient() as client:
            body = question(channel, "", content, edit=edit, agent=agent, requester=requester)
            return (await client.ask(body)).text

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
