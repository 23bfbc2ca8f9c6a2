"""A team's policy: which calls people are asked about.

It is code, never a model. It may be None (nothing is said: people are asked unless the workspace's policy lets the call
pass), True (always ask), False (never), names of tools to ask about, a mapping from names to actions, or a function of
the proposal. Whatever else it is or returns counts as a failure, and where it fails people are asked.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from countersign.domain.actions import Action
from countersign.domain.ids import UserId
from countersign.frameworks.autogen.people.user_callbacks import Unanswered, answer_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """A policy's verdict on one call; `why` is a sentence."""

    action: Action
    why: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One call that an agent wants to make; `arguments` are a copy."""

    agent: str
    tool: str
    arguments: dict[str, Any]
    team: str
    task: str
    requester: UserId


Policy = Callable[[Proposal], Any]
"""Returns a Verdict, an Action, a bool (whether to ask), or an awaitable of one of them."""
Ask = bool | str | Collection[str] | Mapping[str, Action] | Policy | None


def named(ask: Ask) -> frozenset[str]:
    """Return the tools that a policy names.

    A name that no tool has is a mistake, and must not let another tool pass.
    """
    if isinstance(ask, str):
        return frozenset({ask})
    return frozenset(ask) if isinstance(ask, Collection) else frozenset()


async def judge(ask: Ask, proposal: Proposal, tools: Collection[str], say: Callable[[str], str] = str) -> Verdict:
    """Return the verdict on a proposal; a policy that fails asks, and says why.

    `tools` are the names that exist. `say` takes out of the policy's words what nobody may see.
    """
    verdict = await _judged(ask, proposal, tools, say)
    return Verdict(verdict.action, say(verdict.why))


async def _judged(ask: Ask, proposal: Proposal, tools: Collection[str], say: Callable[[str], str]) -> Verdict:
    if ask is None or isinstance(ask, bool):
        return Verdict(Action.ALLOW if ask is False else Action.ASK)
    if isinstance(ask, str | Collection):
        if unknown := sorted(named(ask) - set(tools)):
            return _failed(f"names tools that there are not: {', '.join(unknown)}")
        if not isinstance(ask, Mapping):
            return Verdict(Action.ASK if proposal.tool in named(ask) else Action.ALLOW)
        return _read(ask.get(proposal.tool, Action.ASK))
    if not callable(ask):
        return _failed(f"is a {type(ask).__name__}, which is none")
    try:
        return _read(await answer_of(lambda: ask(proposal)))
    except Unanswered as none:
        return _failed(str(none))
    except Exception as error:
        return _failed(f"failed ({type(error).__name__}: {' '.join(say(str(error)).split())[:200]})")


def _read(answer: Any) -> Verdict:
    if isinstance(answer, Verdict) and isinstance(answer.action, Action) and isinstance(answer.why, str):
        return answer
    if isinstance(answer, Action):
        return Verdict(answer)
    if isinstance(answer, bool):
        return Verdict(Action.ASK if answer else Action.ALLOW)
    return _failed(f"gave no verdict but a {type(answer).__name__}")


def _failed(how: str) -> Verdict:
    return Verdict(Action.ASK, f"The team's policy {how}, so people are asked.")
