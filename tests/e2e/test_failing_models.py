"""A worker with models over HTTP: what people in Slack see of the one that failed and of the one that writes."""

import asyncio

from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.autogen.asking import component, written
from tests.openai_server import Fails, OpenAIServer, Says
from tests.processes import Town


async def test_a_model_that_fails_is_replaced_and_the_thread_shows_the_text_coming_and_what_it_took(
    there: Town, slack: LocalSlack, openai: OpenAIServer
) -> None:
    """R15: the text of a model is data in the thread too, also before it is finished."""
    enough = asyncio.Event()
    openai.will("first", Fails(429, retry_after="60"))
    openai.will(
        "second", Says(f"To: vendor@example.com\nSubject: Ten percent\n\nDear{' <!channel>' * 500}", until=enough)
    )
    models = [component(openai, "first"), component(openai, "second")]
    config = str(written(there.data, models))
    await asyncio.gather(there.web(), there.worker(MODEL_CONFIG=config))
    alice, bob = slack.user("alice"), slack.user("bob")
    await alice.command("/agent email tell the vendor we need 10% off", channel="#general")

    def replies() -> list[Message]:
        roots = [m for m in slack.channel("#general").messages if m.user == "U0BOT"]
        return slack.channel("#general").thread(roots[0].ts)[1:] if roots else []

    async def reply(words: str) -> str:
        def said() -> str:
            return next((text_of(m) for m in replies() if words in text_of(m)), "")

        found: str = await slack.wait_for(lambda _: said())
        return found

    assert "<!channel>" in await reply("drafter is writing …")
    enough.set()
    card = await slack.wait_message("#approvals", lambda m: "Review…" in m.buttons)
    assert (await bob.click(card, "Review…")).ok
    await bob.wait_modal()
    assert await bob.submit() == {}
    outcome = await reply("Finished")
    assert "Tokens: 7 in, 2 out · 1 model call" in outcome
    assert "Answered by second (1×)" in outcome
    assert "1× first has no room for more requests now (HTTP 429), so another model was asked" in outcome
    assert not [m for m in replies() if "is writing" in text_of(m)]
    assert openai.models() == ["first", "second"]
    assert slack.problems == []
