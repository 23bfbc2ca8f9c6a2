"""The research team: notes, a report, a critic before the people, and their signature."""

import asyncio
from pathlib import Path

import pytest
from autogen_agentchat.messages import TextMessage

from agents.services.notes import Notes
from agents.teams.research import _next
from countersign.domain.requests import Kind, Verb
from tests.autogen.demo_runs import playing
from tests.autogen.harness import House, fact

pytest_plugins = ["tests.redis_server"]
TASK = "what is tea made from"


def reports(house: House) -> list[str]:
    return [path.read_text() for path in (house.folder / "research" / "reports").glob("*")]


async def test_report_is_criticised_approved_and_kept_as_shown(house: House) -> None:
    """S6, S20, R13: the critic comes first, the worker never asks, the approver signs off."""
    async with playing(house, "research", TASK) as play:
        asked = await play.asked()
        assert (asked.question.kind, asked.question.title) == (Kind.MESSAGE, "Sign off this report?")
        assert "leaves of Camellia sinensis" in asked.question.content
        assert "[example.md]" in asked.question.content
        assert "The critic: Each fact names its file" in asked.question.content
        assert reports(house) == []

        async def speakers() -> list[str] | None:
            lines = [line.agent for line in (await house.run()).progress]
            return lines if "editor" in lines else None  # lines are stored beside the work

        speaking = await fact(speakers)
        assert [who for n, who in enumerate(speaking) if speaking[n - 1 : n] != [who]] == [
            *("researcher", "worker", "researcher", "writer", "critic", "writer", "critic", "editor")
        ]
        await play.says(Verb.APPROVE)
        run = await play.over()
        assert (run.result, run.ended_as) == ("The report was kept.", "Signed off"), "no word twice"
        assert [one.done for one in run.reported] == ["kept"]
        [(key, name)] = (await house.store.made.kept(run.id)).files.items()
        assert name == "report.md", "it is attached to the thread"
        assert await house.store.made.content(run.id, key) == asked.question.content.encode()
        assert reports(house) == [asked.question.content]
        assert [tool for tool, _ in await play.passed()] == ["search_notes"]
        assert (await play.audit()).count("asked") == 1


async def test_feedback_returns_the_report_to_writer_and_critic(house: House) -> None:
    """S16."""
    async with playing(house, "research", TASK, rounds="1") as play:
        first = await play.asked()
        assert "[example.md]" not in first.question.content
        assert "The critic: Say which file each fact is from." in first.question.content
        await play.says(Verb.RESPOND, "name the best time of the day")
        second = await play.asked()
        assert "Requested: name the best time of the day" in second.question.content
        assert "[example.md]" in second.question.content
        await play.says(Verb.APPROVE)
        await play.over()
        assert reports(house) == [second.question.content]


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        (Verb.REJECT, "The report was not kept: it was rejected."),
        (Verb.EXPIRE, "Nobody answered in time; the report was not kept."),
    ],
)
async def test_unapproved_report_is_not_kept(house: House, verb: Verb, says: str) -> None:
    """R17."""
    async with playing(house, "research", TASK) as play:
        await play.asked()
        await play.says(verb)
        assert (await play.over()).result == says
    assert reports(house) == []


async def test_research_finds_the_users_own_notes(house: House) -> None:
    """The report quotes the note and the name of its file."""
    folder = house.folder / "research"
    folder.mkdir()
    (folder / "mine.txt").write_text("Clocks are late.\n")
    async with playing(house, "research", "are clocks on time") as play:
        assert "Clocks are late. [mine.txt]" in (await play.asked()).question.content
        await play.says(Verb.RESPOND, "shorter")
        await play.asked()
        await play.says(Verb.REJECT)
        await play.over()


def test_endless_research_is_passed_to_the_writer() -> None:
    """After a number of turns of the researcher."""
    thread = [TextMessage(content="more", source=who) for who in ["user", *["researcher", "worker"] * 4]]
    assert _next(thread, 1) == "researcher"
    assert _next([*thread, TextMessage(content="more", source="researcher")], 1) == "writer"


async def test_concurrent_searches_find_the_example_notes(tmp_path: Path) -> None:
    """The first search makes the folder; no other search reads it half made."""
    for number in range(40):
        folder = tmp_path / str(number) / "research"
        found = await asyncio.gather(*(Notes(folder).search_notes("tea") for _ in range(8)))
        assert all("example.md" in words for words in found)
        assert [path.name for path in folder.parent.iterdir()] == ["research"]
