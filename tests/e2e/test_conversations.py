"""The chat team over real processes, a run in each of its modes: undisturbed, and with the worker killed as it asks."""

import asyncio

import pytest

from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.e2e.test_main_job import settled
from tests.processes import Town


class Chat:
    """One conversation; its first step names its mode, so that its cards are found."""

    def __init__(self, slack: LocalSlack, mode: str) -> None:
        self.slack = slack
        self.mode = mode
        self.bob = slack.user("bob")
        self.cards: list[Message] = []

    async def start(self, replies: int = 3) -> None:
        task = f"look for {self.mode}; delete the old list of {self.mode}; invite {self.mode} Ann"
        reply = await self.slack.user("alice").command(f"/agent chat mode={self.mode} replies={replies} {task}")
        assert f"mode={self.mode} replies={replies}" in reply.text, reply

    async def card(self, words: str) -> Message:
        """Its next card, which has these words."""
        seen = {card.ts for card in self.cards}

        def next_one(message: Message) -> bool:
            return "Respond" in message.buttons and message.ts not in seen and words in text_of(message)

        self.cards.append(await self.slack.wait_message("#approvals", next_one, timeout=20))
        return self.cards[-1]

    async def respond(self, asked: Message, words: str) -> None:
        await self.bob.click(asked, "Respond")
        modal = await self.bob.wait_modal("What is said next")
        assert await self.bob.submit({modal.blocks[-1]["block_id"]: words}) == {}

    async def ends(self, words: str) -> str:
        """Everything in its thread, once it says so."""

        def thread() -> str:
            room = self.slack.channel("#general")
            roots = [m for m in room.messages if m.user == "U0BOT" and f"look for {self.mode};" in text_of(m)]
            said = " ".join(text_of(m) for root in roots for m in room.thread(root.ts)[1:])
            return said if words in said else ""

        found: str = await self.slack.wait_for(lambda _: thread(), timeout=20)
        return found


@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "worker killed"])
async def test_a_conversation_in_each_mode_that_asks(there: Town, slack: LocalSlack, kill: bool) -> None:
    """S1, S3, S4, S16, R4: each asks where its mode says so, and goes on after kill -9 as if nothing had been."""
    _, worker = await asyncio.gather(there.web(), there.worker())
    always, terminate, adaptive = (Chat(slack, mode) for mode in ("always", "terminate", "adaptive"))
    await asyncio.gather(always.start(), terminate.start(), adaptive.start())
    first = await always.card("Step 1 of 3: look for always")
    last = await terminate.card("All 3 steps are done")
    risky = await adaptive.card("Step 2 of 3: delete the old list of adaptive")
    if kill:
        await worker.kill()
        await there.worker()
    assert first.buttons == risky.buttons == ["Go on", "Respond", "Stop"]
    assert last.buttons == ["End here", "Respond"]

    await always.bob.click(first, "Go on")
    second = await always.card("Step 2 of 3: delete the old list of always")
    await always.respond(second, "buy bread always")
    third = await always.card("Step 3 of 4: buy bread always")
    await always.bob.click(third, "Stop")
    await always.bob.submit(view=await always.bob.wait_modal("Stop"))
    assert "Stopped" in text_of(await settled(slack, third.ts))
    assert "Stopped before the assistant was finished." in await always.ends("Finished")

    await terminate.respond(last, "water terminate plants")
    again = await terminate.card("All 4 steps are done")
    await terminate.bob.click(again, "End here")
    assert "Ended here" in text_of(await settled(slack, again.ts))
    thread = await terminate.ends("The assistant has finished.")
    assert thread.count("Step 1 of 3") == 1

    await adaptive.bob.click(risky, "Go on")
    await adaptive.bob.click(await adaptive.card("All 3 steps are done"), "End here")
    await adaptive.ends("The assistant has finished.")

    assert len(slack.channel("#approvals").messages) == 7
    assert slack.problems == []


async def test_never_asks_nobody(there: Town, slack: LocalSlack) -> None:
    """S2: it ends when the assistant is finished, or at the limit of replies."""
    await asyncio.gather(there.web(), there.worker())
    never = Chat(slack, "never")
    await never.start()
    assert "Step 3 of 3: invite never Ann" in await never.ends("The assistant has finished.")
    await never.start(replies=1)
    await never.ends("Ended after 1 reply in a row without a person")
    assert slack.channel("#approvals").messages == []


async def test_the_mode_is_chosen_in_the_window(there: Town, slack: LocalSlack) -> None:
    """The options that a real worker announces."""
    await asyncio.gather(there.web(), there.worker())
    alice = slack.user("alice")
    await alice.command("/agent", channel="#general")
    await alice.click(await alice.wait_modal("Start a task"), "team", choose="chat")
    await alice.wait_modal("When people are asked")
    assert await alice.submit({"When people are asked": "adaptive", "task": "look around; delete the list"}) == {}
    asked = await Chat(slack, "").card("delete the list")
    assert "look around" not in text_of(asked)
