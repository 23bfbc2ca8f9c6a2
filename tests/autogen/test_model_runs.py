"""Whole runs with models over real HTTP: what they take, what is shown of them, and what bad models do to a run."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent, UserProxyAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat, Swarm
from autogen_core.models import ChatCompletionClient
from pydantic import BaseModel

from countersign.domain import runs
from countersign.domain.activity import LINE, Usage, Writing
from countersign.domain.requests import Verb
from countersign.domain.runs import Status
from countersign.frameworks.autogen import progress
from countersign.frameworks.autogen.models import answer_recorder
from countersign.frameworks.autogen.models.config import load_model
from countersign.frameworks.autogen.models.demo import DemoModel
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from countersign.runs.journal_storage import RedisAnswers
from tests.autogen.harness import House, fact
from tests.autogen.model_calls import ABLE, KEY, component, written
from tests.openai_server import Fails, OpenAIServer, Says


def talk(run: Run) -> AutoGenTeam:
    """A writer, who streams, and a person, in turns."""
    writer = AssistantAgent("writer", model_client=run.model("writer"), model_client_stream=True)
    human = UserProxyAgent("human", input_func=run.human().input_func)
    return RoundRobinGroupChat([writer, human], termination_condition=MaxMessageTermination(6))


def work(run: Run) -> AutoGenTeam:
    """A clerk with a tool, who calls it as long as the model wants."""

    async def look() -> str:
        """Look it up."""
        return "Nothing new."

    clerk = AssistantAgent(
        "clerk",
        model_client=run.model("clerk"),
        workbench=run.tools("clerk", [look], ask=False),
        max_tool_iterations=100,
    )
    return RoundRobinGroupChat([clerk], termination_condition=MaxMessageTermination(2))


def tell(run: Run) -> AutoGenTeam:
    """A writer who needs words and nothing else."""
    writer = AssistantAgent("writer", model_client=run.model("writer"))
    return RoundRobinGroupChat([writer], termination_condition=MaxMessageTermination(2))


class Verdict(BaseModel):
    """What the judge is to write."""

    fine: bool


TALK, WORK = Team("talk", "talks", talk), Team("work", "works", work)
TEAMS = Teams({"talk": TALK, "work": WORK, "tell": Team("tell", "tells", tell)}, {})


@asynccontextmanager
async def two(openai: OpenAIServer, house: House, **more: Any) -> AsyncIterator[ChatCompletionClient]:
    able = ABLE | {"structured_output": True}
    models = [component(openai, name, max_retries=0, model_info=able) for name in ("first", "second")]
    client = load_model(written(house.folder, models, **more), {}, answers=RedisAnswers(house.area))
    try:
        yield client
    finally:
        await client.close()


async def ended(house: House, model: ChatCompletionClient, team: str, run: str = "r1") -> runs.Run:
    """A run of the team that asks nobody, at its end."""
    await house.start(run, team=team)
    async with house.worker(found=TEAMS, model=model) as worker:
        worker.advance(run)
        return await house.over(run)


async def rebuilt_at_each_question(house: House, model: ChatCompletionClient) -> runs.Run:
    """A run of `talk` at its end, taken over by another worker at each question."""
    await house.start(team="talk")
    asked = None
    for life in range(9):
        async with house.worker(found=TEAMS, model=model, owner=f"w{life}") as worker:
            worker.advance()
            if asked is not None:
                await house.decide(asked, Verb.RESPOND, "again", f"a{life}")
            asked = await fact(lambda: _asked_or_over(house, asked))  # noqa: B023  # awaited here
            if isinstance(asked, runs.Run):
                return asked
    raise AssertionError("the run does not end")


async def _asked_or_over(house: House, before: Any) -> Any:
    run = await house.run()
    if run.over:
        return run
    for name in run.open.values():
        seen = await house.store.request(name)
        if seen is not None and (before is None or name != before.id):
            return seen.value
    return None


async def test_outcome_counts_each_model_call_once_despite_rebuilds(house: House, openai: OpenAIServer) -> None:
    """R4: who is asked twice pays twice, and the sum would be wrong too."""
    openai.will("first", Says("One."), Fails(500), Fails(500))
    async with two(openai, house) as model:
        run = await rebuilt_at_each_question(house, model)
    assert run.status is Status.FINISHED
    assert len(openai.asked) == 4
    assert run.usage == Usage(
        prompt_tokens=21,
        completion_tokens=6,
        calls=3,
        models=(("first", 1), ("second", 2)),
        fallbacks=(("first failed (HTTP 500)", 1),),
    )


async def test_failed_run_reports_its_usage(house: House, openai: OpenAIServer) -> None:
    openai.will("first", Says(tool="look"), Fails(401))
    openai.will("second", Fails(503))
    async with two(openai, house) as model:
        run = await ended(house, model, "work")
    assert run.status is Status.FAILED
    assert "first refused our key (HTTP 401); second failed (HTTP 503)" in run.result
    assert "nothing was repeated" in run.result
    assert KEY not in run.result
    assert run.usage is not None
    assert (run.usage.calls, run.usage.prompt_tokens) == (1, 7)


async def test_usage_names_the_demo_model(house: House) -> None:
    """A run without MODEL_CONFIG says which model wrote its answers."""
    run = await ended(house, DemoModel(), "tell")
    assert run.usage is not None
    assert run.usage.models == (("DemoModel", 1),)


def hand_over(run: Run) -> AutoGenTeam:
    """Agents who hand over to each other."""
    clerk = AssistantAgent("clerk", model_client=run.model("clerk"), handoffs=["other"])
    other = AssistantAgent("other", model_client=run.model("other"))
    return Swarm([clerk, other], termination_condition=MaxMessageTermination(3))


def judge(run: Run) -> AutoGenTeam:
    """An agent who writes data."""
    agent = AssistantAgent("judge", model_client=run.model("judge"), output_content_type=Verdict)
    return RoundRobinGroupChat([agent], custom_message_types=[], termination_condition=MaxMessageTermination(2))


@pytest.mark.parametrize("build", [work, hand_over, judge], ids=["tools", "handoffs", "data"])
async def test_team_needing_a_model_says_none_is_configured(house: House, build: Callable[[Run], AutoGenTeam]) -> None:
    """Who started it reads what to do, and neither AutoGen's words nor an answer that nobody wrote."""
    await house.start(team="t")
    async with house.worker(found=Teams({"t": Team("t", "", build)}, {}), model=DemoModel()) as worker:
        worker.advance()
        run = await house.over()
    assert run.status is Status.FAILED
    assert run.result == (
        "No model is configured, and the team has no script that plays one, so the run has ended. Set MODEL_CONFIG for "
        "the worker (docs/models.md), or give the team a `demo=` script (docs/write-a-team.md); then start the task "
        "again."
    )


