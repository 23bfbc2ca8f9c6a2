"""Write a team of agents, and run it in a worker or in a program of your own.

Rules about conversations are in `countersign.teams.conversation`. docs/api.md has an example of each name.
"""

from countersign.frameworks import extra

with extra("server,autogen"):
    from countersign.domain.actions import Action
    from countersign.domain.errors import ActionFailed, OutcomeUnknown
    from countersign.domain.request_endings import approved_content
    from countersign.domain.requests import Kind, Request, Status
    from countersign.domain.run_options import Option
    from countersign.frameworks.autogen.code.executors import code_executor
    from countersign.frameworks.autogen.code.gated_executor import CodeAgent
    from countersign.frameworks.autogen.gated_function import requires_approval
    from countersign.frameworks.autogen.models.demo import DEMO_NOTE, DemoCall, demo_turns
    from countersign.frameworks.autogen.people.decision_messages import DecisionTermination, decision_in
    from countersign.frameworks.autogen.people.run_outcomes import Conclusion, Outcome, OutcomeKind, Outcomes
    from countersign.frameworks.autogen.run_context import Run, current_run
    from countersign.frameworks.autogen.standalone import run_here
    from countersign.frameworks.autogen.team import Team, last_words
    from countersign.frameworks.autogen.tools.gated_tools import idempotency_key
    from countersign.frameworks.autogen.tools.team_policy import Proposal, Verdict
    from countersign.process_settings import WorkerSettings

__all__ = [
    "DEMO_NOTE",
    "Action",
    "ActionFailed",
    "CodeAgent",
    "Conclusion",
    "DecisionTermination",
    "DemoCall",
    "Kind",
    "Option",
    "Outcome",
    "OutcomeKind",
    "OutcomeUnknown",
    "Outcomes",
    "Proposal",
    "Request",
    "Run",
    "Status",
    "Team",
    "Verdict",
    "WorkerSettings",
    "approved_content",
    "code_executor",
    "current_run",
    "decision_in",
    "demo_turns",
    "idempotency_key",
    "last_words",
    "requires_approval",
    "run_here",
]
