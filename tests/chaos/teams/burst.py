"""An agent wants three calls at once, which people see as rows of one card; what they approve is done."""

from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat

from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team
from tests.chaos.chaos_agents import Caller


def build(run: Run) -> AutoGenTeam:
    return RoundRobinGroupChat([Caller(run)], max_turns=1)


TEAM = Team("burst", "asks for three calls at once", build)
