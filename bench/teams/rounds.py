"""A team for the benchmark: a scripted drafter and a human take turns.

The task is the number of rounds.
"""

import time
from collections.abc import Sequence

from autogen_agentchat.agents import BaseChatAgent, UserProxyAgent
from autogen_agentchat.base import Response
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken

from countersign.frameworks.autogen.people.input_func import Human
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team

_DRAFT = "To: vendor@example.com\nSubject: Our contract\n\nWe have been with you for years. Ten percent off, please."


class Drafter(BaseChatAgent):
    """An agent without a model that says the next draft."""

    def __init__(self) -> None:
        super().__init__("drafter", "writes a draft each time")
        self._drafts = 0

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        """The next draft, whatever was said."""
        self._drafts += 1
        return Response(chat_message=TextMessage(content=f"Draft {self._drafts}\n{_DRAFT}", source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        self._drafts = 0


class Timed(Human):
    """A human who prints when each answer has come."""

    answers = 0

    async def input_func(self, prompt: str, cancellation_token: CancellationToken | None = None) -> str:
        answer = await super().input_func(prompt, cancellation_token)
        at = time.monotonic_ns()
        print(f"returned {self.answers} {at}", flush=True)
        self.answers += 1
        return answer


def build(run: Run) -> AutoGenTeam:
    """Build the team.

    The human prints `returned <round> <monotonic ns>` as each answer comes.
    """
    asked = run.human(title="Send this draft?")
    human = Timed(asked.questions, asked.name, asked.title)
    return RoundRobinGroupChat(
        [Drafter(), UserProxyAgent("human", input_func=human.input_func)],
        termination_condition=MaxMessageTermination(1 + 2 * int(run.task)),
    )


TEAM = Team("rounds", "takes turns with the human", build)