@pytest.mark.filterwarnings("ignore:No text content")
async def test_empty_model_answer_is_shown_as_that(house: House, openai: OpenAIServer) -> None:
    """The run continues, and people are asked about the placeholder."""
    openai.will("first", Says(""))
    openai.will("second", Says(""))
    await house.start(team="talk")
    async with two(openai, house) as model, house.worker(found=TEAMS, model=model) as worker:
        worker.advance()
        request = await house.asked()
    assert request.question.content == "(The model answered nothing.)"


@pytest.mark.filterwarnings("ignore:No text content")
async def test_empty_answer_where_json_is_needed_fails_the_run(house: House, openai: OpenAIServer) -> None:
    """The result names the model and the agent."""
    openai.will("first", Says(""))
    openai.will("second", Says(""))
    await house.start(team="judge")
    found = Teams({"judge": Team("judge", "", judge)}, {})
    async with two(openai, house) as model, house.worker(found=found, model=model) as worker:
        worker.advance()
        run = await house.over()
    assert run.status is Status.FAILED
    assert "The model first answered nothing where “judge” needs JSON" in run.result


async def test_endless_tool_calls_end_at_the_budget(house: House, openai: OpenAIServer) -> None:
    """The result names MODEL_CALLS."""
    openai.will("first", *[Says(tool="look")] * 50)
    house.model_calls = 5
    async with two(openai, house) as model:
        run = await ended(house, model, "work")
    assert run.status is Status.FAILED
    assert run.result.startswith("The agents have asked their models 5 times")
    assert "MODEL_CALLS" in run.result
    assert len(openai.asked) == 5


