"""Two humans are asked at the same time; what each approved is done when both have answered."""

from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow

from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team
from tests.chaos.chaos_agents import Asker, Doer


def build(run: Run) -> AutoGenTeam:
    asker, doer = Asker(run), Doer(run)
    left, right = (run.reviewer(side, title=f"Do this, says the {side}?") for side in ("left", "right"))
    graph = DiGraphBuilder()
    for agent in (asker, left, right, doer):
        graph.add_node(agent)
    for human in (left, right):
        graph.add_edge(asker, human).add_edge(human, doer)
    return GraphFlow([asker, left, right, doer], graph=graph.build())


TEAM = Team("parallel", "asks two people at once", build)
