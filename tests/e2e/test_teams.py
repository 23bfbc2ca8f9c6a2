"""Each of the teams over real processes, from the slash command to what it leaves behind."""

import asyncio

from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.processes import Town


class Playing:
    """One run; a word of its own finds its thread, and cards are told apart by their words."""

    def __init__(self, slack: LocalSlack, word: str) -> None:
        self.slack = slack
        self.word = word
        self.bob = slack.user("bob")
        self.seen: set[str] = set()

    async def start(self, command: str) -> None:
        reply = await self.slack.user("alice").command(command)
        assert reply.ok, reply

    async def card(self, *words: str) -> Message:
        """Its next card, which has these words."""

        def next_one(message: Message) -> bool:
            text = text_of(message)
            return bool(message.buttons) and message.ts not in self.seen and all(word in text for word in words)

        found = await self.slack.wait_message("#approvals", next_one, timeout=25)
        self.seen.add(found.ts)
        return found

    async def approve(self, *words: str) -> Message:
        """Approves its next card, in the full view if the card does not show all."""
        asked = await self.card(*words)
        if "Approve" in asked.buttons:
            assert (await self.bob.click(asked, "Approve")).ok
        else:
            assert (await self.bob.click(asked, "Review…")).ok
            await self.bob.submit(view=await self.bob.wait_modal())
        assert "Approved" in text_of(await self.settled(asked))
        return asked

    async def settled(self, asked: Message) -> Message:
        def found(message: Message) -> bool:
            return message.ts == asked.ts and "Respond" not in message.buttons

        return await self.slack.wait_message("#approvals", found, timeout=25)

    async def respond(self, words: str, *shows: str) -> None:
        asked = await self.card(*shows)
        await self.bob.click(asked, "Respond")
        modal = await self.bob.wait_modal()
        assert await self.bob.submit({modal.blocks[-1]["block_id"]: words}) == {}
        assert "Answered" in text_of(await self.settled(asked))

    async def ends(self, *words: str) -> None:
        """Its thread says so."""

        def thread() -> str:
            room = self.slack.channel("#general")
            roots = [m for m in room.messages if m.user == "U0BOT" and self.word in text_of(m)]
            said = " ".join(text_of(m) for root in roots for m in room.thread(root.ts)[1:])
            return said if "Finished" in said and all(word in said for word in words) else ""

        await self.slack.wait_for(lambda _: thread(), timeout=25, what=f"the end of {self.word}")


async def test_every_team_from_its_command_to_what_it_leaves_behind(there: Town, slack: LocalSlack) -> None:
    """S6, S8, S10, S14, S17, S18, S20: four teams at once, each with its kinds of cards."""
    await asyncio.gather(there.web(), there.worker(DOCKER_HOST="tcp://127.0.0.1:1"))

    async def deploy() -> None:
        play = Playing(slack, "deploy shop 2.1")
        await play.start("/agent deploy deploy shop 2.1 to staging")
        await play.respond("skip the announcement", "planner", "3. announce")
        await play.approve("planner", "2. release shop 2.1 staging", "PROCEED")
        await play.approve("operator", "release")
        await play.ends("The plan was carried out. Steps done: run_tests, release.")

    async def code() -> None:
        play = Playing(slack, "add up 3, 4 and 35")
        await play.start("/agent code add up 3, 4 and 35")
        await play.approve("coder", "sum(thing)", "without a sandbox")
        await play.approve("coder", "sum(things)")
        await play.ends("The code was approved and ran.", "42")

    async def research() -> None:
        play = Playing(slack, "what is tea made from")
        await play.start("/agent research what is tea made from")
        await play.approve("Sign off this report?", "[example.md]", "The critic:")
        await play.ends("Signed off. The report was kept")

    async def support() -> None:
        play = Playing(slack, "order 17 came broken")
        await play.start("/agent support order 17 came broken, pay it back")
        await play.approve("clerk", "Pay back: 45.00 EUR", "More than 20.00 EUR")
        await play.approve("clerk", "To: carla@example.com")
        await play.ends("45.00 EUR of order 17 were paid back", "Ticket 1 was opened.")

    await asyncio.gather(deploy(), code(), research(), support())
    assert (there.data / "deploy" / "log").read_text().splitlines() == [
        "run_tests shop 2.1",
        "release shop 2.1 staging",
    ]
    assert len([*(there.data / "research" / "reports").iterdir()]) == 1
    assert len([*(there.data / "mail" / "new").iterdir()]) == 1
    assert len(slack.channel("#approvals").messages) == 8
    assert slack.problems == []