async def test_rebuilt_run_has_the_same_budget(house: House, openai: OpenAIServer) -> None:
    house.model_calls = 2
    async with two(openai, house) as model:
        run = await rebuilt_at_each_question(house, model)
    assert run.result.startswith("The agents have asked their models 2 times")
    assert len(openai.asked) == 2


async def test_writing_agent_is_shown_before_its_text(
    house: House, openai: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unfinished text is in no event."""
    monkeypatch.setattr(progress, "PACE", timedelta(milliseconds=50))
    monkeypatch.setattr(answer_recorder, "PIECES_EVERY", timedelta(milliseconds=10))
    enough = asyncio.Event()
    openai.will("first", Says("Dear vendor", until=enough))
    await house.start(team="talk")

    async def long() -> Writing | None:
        writing = (await house.run()).writing
        return writing if writing is not None and writing.characters > 100 else None

    async with two(openai, house) as model, house.worker(found=TEAMS, model=model) as worker:
        worker.advance()
        writing = await fact(long)
        assert (writing.agent, writing.done) == ("writer", False)
        assert len(writing.words) <= LINE
        assert writing.words.endswith("vendor")
        enough.set()
        await house.asked()
        run = await fact(lambda: _told(house))
    assert run.writing is None
    assert [line.agent for line in run.progress] == ["writer"]
    words = [event["words"] for event in await house.events() if event["type"] == "run_progressed"]
    assert words[0].startswith("is writing ")
    assert not any("vendor" in line for line in words[:-1]), "a text that is not finished is in no event"


async def _told(house: House) -> runs.Run | None:
    run = await house.run()
    return run if run.progress else None


async def test_long_or_repeated_text_is_one_progress_event(
    house: House, openai: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R26: one line each, however many pieces it came in, and none more when the run is rebuilt."""
    monkeypatch.setattr(answer_recorder, "PIECES_EVERY", timedelta(0))
    monkeypatch.setattr(progress, "PACE", timedelta(hours=1))
    openai.will("first", *[Says("word " * 500)] * 3)
    async with two(openai, house) as model:
        await rebuilt_at_each_question(house, model)
    said = [event["agent"] for event in await house.events() if event["type"] == "run_progressed"]
    assert said == ["writer", "human", "writer", "human", "writer"]


def test_progress_line_summarises_a_program() -> None:
    """On one line code is nothing that people can read; the card shows it as it is."""
    code = "```python\nimport math\n\nprint(math.pi)\n```"
    assert progress.in_one_line(code) == "Wrote a program of 3 lines"
    assert progress.in_one_line(f"Let me see.\n{code}\nThis  prints it.") == (
        "Let me see. Wrote a program of 3 lines. This prints it."
    )
    assert progress.in_one_line("```sh\nls\n```") == "Wrote a program of 1 line"
    assert progress.in_one_line("```not closed\n and `this` too") == "```not closed and `this` too"


def test_writing_progress_is_limited_per_worker() -> None:
    """R26: Slack takes 50 changes of messages a minute, and decisions need them."""
    pace = progress.Pace()
    shown = sum(pace.due(second / 10) for second in range(600) for _ in range(100))
    assert shown <= 20


async def test_writing_line_ends_when_a_tool_call_follows(
    house: House,
) -> None:
    """R45: the line would say for ever that the agent is writing."""
    held: Any = None
    lines = progress.ProgressLines(held, progress.Pace())
    pace = progress.PACE.total_seconds()
    loop = asyncio.get_running_loop()
    lines._drafts["clerk"] = progress._Draft(loop.time() - pace)
    lines.writes("clerk", "I look")
    lines.wrote("clerk")
    shown = [lines._lines.get_nowait() for _ in range(2)]
    assert shown == [Writing("clerk", 6, "I look"), Writing("clerk", 6, "I look", done=True)]
