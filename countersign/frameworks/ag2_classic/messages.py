"""Messages of AG2's classic agents, read as AG2 reads them."""

import inspect
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from countersign.frameworks import extra

with extra("ag2-classic"):
    from autogen import ConversableAgent
    from autogen.code_utils import content_str
    from autogen.tools.function_utils import get_function_schema

from countersign.client import Call

Message = dict[str, Any]
FunctionCall = dict[str, Any]


def conversation(agent: ConversableAgent, prompt: str) -> list[Message]:
    """Find the messages that the agent is asked about.

    AG2's prompt names with whom, and tells nothing else.
    """
    talks = {sender.name: messages for sender, messages in agent.chat_messages.items() if messages}
    named = [name for name in talks if re.search(rf"feedback to {re.escape(name)}\.", prompt)]
    return talks[named[0] if named else [*talks][-1]] if talks else []


def text(message: Mapping[str, Any]) -> str:
    """Write a message with its calls."""
    calls = [call["function"] for call in message.get("tool_calls") or ()] + [message.get("function_call") or {}]
    shown = [f"{call['name']}({call.get('arguments', '')})" for call in calls if call]
    return "\n".join([text for text in (content_str(message.get("content")),) if text] + shown)


def last_words(messages: list[Message]) -> str:
    """Find the last text of a conversation that ends, without the word that ends it."""
    sender = messages[-1].get("name") if messages else None
    said = [text(message) for message in reversed(messages) if message.get("name") == sender]
    return next(filter(None, (re.sub(r"\s*\bTERMINATE\b[.!]*\s*$", "", words) for words in said)), "")


def code_of(block: Any) -> str:
    """The code of a block, as AG2's executors or its own execution have it."""
    return str(getattr(block, "code", None) or block[1])


def calls(message: Mapping[str, Any]) -> list[tuple[str, FunctionCall]]:
    """List the calls of a message, with their ids, in the order of execution."""
    calls = [(str(call.get("id") or ""), call["function"]) for call in message.get("tool_calls") or ()]
    if call := message.get("function_call"):
        calls.append((str(message.get("id") or ""), call))
    return calls


def can_execute(agent: ConversableAgent, call: FunctionCall) -> bool:
    """Tell whether the agent would run a function for the call.

    Of a call that it cannot read, AG2 tells the model so.
    """
    if not agent.can_execute_function(call["name"]):
        return False
    try:
        return isinstance(json.loads(_text(agent, call)), dict)
    except json.JSONDecodeError:
        return False
    except (ValueError, RecursionError):  # a number too long, or too deep: AG2 itself would end with the error
        return True


def _text(agent: ConversableAgent, call: FunctionCall) -> str:
    """The arguments as AG2 reads them."""
    text: str = agent._format_json_str(call.get("arguments") or "{}")  # type: ignore[no-untyped-call]
    return text


def shown(agent: ConversableAgent, call: FunctionCall) -> Call:
    """Make the call as people judge it.

    They may change its arguments if their schema is known.
    """
    name, parameters = call["name"], None
    with suppress(TypeError, ValueError):  # a function without types is approved or rejected as it is
        schema = get_function_schema(inspect.unwrap(agent.function_map[name]), name=name, description=name)
        parameters = schema["function"]["parameters"]
    return Call("", name, _text(agent, call), parameters)


def code(agent: ConversableAgent, messages: list[Message]) -> Message | None:
    """Find the message whose code the agent would run next.

    AG2 looks from the newest back.
    """
    if (config := agent._code_execution_config) is False:
        return None
    looks = config.get("last_n_messages", "auto")
    for place, message in enumerate(reversed(messages)):
        if message.get("role") != "user" if looks == "auto" else place >= looks:
            break
        if "```" in content_str(message.get("content")):
            return message
    return None
