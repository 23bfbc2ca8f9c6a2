"""Programs of each framework that are killed by kill -9 and start again: one card, nothing done twice, nothing lost."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from localslack import LocalSlack
from tests.adapters.framework_programs import Program
from tests.adapters.killable_programs import GUARDED, MODELS, UNGUARDED, Decision, Killable
from tests.adapters.stage import Bob, Script, cards

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("together")]
DOUBT = "” happen?"
Make = Callable[[Killable], Program]


@pytest.fixture
async def make(script: Script, tmp_path: Path) -> AsyncIterator[Make]:
    """Make the program, whose model plays its lines; it ends with the test."""
    made: list[Program] = []

    def program(killable: Killable) -> Program:
        script.plays("gpt-5", *killable.lines)
        made.append(Program(tmp_path, killable.code, MODELS, {**os.environ}))
        return made[0]

    yield program
    for one in made:
        if one.running:
            await one.kill()


async def asked(bob: Bob, program: Program, words: str) -> None:
    """Wait for the card; a program that ends before that says why."""
    card, end = asyncio.create_task(bob.card(words)), asyncio.create_task(program.wait())
    await asyncio.wait({card, end}, return_when=asyncio.FIRST_COMPLETED)
    if not card.done():
        card.cancel()
        raise AssertionError("\n".join(program.lines))
    end.cancel()
    await card


async def decided(bob: Bob, program: Program, *decisions: Decision) -> None:
    for words, button, window in decisions:
        await asked(bob, program, words)
        if button:
            await bob.presses(words, button, window)


async def killed_at(place: str, killable: Killable, program: Program, bob: Bob) -> None:
    """Start it, approve its action, kill it there, and start it again."""
    program.stops(place)
    await program.start()
    await decided(bob, program, *killable.before, (killable.asks, "Approve", None))
    await program.stopped(place)
    await program.kill()
    await program.start()


@pytest.mark.parametrize("name", GUARDED | UNGUARDED)
async def test_program_killed_while_asked_finds_the_decision(
    slack: LocalSlack, bob: Bob, make: Make, name: str
) -> None:
    """R1, R8: they decide while it is gone, and it acts when it is back."""
    killable = (GUARDED | UNGUARDED)[name]
    program = await make(killable).start()
    await decided(bob, program, *killable.before)
    await asked(bob, program, killable.asks)
    await program.kill()
    assert program.done() == []
    await bob.presses(killable.asks, "Approve")
    await program.start()
    await decided(bob, program, *killable.after)
    await program.ended()
    assert (program.done(), cards(slack)) == ([*killable.done], killable.cards)


@pytest.mark.parametrize(
    ("place", "answer"), [("before", "2. It wasn't done: run it now"), ("after", "1. It was done")]
)
@pytest.mark.parametrize("name", GUARDED)
async def test_action_of_a_killed_program_is_asked_about(
    slack: LocalSlack, bob: Bob, make: Make, name: str, place: str, answer: str
) -> None:
    """R8, R10: so it is done once. What was done and reported before that is neither done nor asked again."""
    killable = GUARDED[name]
    program = make(killable)
    await killed_at(f"{place} {killable.done[-1].split()[0]}", killable, program, bob)
    await decided(bob, program, (DOUBT, "Choose", {"options": answer}), *killable.after)
    await program.ended()
    assert (program.done(), cards(slack)) == ([*killable.done], killable.cards + 1)


@pytest.mark.parametrize("name", GUARDED)
async def test_reported_action_is_neither_repeated_nor_asked_about(
    slack: LocalSlack, bob: Bob, make: Make, script: Script, name: str
) -> None:
    """R8: killed when the model is to read what came of it."""
    killable = GUARDED[name]
    program = make(killable)
    script.stops_before(len(killable.lines) - 1)
    await program.start()
    await decided(bob, program, *killable.before, (killable.asks, "Approve", None))
    await script.stopped.wait()
    await program.kill()
    script.goes_on()
    await program.start()
    await decided(bob, program, *killable.after)
    await program.ended()
    assert (program.done(), cards(slack)) == ([*killable.done], killable.cards)


@pytest.mark.parametrize(("place", "times"), [("before", 1), ("after", 2)])
@pytest.mark.parametrize("name", UNGUARDED)
async def test_unguarded_action_is_repeated_by_a_restarted_program(
    slack: LocalSlack, bob: Bob, make: Make, name: str, place: str, times: int
) -> None:
    """R8: under the decision that it had. So docs/adapters.md says how to have it done once."""
    killable = UNGUARDED[name]
    program = make(killable)
    await killed_at(f"{place} 17", killable, program, bob)
    await program.ended()
    assert (program.done(), cards(slack)) == ([*killable.done] * times, killable.cards)
