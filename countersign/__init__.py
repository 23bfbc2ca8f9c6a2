"""Ask people in Slack before an agent acts.

Teams of agents that a worker runs import from `countersign.teams`, and a program that asks, waits and reports by itself
from `countersign.client`. This import loads neither AutoGen nor Slack nor Redis. docs/api.md has an example of each
name.
"""

from countersign.client.approval_decorator import requires_approval
from countersign.client.ask import ask, ask_sync
from countersign.client.connection import connect
from countersign.client.exchange import Decision, NotApproved
from countersign.client.slack_input import slack_input
from countersign.domain.errors import CountersignError

__all__ = [
    "CountersignError",
    "Decision",
    "NotApproved",
    "ask",
    "ask_sync",
    "connect",
    "requires_approval",
    "slack_input",
]
