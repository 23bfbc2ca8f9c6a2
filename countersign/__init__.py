"""Slack approvals for AutoGen agents: what a team or a program imports.

Everything public stands in `__all__`; docs/your-team.md has an example of each name. A name is loaded when it is first
used, so that a program which only asks loads neither AutoGen nor Slack.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .autogen.action_outcomes import Became, Outcome, Outcomes
    from .autogen.code.agent import CodeAgent
    from .autogen.code.executors import code_executor
    from .autogen.models.demo import NOTE, Use, turns
    from .autogen.people.conversation import ConversationOver, Over
    from .autogen.people.decision_messages import DecisionTermination, decision_in
    from .autogen.people.input_modes import Mode, any_of, every, last_line, when_from, when_said
    from .autogen.run_context import RunContext, current_run
    from .autogen.standalone import run_here
    from .autogen.team import Conclusion, Team, last_words
    from .autogen.tools.gated_function import gated
    from .autogen.tools.policies import Proposal, Tier, Verdict
    from .domain.errors import ActionFailed, CountersignError
    from .domain.run_options import Option

_PUBLIC = {
    "autogen.action_outcomes": ("Became", "Outcome", "Outcomes"),
    "autogen.code.agent": ("CodeAgent",),
    "autogen.code.executors": ("code_executor",),
    "autogen.models.demo": ("NOTE", "Use", "turns"),
    "autogen.people.conversation": ("ConversationOver", "Over"),
    "autogen.people.decision_messages": ("DecisionTermination", "decision_in"),
    "autogen.people.input_modes": ("Mode", "any_of", "every", "last_line", "when_from", "when_said"),
    "autogen.run_context": ("RunContext", "current_run"),
    "autogen.standalone": ("run_here",),
    "autogen.team": ("Conclusion", "Team", "last_words"),
    "autogen.tools.gated_function": ("gated",),
    "autogen.tools.policies": ("Proposal", "Tier", "Verdict"),
    "domain.errors": ("ActionFailed", "CountersignError"),
    "domain.run_options": ("Option",),
}
"""Module -> its public names; the imports above say the same to type checkers."""
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
    "Mode",
    "Option",
    "Outcome",
    "Outcomes",
    "Over",
    "Proposal",
    "RunContext",
    "Team",
    "Tier",
    "Use",
    "Verdict",
    "any_of",
    "code_executor",
    "current_run",
    "decision_in",
    "every",
    "gated",
    "last_line",
    "last_words",
    "run_here",
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
