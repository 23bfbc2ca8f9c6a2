"""Slack approvals for AutoGen agents: the names that teams and programs import.

Everything public is in `__all__`, and docs/api.md has an example of each name. A name is loaded when it is first used,
so `import countersign` by itself loads neither AutoGen nor Slack nor Redis.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from countersign.frameworks.autogen.tools.team_policy import Proposal, Tier, Verdict
    from countersign.process_settings import WorkerSettings

    from .client.approval_decorator import requires_approval
    from .client.ask import ask
    from .client.client import AsyncClient, Client, question
    from .client.connection import connect
    from .client.exchange import AlreadyRan, Decision, NotApproved, Reported, ServiceRefused
    from .client.slack_input import slack_input
    from .domain.errors import ActionFailed, CountersignError, OutcomeUnknown
    from .domain.request_endings import approved_content
    from .domain.requests import Kind, Request, Status
    from .domain.run_options import Option
    from .domain.typed_answers import UNANSWERED
    from .frameworks.autogen.code.executors import code_executor
    from .frameworks.autogen.code.gated_executor import CodeAgent
    from .frameworks.autogen.gated_function import gated
    from .frameworks.autogen.models.demo import DEMO_NOTE, DemoCall, demo_turns
    from .frameworks.autogen.people.conversation import ConversationOver, EndReason, turn_in
    from .frameworks.autogen.people.decision_messages import DecisionTermination, decision_in
    from .frameworks.autogen.people.human_input_modes import (
        HumanInputMode,
        any_of,
        every,
        last_line,
        when_from,
        when_said,
    )
    from .frameworks.autogen.people.run_outcomes import Became, Conclusion, Outcome, Outcomes
    from .frameworks.autogen.run_context import RunContext, current_run
    from .frameworks.autogen.standalone import run_here
    from .frameworks.autogen.team import Team, last_words
    from .frameworks.autogen.tools.gated_tools import idempotency_key

_PUBLIC = {
    "frameworks.autogen.people.run_outcomes": ("Became", "Conclusion", "Outcome", "Outcomes"),
    "frameworks.autogen.code.executors": ("code_executor",),
    "frameworks.autogen.code.gated_executor": ("CodeAgent",),
    "frameworks.autogen.models.demo": ("DEMO_NOTE", "DemoCall", "demo_turns"),
    "frameworks.autogen.people.conversation": ("ConversationOver", "EndReason", "turn_in"),
    "frameworks.autogen.people.decision_messages": ("DecisionTermination", "decision_in"),
    "frameworks.autogen.people.human_input_modes": (
        "HumanInputMode",
        "any_of",
        "every",
        "last_line",
        "when_from",
        "when_said",
    ),
    "frameworks.autogen.run_context": ("RunContext", "current_run"),
    "frameworks.autogen.standalone": ("run_here",),
    "frameworks.autogen.team": ("Team", "last_words"),
    "frameworks.autogen.gated_function": ("gated",),
    "frameworks.autogen.tools.gated_tools": ("idempotency_key",),
    "frameworks.autogen.tools.team_policy": ("Proposal", "Tier", "Verdict"),
    "client.approval_decorator": ("requires_approval",),
    "client.ask": ("ask",),
    "client.client": ("AsyncClient", "Client", "question"),
    "client.connection": ("connect",),
    "client.exchange": ("AlreadyRan", "Decision", "NotApproved", "Reported", "ServiceRefused"),
    "client.slack_input": ("slack_input",),
    "domain.request_endings": ("approved_content",),
    "domain.errors": ("ActionFailed", "CountersignError", "OutcomeUnknown"),
    "domain.requests": ("Kind", "Request", "Status"),
    "domain.run_options": ("Option",),
    "domain.typed_answers": ("UNANSWERED",),
    "process_settings": ("WorkerSettings",),
}
"""Module -> its public names. Type checkers read the imports above instead."""
NEEDED = "`pip install 'countersign-slack[server,autogen]'` installs all that runs teams and the service."
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [
    "DEMO_NOTE",
    "UNANSWERED",
    "ActionFailed",
    "AlreadyRan",
    "AsyncClient",
    "Became",
    "Client",
    "CodeAgent",
    "Conclusion",
    "ConversationOver",
    "CountersignError",
    "Decision",
    "DecisionTermination",
    "DemoCall",
    "EndReason",
    "HumanInputMode",
    "Kind",
    "NotApproved",
    "Option",
    "Outcome",
    "OutcomeUnknown",
    "Outcomes",
    "Proposal",
    "Reported",
    "Request",
    "RunContext",
    "ServiceRefused",
    "Status",
    "Team",
    "Tier",
    "Verdict",
    "WorkerSettings",
    "any_of",
    "approved_content",
    "ask",
    "code_executor",
    "connect",
    "current_run",
    "decision_in",
    "demo_turns",
    "every",
    "gated",
    "idempotency_key",
    "last_line",
    "last_words",
    "question",
    "requires_approval",
    "run_here",
    "slack_input",
    "turn_in",
    "when_from",
    "when_said",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    except ModuleNotFoundError as missing:
        raise ImportError(f"countersign.{name} needs the package {missing.name}. {NEEDED}", name=missing.name) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
