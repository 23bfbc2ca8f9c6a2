"""A branch that works, beside a model whose client is busy now and then."""

from autogen_agentchat.base import Team as AutoGenTeam

from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team
from tests.chaos.scenarios import Thinker, beside, script


def build(run: Run) -> AutoGenTeam:
    return beside(run, Thinker("thinker"))


TEAM = Team("thinking", "works beside a model", build, demo=script)
