"""A branch that is refused something, beside a model whose client is busy now and then."""

from autogen_agentchat.base import Team as AutoGenTeam

from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team
from tests.chaos.scenarios import Forbidden, beside, script


def build(run: Run) -> AutoGenTeam:
    return beside(run, Forbidden(run))


TEAM = Team("refusing", "is refused something beside a model", build, demo=script)
