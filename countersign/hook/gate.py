"""The gate of a call: the rules, then people.

Everything that goes wrong is a refusal with a sentence.

An approval is for one call. The same call again in the same session finds the request while people still think, and
hears a rejection again without another card; after an approval was used, it is asked about again.
"""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from countersign.client.client import AsyncClient
from countersign.client.exchange import Decision, NotApproved, ServiceRefused
from countersign.client.questions import Call
from countersign.domain.actions import Action
from countersign.domain.errors import CountersignError
from countersign.domain.json_arguments import DIFFERS, is_approved
from countersign.hook import approved_calls
from countersign.hook.call_question import key_of, question_of, shown_arguments
from countersign.hook.protocols import HookAnswer, Protocol
from countersign.hook.repository import Repository, repository_of
from countersign.hook.rules import HookRules, judge, read_rules
from countersign.hook.tool_calls import ToolCall, is_result, read_call, read_message

_PATIENCE: Final = 60.0
"""Seconds that the service may be away while people decide: a restart takes less."""
_NOT_YET: Final = (
    "People have not decided yet, so the call was not made. Make exactly the same call again to go on waiting; do not "
    "do it in another way."
)
_AWAY: Final = "Countersign's service does not answer, so nobody could be asked and the call was not made. {why}"
_MOST_TRIES: Final = 1000
_REPORTING: Final = 5.0
"""Seconds for the report of an outcome, for which the agent waits."""


async def answer(protocol: Protocol, data: bytes, rules_file: Path | None, wait: float | None) -> str:
    """Return the hook's output for a message of its agent.

    CountersignError if nothing may run.
    """
    message = read_message(data)
    call = read_call(protocol.name, message)
    if is_result(message):
        await _report(call, message)
        return ""
    rules = read_rules(rules_file)
    repository = repository_of(call.folder)
    verdict = judge(rules, call, repository.folder, guarded_files(rules_file, repository))
    if verdict.effect is Action.ALLOW and call.event != "PermissionRequest":
        return ""
    if verdict.effect is Action.DENY:
        why = f" {'; '.join(verdict.why)}." if verdict.why else ""
        return protocol.output(call.event, HookAnswer(False, f"The rules of this machine refuse this call.{why}"))
    asked = question_of(call, verdict, rules, repository, edits=protocol.edits(call.event))
    seconds = rules.wait.total_seconds() if wait is None else wait
    return protocol.output(call.event, await _asked(call, asked, rules, seconds))


def guarded_files(rules_file: Path | None, repository: Repository) -> list[Path]:
    """List what decides when people are asked: rules, and settings of the agents."""
    home, here = Path.home(), repository.folder
    places = [home / ".config" / "countersign", home / ".claude" / "settings.json", home / ".gemini" / "settings.json"]
    places += [home / ".codex" / "hooks.json", home / ".codex" / "config.toml", home / ".copilot" / "hooks"]
    places += [here / ".claude" / "settings.json", here / ".claude" / "settings.local.json"]
    places += [
        here / ".gemini" / "settings.json",
        here / ".codex",
        here / ".github" / "hooks",
        here / ".github" / "copilot",
    ]
    places += [] if rules_file is None else [rules_file]
    return [Path(os.path.realpath(place)) for place in places]


async def _asked(call: ToolCall, asked: Call, rules: HookRules, wait: float) -> HookAnswer:
    """Ask people, unless they are asked already or have rejected this call."""
    first = key_of(call, asked, 0)
    begin = approved_calls.count_of(first)
    try:
        for number in range(begin, begin + _MOST_TRIES):
            again = replace(asked, key=key_of(call, asked, number))
            decision = await _decision(again, rules.service_timeout.total_seconds(), wait)
            if decision is None:
                return HookAnswer(False, _NOT_YET)
            if decision.outcome in ("expired", "withdrawn"):  # the same call may be asked about again
                approved_calls.note_count(first, number + 1)
            if not decision.approved:
                return HookAnswer(False, decision.text)
            if await _begun(decision):
                approved_calls.note_count(first, number + 1)
                approved_calls.note_request(call, decision.arguments or {}, decision.request)
                return _allowed(call, decision)
    except TimeoutError:
        return HookAnswer(False, _AWAY.format(why="It took too long to take the question."))
    except ServiceRefused as refused:
        return HookAnswer(False, _AWAY.format(why=str(refused)) if refused.kind == "unreachable" else str(refused))
    except NotApproved as stopped:
        return HookAnswer(False, str(stopped))
    return HookAnswer(False, "This call was approved too often in this session. Start a new session.")


async def _decision(asked: Call, within: float, wait: float) -> Decision | None:
    """Return the decision; None if people need longer, and the request stays open.

    The first answer of the service must come fast, so a service that is away refuses at once. Later it may restart. A
    signal that ends the hook withdraws the request, as nobody waits for it any more.
    """
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    async with AsyncClient(timeout=within / 8) as client, asyncio.timeout(within):
        request, decided = await client.submit(asked)
    async with AsyncClient(timeout=_PATIENCE) as client:
        if not request:  # the policy refuses it: asked once more, it says why
            return await client.judge(asked)
        waiting, ending = asyncio.ensure_future(client.decision(request)), asyncio.ensure_future(interrupted.wait())
        either = asyncio.FIRST_COMPLETED
        await asyncio.wait([waiting, ending], timeout=None if decided else wait, return_when=either)
        ending.cancel()
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        if not interrupted.is_set():
            return None
        await client.withdraw(request, "the coding agent was interrupted")
        raise CountersignError("The hook was interrupted, and the request withdrawn.")


async def _begun(decision: Decision) -> bool:
    """Take the approval for this call; False if another call has it."""
    async with AsyncClient(timeout=_PATIENCE) as client:
        return await client.begin_once(decision)


def _allowed(call: ToolCall, decision: Decision) -> HookAnswer:
    if decision.outcome != "edited" and not is_approved(shown_arguments(call), decision.arguments):
        return HookAnswer(False, DIFFERS)
    by = f" by {' and '.join(decision.names)}" if decision.names else f" ({decision.how})"
    said = f": {decision.words}" if decision.words else "."
    if decision.outcome != "edited":
        return HookAnswer(True, f"Approved{by}{said}")
    return HookAnswer(True, f"Approved with changed arguments{by}{said}", dict(decision.arguments or {}))


async def _report(call: ToolCall, message: Mapping[str, Any]) -> None:
    """Report how an approved call ended. The agent continues whatever happens: the call was made."""
    request = approved_calls.take_request(call, shown_arguments(call))
    if not request:
        return
    failed = message.get("error")
    words = f"{call.agent} reports an error: {str(failed)[:500]}" if failed else f"{call.agent} reports that it ran."
    with suppress(CountersignError, TimeoutError):
        async with AsyncClient(timeout=1) as client, asyncio.timeout(_REPORTING):
            await client.try_to_report(request, succeeded=not failed, words=words)
