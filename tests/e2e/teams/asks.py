"""S5, S9: a writer, and AutoGen's own UserProxyAgent whose input comes from Slack."""

from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent, UserProxyAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import TextMentionTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from countersign.frameworks.autogen.models.demo import demo_turns
from countersign.frameworks.autogen.people.run_outcomes import OutcomeKind
from countersign.frameworks.autogen.run_context import Run, current_run
from countersign.frameworks.autogen.team import Team
from tests.e2e.team_parts import conclude, name


def build(run: Run) -> AutoGenTeam:
    writer = AssistantAgent("writer", model_client=run.model("writer"))
    people = UserProxyAgent("people", input_func=run.human("people", title="Is this right?").input_func)
    return RoundRobinGroupChat([writer, people], termination_condition=TextMentionTermination("OVER", ["writer"]))


def play(agent: str, messages: Sequence[LLMMessage]) -> str:
    if demo_turns(messages) == 0:
        return f"The first version of {name(messages)}."
    last = [*current_run().outcomes][-1]
    if last.became is OutcomeKind.ANSWERED:
        return f"The next version of {name(messages)}, with {last.words}."
    return f"The end of {name(messages)}: OVER"


TEAM = Team("asks", "asks as AutoGen's UserProxyAgent does", build, conclude, demo=play)
