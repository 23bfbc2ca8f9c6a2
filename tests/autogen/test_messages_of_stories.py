"""How much each story writes in Slack: the example teams at work, a projector, and people who decide."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest

from agents import registry
from countersign import usecases
from countersign.domain.decision_attempts import Attempt
from countersign.domain.ids import AttemptId, RunId, WorkerId
from countersign.domain.people import Actor
from countersign.domain.requests import Request, Verb
from countersign.domain.runs import Status
from countersign.usecases.ports import Announcement
from localslack import LocalSlack
from tests.autogen.harness import House, Silent, fact
from tests.sample_requests import ALICE, BOB, GENERAL, HERE, rules
from tests.slack.test_projector import all_drawn, running_projector

pytest_plugins = ["tests.redis_server"]
RUN = RunId("r1")


@dataclass(frozen=True)
class Story:
    """A task, what people answer to what it asks, and how often messages may be changed meanwhile."""

    team: str
    task: str
    answers: Sequence[tuple[Verb, str]]
    updates: int
    merged: int
    """How often they are if all that happens between two moments of rest is drawn together."""
    at_once: int = 1
    """How many requests wait together for each answer."""


YES = (Verb.APPROVE, "")
STORIES = (
    Story("email", "tell the vendor we need 10% off", ((Verb.RESPOND, "shorter"), YES), 10, 5),
    Story("support", "order 17 came broken, pay it back", (YES, (Verb.REJECT, "")), 13, 5),
    Story("code", "add up 3, 4 and 35", (YES, YES), 17, 5),
    Story("deploy", "deploy shop 2.1", ((Verb.CHOOSE, "staging"), YES, YES), 16, 8),
    Story("research", "what is tea made from", (YES,), 9, 3),
    Story("invoices", "pay what is due", (YES,), 9, 3, at_once=4),
    Story("chat", "find a date; delete the old list", (YES, YES, YES), 18, 5),
    Story("access", "read billing for carol, 2 hours", (YES,), 9, 3),
)


def test_every_example_team_has_its_messages_counted() -> None:
    assert {story.team for story in STORIES} == set(registry.find().working)


@pytest.mark.slow
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.team)
async def test_story_posts_a_card_per_answer_and_three_messages(house: House, slack: LocalSlack, story: Story) -> None:
    """R6: head, steps and outcome; what changes is edited into them."""
    async with running_projector(slack, house.store):
        await played(house, story, partial(all_drawn, slack, house.store))
    calls = Counter(call.method for call in slack.calls if call.ok)
    # The cards of a conversation say each step: a list of them stands only if it was drawn before the first card.
    rest = (2, 3) if story.team == "chat" else (3,)
    assert calls["chat.postMessage"] - len(story.answers) in rest
    assert calls["chat.update"] <= story.updates
    assert not calls["chat.postEphemeral"]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.team)
async def test_story_updates_each_message_once_between_questions(house: House, slack: LocalSlack, story: Story) -> None:
    """R36: what is no news is no call."""

    async def drawn() -> None:
        async with running_projector(slack, house.store):
            await all_drawn(slack, house.store)

    await played(house, story, drawn)
    calls = Counter(call.method for call in slack.calls if call.ok)
    lists = 0 if story.team == "chat" else 1  # its first card says what the list of steps would
    assert calls["chat.postMessage"] == len(story.answers) + 2 + lists
    assert calls["chat.update"] == story.merged


async def played(house: House, story: Story, drawn: Callable[[], Awaitable[None]]) -> None:
    """Play the story to its end; `drawn` is called whenever people are asked, and at the end."""
    store = house.store
    await store.set_defaults(rules())
    await store.workers.announce(WorkerId("a-test"), Announcement(registry.find().infos()), timedelta(hours=1))
    await usecases.start(
        store,
        Silent(),
        run=RUN,
        workspace=HERE,
        channel=GENERAL,
        requester=ALICE,
        team=story.team,
        task=story.task,
        options={},
    )
    seen: set[str] = set()

    async def asked() -> list[Request] | None:
        names = [name for name in (await house.run()).open.values() if name not in seen]
        found = [one.value for name in names if (one := await store.request(name)) is not None]
        return found if len(found) == story.at_once else None

    async with house.worker() as worker:
        worker.advance()
        for verb, words in story.answers:
            requests = await fact(asked)
            await drawn()
            for request in requests:
                seen.add(request.id)
                by = Actor(HERE, BOB if BOB in request.rules.reviewers.users else ALICE)
                chosen = (words,) if verb is Verb.CHOOSE else ()
                name = AttemptId(f"a{request.id}")
                attempt = Attempt(name, by, verb, request.digest, "" if chosen else words, chosen=chosen)
                await usecases.decide(store, Silent(), request.id, attempt)
        run = await house.over()
        assert run.status is Status.FINISHED, run.result
        await drawn()
