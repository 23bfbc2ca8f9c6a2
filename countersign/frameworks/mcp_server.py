"""`countersign mcp`: a server by which any client of the protocol asks people.

It speaks over standard input and output. Clients end a call after a time of their own, often a minute, and people
take longer: so a call returns after a while that people have not decided yet, and the same call again goes on waiting.
The `key` that a client gives makes it the same request, also after the client or this server was restarted.
"""

import argparse
import asyncio
import json
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from countersign.client import AsyncClient, Call, Decision, InvalidInput, NotApproved, Question
from countersign.client.connection import Address
from countersign.domain.texts_for_models import quoted

WAIT: Final = 45.0
"""Seconds; many clients end a call after a minute."""
_INSTRUCTIONS: Final = """\
People answer in Slack, which may take hours. If a tool says that people have not decided yet, call it again with the \
same arguments. Give each question a key of its own, and keep to it: the same key is the same question. Do only what a \
decision says, with exactly the arguments that it names, and once."""
_KINDS: Final = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


_ACT: Final = "Nothing has run yet. Make this call once, with exactly these arguments."
_CHANGED: Final = " WITH CHANGES, in these arguments alone"
_GIVEN_BEFORE: Final = (
    "The answer to request {request} was given to you before, and it is for one call. Do not make that call again. If "
    "it was never made, ask again with a new `key`."
)
_NOT_YET: Final = "People have not decided yet. Call this tool again with the same arguments to go on waiting."


class PeopleTools:
    """The tools: questions to people in a channel.

    `wait`: seconds until a call returns without a decision.
    """

    def __init__(self, channel: str, wait: float) -> None:
        self._channel, self._wait = channel, wait

    async def ask_human(self, key: str, question: str, options: list[str] | None = None) -> str:
        """Ask people a question, and return their answer.

        key: a name of your own for this question, such as `region-of-order-17`. options: leave out if they are to
        answer in words.
        """
        decision = await self._ask(Question(self._channel, "", question, options or (), key=key))
        return decision.text if decision is not None else _NOT_YET

    async def request_approval(self, key: str, action: str, arguments: dict[str, Any], why: str = "") -> str:
        """Ask people whether you may do something, before you do it.

        Returns their decision as JSON. key: a name of your own for this action, such as `refund-order-17`. action:
        what is done, such as the name of a tool. arguments: exactly with what; people may change them.
        """
        schema = None
        if all(type(value) in _KINDS for value in arguments.values()):
            types = {name: {"type": _KINDS[type(value)]} for name, value in arguments.items()}
            schema = {"type": "object", "properties": types, "required": [*types]}
        notes = [why] if why else ()
        decision = await self._ask(Call(self._channel, action, arguments, schema, notes=notes, key=key))
        if decision is None:
            return _NOT_YET
        approved, text = await _given(decision)
        answer = {"approved": approved, "arguments": decision.arguments if approved else None, "decision": text}
        return json.dumps(answer, ensure_ascii=False)

    async def _ask(self, asked: Call | Question) -> Decision | None:
        """Their decision; None if they need longer. The request is left to them."""
        async with AsyncClient() as service:
            try:
                async with asyncio.timeout(self._wait):
                    return await service.judge(asked)
            except TimeoutError:
                return None


async def _given(decision: Decision) -> tuple[bool, str]:
    """Give an approval to the client, once; return whether it may act, and the text for its model."""
    if not decision.approved:
        return False, decision.text
    async with AsyncClient() as service:
        try:
            first = await service.begin_once(decision)
        except NotApproved as stopped:
            return False, str(stopped)
    if not first:
        return False, _GIVEN_BEFORE.format(request=decision.request)
    changed = _CHANGED if decision.outcome == "edited" else ""
    words = f"\nThe reviewer wrote:\n{quoted(decision.words)}" if decision.words else ""
    return True, f"DECISION: APPROVED{changed} (request {decision.request}){words}\n{_ACT}"


def main(arguments: list[str]) -> int:
    """Serve until standard input ends; 2 if something is missing."""
    parser = argparse.ArgumentParser(prog="countersign mcp", description=str(__doc__))
    parser.add_argument("--channel", default="", help="channel to ask in; optional if the key has only one")
    parser.add_argument("--wait", type=float, default=WAIT, help="seconds until a call returns without a decision")
    chosen = parser.parse_args(arguments)
    try:
        Address.of(None, None)
        server = _server_class()("countersign", instructions=_INSTRUCTIONS)
    except (InvalidInput, ImportError) as missing:
        print(missing, file=sys.stderr)
        return 2
    people = PeopleTools(chosen.channel, chosen.wait)
    for tool in (people.ask_human, people.request_approval):
        server.tool()(tool)
    server.run()
    return 0


def _server_class() -> Any:
    """The class of the installed SDK: `MCPServer` since 2.0, `FastMCP` before."""
    for module, name in (("mcp.server.mcpserver", "MCPServer"), ("mcp.server.fastmcp", "FastMCP")):
        with suppress(ModuleNotFoundError):
            return getattr(import_module(module), name)
    raise ImportError("The package `mcp` isn't installed. Run: pip install 'countersign-slack[mcp-server]'")
