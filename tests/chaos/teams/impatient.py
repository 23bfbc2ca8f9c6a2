"""A branch that leaves a question, beside a model whose client is busy now and then."""

from autogen_agentchat.base import Team as AutoGenTeam

from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team
from tests.chaos.scenarios import Impatient, beside, script


def build(run: Run) -> AutoGenTeam:
    return beside(run, Impatient(run))


TEAM = Team("impatient", "leaves a question beside a model", build, demo=script)
