"""AutoGen's own UserProxyAgent asks where its team's words reach no stream of the run: inside a tool, or an agent."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent, BaseChatAgent, UserProxyAgent
from autogen_agentchat.base import Response
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import CreateResult, RequestUsage
from autogen_core.tools import BaseTool
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.domain.requests import Verb
from countersign.domain.runs import Status
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from tests.autogen.harness import House

pytest_plugins = ["tests.redis_server"]


def two(run: Run) -> RoundRobinGroupChat:
    """A writer, and AutoGen's human."""
    writer = AssistantAgent("writer", model_client=run.model("writer"))
    human = UserProxyAgent("human", input_func=run.human().input_func)
    return RoundRobinGroupChat([writer, human], max_turns=2)


def a_team(run: Run) -> BaseTool[Any, Any]:
    return TeamTool(two(run), "draft", "Drafts.", return_value_as_last_message=True)


def a_team_in_a_team(run: Run) -> BaseTool[Any, Any]:
    tool = run.tools("inner", [a_team(run)], ask=False)
    inner = AssistantAgent("inner", model_client=run.model("inner"), workbench=tool)
    return TeamTool(RoundRobinGroupChat([inner], max_turns=1), "draft", "Drafts.")


def the_human_alone(run: Run) -> BaseTool[Any, Any]:
    return AgentTool(UserProxyAgent("draft", input_func=run.human("draft").input_func))


CALL = CreateResult(
    finish_reason="function_calls",
    content=[FunctionCall(id="1", name="draft", arguments='{"task": "ten pens"}')],
    usage=RequestUsage(prompt_tokens=1, completion_tokens=1),
    cached=False,
)


@pytest.mark.parametrize(
    ("inside", "answers", "shown"),
    [
        (a_team, [CALL, "We need ten pens."], "We need ten pens."),
        (a_team_in_a_team, [CALL, CALL, "We need ten pens."], "We need ten pens."),
        (the_human_alone, [CALL], "ten pens"),
    ],
)
async def test_human_inside_a_tool_sees_the_inner_messages(
    house: House,
    inside: Callable[[Run], BaseTool[Any, Any]],
    answers: list[CreateResult | str],
    shown: str,
) -> None:
    """R4, R13: also when the run leaves memory while people are asked; the run's thread shows the words, once."""

    def build(run: Run) -> AutoGenTeam:
        tools = run.tools("boss", [inside(run)], ask=False)
        return RoundRobinGroupChat(
            [AssistantAgent("boss", model_client=run.model("boss"), workbench=tools)], max_turns=1
        )

    model = ReplayChatCompletionClient(answers)
    model.model_info["function_calling"] = True
    house.park_after = timedelta(0)
    found = Teams({"t": Team("t", "", build)}, {})
    await house.start(team="t")
    async with house.worker(found=found, model=model) as worker:
        await worker.advance()
        request = await house.asked()
        assert request.question.content == shown
        await house.decide(request, Verb.APPROVE)
        await worker.advance()
    run = await house.run()
    assert run.status is Status.FINISHED, run.result
    assert "People approved this." in run.words
    said = [line.words for line in run.progress]
    assert said.count(shown) == (inside is not the_human_alone)


class Mute(BaseChatAgent):
    """Has a team inside, of which it lets nobody hear."""

    def __init__(self, team: AutoGenTeam) -> None:
        super().__init__("mute", "")
        self._team = team

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        result = await self._team.run(task=list(messages), cancellation_token=cancellation_token)
        return Response(chat_message=TextMessage(content=f"{len(result.messages)} messages", source="mute"))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


async def test_run_with_an_unheard_human_ends_with_instructions(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waited for ever, and no card came."""
    monkeypatch.setattr("countersign.frameworks.autogen.people.input_func.WORDS_WITHIN", timedelta(milliseconds=300))
    await house.start(team="t")
    team = Team("t", "", lambda run: RoundRobinGroupChat([Mute(two(run))], max_turns=1))
    async with house.worker(found=Teams({"t": team}, {}), model=ReplayChatCompletionClient(["Words."])) as worker:
        worker.advance()
        run = await house.over()
    assert run.status is Status.FAILED
    assert run.result.startswith("“human” is asked inside something that keeps its words to itself")
    assert 'run.reviewer("human")' in run.result
