"""The email team, from the task to the mail, with a real store, the demo model and people's decisions."""

from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default

from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.domain.channel_settings import OnTimeout
from countersign.domain.requests import Verb
from countersign.domain.runs import Status
from tests.autogen.harness import RULES, House
from tests.store_fixtures import let_expire

pytest_plugins = ["tests.redis_server"]

MAIL = "To: vendor@example.com\nSubject: Discount\n\nPlease give us 10% off."
NO_MAIL = "APPROVED. Type APPROVE to send."


async def test_approved_mail_is_sent_once_as_shown(house: House) -> None:
    """R13: what was shown is what is sent."""
    await house.start()
    async with house.worker() as worker:
        worker.advance()
        first = await house.asked()
        assert first.question.agent == "drafter"
        assert first.question.title == "Send this message to vendor@example.com?"
        await house.decide(first, Verb.RESPOND, "make it shorter")
        second = await house.asked(not_this=first)
        assert len(second.question.content) < len(first.question.content)
        assert not house.mails()
        await house.decide(second, Verb.APPROVE)
        run = await house.over()
    assert run.status is Status.FINISHED
    assert (run.ended_as, [one.done for one in run.reported]) == ("Put in a folder", ["put in a folder"])
    assert "Approved." in run.result
    assert str(house.folder / "mail") in run.result
    assert run.words == f"Approved text\n\n{second.question.content}"
    [mail] = house.mails()
    sent = message_from_bytes(mail.read_bytes(), policy=default)
    headers, _, body = second.question.content.partition("\n\n")
    assert sent.get_content().replace("\r\n", "\n").rstrip("\n") == body.rstrip("\n")
    assert f"To: {sent['To']}\nSubject: {sent['Subject']}" == headers
    assert sent["Message-ID"] == f"<{second.id}.r1@example.com>"


async def test_edited_mail_is_sent_as_the_reviewer_wrote_it(house: House) -> None:
    """R13: what was asked about is not sent, and what is no mail is not either."""
    for run, text, sent in (("r1", MAIL.replace("10%", "five per cent"), 1), ("r2", NO_MAIL, 1)):
        await house.start(run)
        async with house.worker() as worker:
            worker.advance(run)
            await house.decide(await house.asked(run), Verb.EDIT, content=text)
            over = await house.over(run)
        assert len(house.mails()) == sent
        assert (over.status is Status.FINISHED) == (text is not NO_MAIL)
        [told] = over.reported  # on the card
        assert told.failed == (text is NO_MAIL) and told.words[:60] in over.result
    assert over.result.startswith("What was approved isn't an email, so nothing was sent.")
    assert "five per cent off" in house.mails()[0].read_text()


async def test_answer_saying_approved_sends_nothing(house: House) -> None:
    """R12: free text is never an approval."""
    await house.start()
    async with house.worker() as worker:
        worker.advance()
        first = await house.asked()
        await house.decide(first, Verb.RESPOND, "APPROVED, send it")
        await house.asked(not_this=first)
        assert not house.mails()


async def test_rejected_mail_is_not_sent_and_says_why(house: House) -> None:
    """The run's result has the reviewer's reason."""
    await house.start()
    async with house.worker() as worker:
        worker.advance()
        await house.decide(await house.asked(), Verb.REJECT, "not our vendor")
        run = await house.over()
    assert run.status is Status.FINISHED
    assert run.result == "Not sent: it was rejected. Reason: “not our vendor”"
    assert not house.mails()


async def test_expired_mail_is_not_reported_as_rejected(house: House) -> None:
    """R17: expired has its own words."""
    await house.store.set_defaults(replace(RULES, timeout=timedelta(seconds=0.3)))
    await house.start()
    async with house.worker() as worker, house.deadlines_kept():
        worker.advance()
        run = await house.over()
    assert run.result == "Nobody answered in time; nothing was sent."
    assert not house.mails()


async def test_mail_approved_by_timeout_says_so(house: House) -> None:
    """R23: approval by timeout is told as that, and as nobody's."""
    await house.store.set_defaults(replace(RULES, on_timeout=OnTimeout.APPROVE))
    await house.start()
    async with house.worker() as worker:
        worker.advance()
        await let_expire(house.store, await house.asked())
        run = await house.over()
    assert run.result.startswith("Approved by timeout, as this channel's settings say.")
    assert len(house.mails()) == 1


async def test_unparsable_draft_returns_to_the_drafter(house: House) -> None:
    """R13: people are asked only about a mail that can be sent."""
    await house.start()
    async with house.worker(model=ReplayChatCompletionClient([NO_MAIL, NO_MAIL, MAIL])) as worker:
        worker.advance()
        request = await house.asked()
        assert request.question.content == MAIL
        await house.decide(request, Verb.APPROVE)
        await house.over()
    assert [e["type"] for e in await house.events()].count("request_asked") == 1
    assert len(house.mails()) == 1


async def test_drafter_without_a_mail_ends_the_run_unasked(house: House) -> None:
    """The result says that nothing was sent."""
    await house.start()
    async with house.worker(model=ReplayChatCompletionClient([NO_MAIL] * 9)) as worker:
        worker.advance()
        run = await house.over()
    assert run.status is Status.FAILED
    assert run.result.startswith("The drafter was told 3 times what is wrong and still hasn't written an email")
    assert "nothing was sent" in run.result
    assert [e["type"] for e in await house.events()].count("request_asked") == 0


async def test_missing_mail_server_ends_the_run_with_the_error(house: House) -> None:
    """The run fails, and its result names the server."""
    house.smtp_url = "smtp://127.0.0.1:1"
    await house.start()
    async with house.worker() as worker:
        worker.advance()
        await house.decide(await house.asked(), Verb.APPROVE)
        run = await house.over()
    assert run.status is Status.FAILED
    assert run.result.startswith("The email was not sent: 127.0.0.1:1 says:")
