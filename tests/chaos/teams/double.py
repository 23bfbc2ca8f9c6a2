"""Two questions one after the other, each followed by its action: the second is asked by a run with a past."""

from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat

from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team
from tests.chaos.chaos_agents import Asker, Doer


def build(run: Run) -> AutoGenTeam:
    return RoundRobinGroupChat(
        [Asker(run), run.reviewer("reviewer", title="Do this part?"), Doer(run)],
        termination_condition=MaxMessageTermination(1 + 2 * 3),
    )


TEAM = Team("double", "asks twice, and acts in between", build)
