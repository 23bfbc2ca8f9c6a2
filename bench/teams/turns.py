"""A team for the benchmark: agents with a model speak, then people are asked.

The task is `<how> <agents> <turns>`; a word after it tells it from others like it.
"""

import time
from collections.abc import Callable, Sequence

from autogen_agentchat.agents import AssistantAgent, UserProxyAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow, RoundRobinGroupChat, SelectorGroupChat
from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient

from countersign.frameworks.autogen.people.input_func import Human
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team

Models = Callable[[str], ChatCompletionClient]
"""The model of the agent of that name."""


class Timed(Human):
    """A human who prints when a question is asked and when its answer has come."""

    def __init__(self, run: Run) -> None:
        human = run.human(title="Go on?")
        super().__init__(human.questions, human.name, human.title)
        self._run = run.run.id

    async def input_func(self, prompt: str, cancellation_token: CancellationToken | None = None) -> str:
        print(f"asks {self._run} {time.monotonic_ns()}", flush=True)
        answer = await super().input_func(prompt, cancellation_token)
        at = time.monotonic_ns()
        print(f"went on {self._run} {at}", flush=True)
        return answer


def build(run: Run) -> AutoGenTeam:
    """Build the team of a run.

    How: `again` (in turn, as often as it takes), `once` (each has one), `beside` (the first, then the others).

    The human prints `asks <run> <monotonic ns>` for a question, and `went on …` when its answer has come.
    """
    human = Timed(run)
    return team(run.task, run.model, UserProxyAgent("human", input_func=human.input_func))


def team(task: str, models: Models, people: UserProxyAgent) -> AutoGenTeam:
    """The team of a task, with these models."""
    how, agents, turns, *_ = task.split()
    speakers = [AssistantAgent(f"agent{n}", models(f"agent{n}")) for n in range(int(agents))]
    match how:
        case "beside":
            return _beside(speakers, people)
        case "again":
            return _again(models("selector"), speakers, people, int(turns))
    return RoundRobinGroupChat([*speakers, people], termination_condition=MaxMessageTermination(2 + int(turns)))


def _again(
    selector: ChatCompletionClient, speakers: list[AssistantAgent], people: UserProxyAgent, turns: int
) -> AutoGenTeam:
    def chosen(messages: Sequence[BaseAgentEvent | BaseChatMessage]) -> str:
        said = sum(isinstance(m, BaseChatMessage) for m in messages) - 1
        return people.name if said >= turns else speakers[said % len(speakers)].name

    return SelectorGroupChat(
        [*speakers, people],
        selector,
        termination_condition=MaxMessageTermination(2 + turns),
        allow_repeated_speaker=True,
        selector_func=chosen,
    )


def _beside(speakers: list[AssistantAgent], people: UserProxyAgent) -> AutoGenTeam:
    graph = DiGraphBuilder()
    first, *others = speakers
    for speaker in speakers:
        graph.add_node(speaker)
    graph.add_node(people)
    for speaker in others:
        graph.add_edge(first, speaker)
        graph.add_edge(speaker, people)
    return GraphFlow([*speakers, people], graph.build())


TEAM = Team("turns", "models speak, then people are asked", build)
