"""Slack approvals for AutoGen agents: the public names, which a team or a program imports.

Everything public is in `__all__`, and docs/api.md has an example of each name. A name is loaded when it is first used,
so `import countersign` by itself loads neither AutoGen nor Slack nor Redis.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .autogen.action_outcomes import Became, Conclusion, Outcome, Outcomes
    from .autogen.code.agent import CodeAgent
    from .autogen.code.executors import code_executor
    from .autogen.models.demo import NOTE, Use, turns
    from .autogen.people.conversation import ConversationOver, Over, turn_in
    from .autogen.people.decision_messages import DecisionTermination, decision_in
    from .autogen.people.input_modes import Mode, any_of, every, last_line, when_from, when_said
    from .autogen.run_context import RunContext, current_run
    from .autogen.standalone import run_here
    from .autogen.team import Team, last_words
    from .autogen.tools.gated_function import gated
    from .autogen.tools.gated_tools import idempotency_key
    from .autogen.tools.policies import Proposal, Tier, Verdict
    from .domain.errors import ActionFailed, CountersignError, OutcomeUnknown
    from .domain.requests import Kind, Request, Status
    from .domain.run_options import Option
    from .settings import WorkerSettings

_PUBLIC = {
    "autogen.action_outcomes": ("Became", "Conclusion", "Outcome", "Outcomes"),
    "autogen.code.agent": ("CodeAgent",),
    "autogen.code.executors": ("code_executor",),
    "autogen.models.demo": ("NOTE", "Use", "turns"),
    "autogen.people.conversation": ("ConversationOver", "Over", "turn_in"),
    "autogen.people.decision_messages": ("DecisionTermination", "decision_in"),
    "autogen.people.input_modes": ("Mode", "any_of", "every", "last_line", "when_from", "when_said"),
    "autogen.run_context": ("RunContext", "current_run"),
    "autogen.standalone": ("run_here",),
    "autogen.team": ("Team", "last_words"),
    "autogen.tools.gated_function": ("gated",),
    "autogen.tools.gated_tools": ("idempotency_key",),
    "autogen.tools.policies": ("Proposal", "Tier", "Verdict"),
    "domain.errors": ("ActionFailed", "CountersignError", "OutcomeUnknown"),
    "domain.requests": ("Kind", "Request", "Status"),
    "domain.run_options": ("Option",),
    "settings": ("WorkerSettings",),
}
"""Module -> its public names. Type checkers read the imports above instead."""
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [
    "NOTE",
    "ActionFailed",
    "Became",
    "CodeAgent",
    "Conclusion",
    "ConversationOver",
    "CountersignError",
    "DecisionTermination",
    "Kind",
    "Mode",
    "Option",
    "Outcome",
    "OutcomeUnknown",
    "Outcomes",
    "Over",
    "Proposal",
    "Request",
    "RunContext",
    "Status",
    "Team",
    "Tier",
    "Use",
    "Verdict",
    "WorkerSettings",
    "any_of",
    "code_executor",
    "current_run",
    "decision_in",
    "every",
    "gated",
    "idempotency_key",
    "last_line",
    "last_words",
    "run_here",
    "turn_in",
    "turns",
    "when_from",
    "when_said",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
