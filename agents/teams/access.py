"""A team of Agent Framework that lets people use a system for some hours.

It needs the extra `agent-framework`; its model is that of all the other teams.
"""

from typing import Any, Final

from agent_framework import Agent

from countersign import RunContext, Team, Tier
from countersign.hosted_teams.agent_framework import AgentTeam, model, tools

from ..services.systems import Systems
from ._access_script import play

_CLERK: Final = """\
You grant access. Call list_systems, then grant for what the task wants: the system that fits, read unless the task
needs write, and as few hours as will do. If the task leaves open who needs what, ask people with ask_human. When a call
is not approved, do what its answer says, and never grant it in another way. Then say what was granted."""


def build(run: RunContext) -> AgentTeam:
    """Build one agent, whose grants people judge."""
    systems = Systems(run.settings.data_dir / "access")
    offered = tools(
        run,
        "clerk",
        systems.list_systems,
        systems.grant,
        run.ask_human("clerk"),
        ask={"list_systems": Tier.PASS},
        idempotent=["list_systems", "grant"],
        title={"grant": "Give {person} {level} access to {system}"},
        show={"grant": grant_drawn},
        done={"grant": "granted"},
    )
    return AgentTeam(run, Agent(model(run, "clerk"), name="clerk", instructions=_CLERK, tools=offered))


def grant_drawn(arguments: dict[str, Any]) -> str:
    return f"Who: {arguments['person']}\nTo: {arguments['system']}, {arguments['level']}\nFor: {arguments['hours']} h"


TEAM: Final = Team("access", "gives somebody access to a system for some hours", build, demo=play)
