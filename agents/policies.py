"""Which calls people are asked about: a policy is code, never a model, and where it fails people are asked.

A policy may be None (nothing is said: people are asked unless the workspace's policy lets the call pass), True (always
ask), False (never), names of tools to ask about, a mapping from names to tiers, or a function of the proposal. Whatever
else it is or gives counts as a failure.
"""

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from bot.core.ids import UserId
from bot.core.rulebook import Effect

WITHIN: Final = timedelta(seconds=10)
"""How long a policy function may take; then people are asked."""


Tier = Effect
"""What becomes of a call: it runs and is recorded, people decide, or it is refused and recorded."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says about one call. `why` is a sentence: on the card, in the record, or for the model."""

    tier: Tier
    why: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One call that an agent wants to make. `arguments` are a copy: changing them changes nothing."""

    agent: str
    tool: str
    arguments: dict[str, Any]
    team: str
    task: str
    requester: UserId


Policy = Callable[[Proposal], Any]
"""Returns, or returns an awaitable of, a Verdict, a Tier, or a bool: whether to ask."""
Ask = bool | str | Collection[str] | Mapping[str, Tier] | Policy | None


def named(ask: Ask) -> frozenset[str]:
    """The tools that a policy names; a name that no tool has is a mistake, and must not let another tool pass."""
    if isinstance(ask, str):
        return frozenset({ask})
    return frozenset(ask) if isinstance(ask, Collection) else frozenset()


async def judge(ask: Ask, proposal: Proposal, tools: Collection[str]) -> Verdict:
    """The verdict on a proposal; `tools` are the names that there are. A failing policy asks, and says why."""
    if ask is None or isinstance(ask, bool):
        return Verdict(Tier.PASS if ask is False else Tier.ASK)
    if isinstance(ask, str | Collection):
        if unknown := sorted(named(ask) - set(tools)):
            return _failed(f"names tools that there are not: {', '.join(unknown)}")
        if not isinstance(ask, Mapping):
            return Verdict(Tier.ASK if proposal.tool in named(ask) else Tier.PASS)
        return _read(ask.get(proposal.tool, Tier.ASK))
    if not callable(ask):
        return _failed(f"is a {type(ask).__name__}, which is none")
    answer = asyncio.ensure_future(_call(ask, proposal))
    try:
        done, _ = await asyncio.wait({answer}, timeout=WITHIN.total_seconds())
    finally:
        answer.cancel()
    if not done:
        answer.add_done_callback(_forget)
        return _failed(f"gave no answer within {WITHIN.total_seconds():g} seconds")
    if answer.cancelled():
        return _failed("was cancelled")
    if (error := answer.exception()) is not None:
        return _failed(f"failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})")
    return _read(answer.result())


def _read(answer: Any) -> Verdict:
    if isinstance(answer, Verdict) and isinstance(answer.tier, Tier) and isinstance(answer.why, str):
        return answer
    if isinstance(answer, Tier):
        return Verdict(answer)
    if isinstance(answer, bool):
        return Verdict(Tier.ASK if answer else Tier.PASS)
    return _failed(f"gave no verdict but a {type(answer).__name__}")


def _failed(how: str) -> Verdict:
    return Verdict(Tier.ASK, f"The team's policy {how}, so people are asked.")


async def _call(policy: Policy, proposal: Proposal) -> Any:
    if inspect.iscoroutinefunction(policy) or inspect.iscoroutinefunction(getattr(policy, "__call__", None)):  # noqa: B004
        return await policy(proposal)
    answer = await _in_a_thread(policy, proposal)
    return await answer if inspect.isawaitable(answer) else answer


async def _in_a_thread(policy: Policy, proposal: Proposal) -> Any:
    """A function that never returns must hold up neither the other runs nor the end of the process."""
    loop, answer = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))

    def work() -> None:
        try:
            told: tuple[Any, BaseException | None] = (context.run(policy, proposal), None)
        except BaseException as error:
            told = (None, RuntimeError("StopIteration") if isinstance(error, StopIteration) else error)
        with contextlib.suppress(RuntimeError):  # the loop is gone, and so is whoever asked
            loop.call_soon_threadsafe(settle, *told)

    threading.Thread(target=work, name="policy", daemon=True).start()
    return await answer


def _forget(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled():
        answer.exception()
