"""The support team: what is safe passes, what is not asks, what is too much is refused; one agent of three is gated."""

import asyncio
import re
import sqlite3
from contextlib import closing
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest

from agents.services.shop import Shop
from agents.teams.support import policy
from countersign.domain.actions import Action
from countersign.domain.requests import Verb
from countersign.frameworks.autogen.tools.team_policy import Proposal, Verdict
from tests.autogen.demo_runs import playing
from tests.autogen.harness import ANN, House

pytest_plugins = ["tests.redis_server"]


def rows(house: House, table: str) -> list[Any]:
    with closing(sqlite3.connect(house.folder / "support" / "shop.db")) as file:
        return file.execute(f"SELECT * FROM {table}").fetchall()


def refunds(house: House) -> list[tuple[int, int]]:
    return [(order, cents) for _, order, cents in rows(house, "refunds")]


async def test_large_refund_and_mail_ask_and_happen_when_approved(house: House) -> None:
    """S10, S14, S17, R13: the card of a mail is a mail; look-ups and tickets pass and are recorded."""
    async with playing(house, "support", "order 17 came broken, pay it back") as play:
        refund = await play.asked()
        assert (refund.question.agent, refund.question.title) == ("clerk", "Refund 45.00 EUR for order 17")
        assert refund.question.content == "Refund: 45.00 EUR\nOrder: 17"
        assert refund.question.notes == ("More than 20.00 EUR would be refunded for order 17.",)
        assert refunds(house) == []
        await play.says(Verb.APPROVE)
        mail = await play.asked()
        assert mail.question.content.startswith(
            "To: carla@example.com\nSubject: Your order 17\n\nDear Carla Customer,\n\nwe have refunded 45.00 EUR"
        )
        assert not house.mails()
        await play.says(Verb.APPROVE)
        run = await play.over()
        [path] = house.mails()
        sent = message_from_bytes(path.read_bytes(), policy=default)
        assert sent["To"] == "carla@example.com"
        body = sent.get_content().replace("\r\n", "\n")
        assert body.strip() == mail.question.content.partition("\n\n")[2].strip()
        assert run.result.startswith("Done: 45.00 EUR was refunded for order 17; 45.00 EUR in all.")
        assert run.result.endswith("Ticket 1 was opened.")
        assert (run.ended_as, [one.done for one in run.reported]) == ("Refunded", ["refunded", "put in a folder"])
        assert refunds(house) == [(17, 4500)]
        assert await play.passed() == [("look_up", ""), ("open_ticket", "Anybody can open a ticket.")]


async def test_small_refund_asks_nobody_and_is_logged(house: House) -> None:
    """S10: by a policy that is code."""
    async with playing(house, "support", "order 18 was late, pay it back") as play:
        mail = await play.asked()
        assert mail.question.title.startswith("Send this email to ")
        assert refunds(house) == [(18, 1200)]
        assert ("refund", "No more than 20.00 EUR is refunded for order 18.") in await play.passed()
        await play.says(Verb.RESPOND, "Sorry for that!")
        again = await play.asked()
        assert again.question.before == mail.question.content
        assert "Sorry for that!" in again.question.content
        await play.says(Verb.EDIT, subject="We are sorry")
        run = await play.over()
        [path] = house.mails()
        assert message_from_bytes(path.read_bytes(), policy=default)["Subject"] == "We are sorry"
        assert "Not done" not in run.result  # what was answered was done in another version


async def test_excessive_refund_is_refused_and_nobody_is_asked(house: House) -> None:
    """S10."""
    async with playing(house, "support", "order 19 is ugly, pay it back") as play:
        run = await play.over()
        no = "Not done: refund (the rules of this team do not allow it: “Only the accounts department makes "
        assert f"{no}refunds above 500.00 EUR”)." in run.result
        why = "refused: Only the accounts department makes refunds above 500.00 EUR."
        assert ("refund", why) in await play.passed()
        assert await play.audit() == []
        assert refunds(house) == []
    assert not house.mails()


@pytest.mark.parametrize(
    ("verb", "why", "event"),
    [
        (Verb.REJECT, "it was rejected", "rejected"),
        (Verb.EXPIRE, "nobody answered in time", "expired"),
    ],
)
async def test_unapproved_refund_pays_nothing(house: House, verb: Verb, why: str, event: str) -> None:
    """R17."""
    async with playing(house, "support", "order 17 came broken") as play:
        await play.asked()
        await play.says(verb)
        run = await play.over()
        assert f"Not done: refund ({why})." in run.result
        assert event in await play.audit()
    assert refunds(house) == []
    assert why in rows(house, "tickets")[0][2]


async def test_feedback_makes_another_refund_that_is_judged_again(house: House) -> None:
    async with playing(house, "support", "order 17 came broken", limit="50") as play:
        await play.asked()
        assert play.seen[0].question.title.startswith("Send this email to ")
        await play.says(Verb.REJECT)
        await play.over()
        assert refunds(house) == [(17, 4500)]


async def test_feedback_changes_the_amount_of_a_refund(house: House) -> None:
    async with playing(house, "support", "order 17 came broken") as play:
        await play.asked()
        await play.says(Verb.RESPOND, "30 will do")
        assert (await play.asked()).question.content == "Refund: 30.00 EUR\nOrder: 17"
        await play.says(Verb.APPROVE)
        await play.asked()
        await play.says(Verb.REJECT)
        await play.over()
    assert refunds(house) == [(17, 3000)]


async def test_small_refunds_cannot_add_up_to_a_large_one(house: House) -> None:
    """S10: neither one after the other, nor at once, nor with a negative one between them."""
    shop = Shop(house.folder / "shop.db")
    judge = policy(shop, 2000)

    async def tier(cents: int) -> Action:
        said = await judge(Proposal("clerk", "refund", {"order": 17, "cents": cents}, "support", "", ANN))
        assert isinstance(said, Verdict)
        return said.action

    assert sorted(await asyncio.gather(*(tier(900) for _ in range(3)))) == [Action.ALLOW, Action.ALLOW, Action.ASK]
    assert [await tier(cents) for cents in (-900, -5, 0)] == [Action.DENY] * 3
    assert await tier(900) is Action.ASK
    await shop.refund(17, 900, "a")
    assert await tier(200) is Action.ALLOW
    judge = policy(shop, 2000)
    assert await tier(1200) is Action.ASK
    assert await tier(1100) is Action.ALLOW


async def test_refund_is_paid_once_per_key_within_the_price(house: House) -> None:
    """Concurrent calls with one key pay once, and never more than the order cost."""
    shop = Shop(house.folder / "shop.db")
    paid = await asyncio.gather(*(shop.refund(18, 700, "k") for _ in range(5)))
    assert [order.refunded for order in paid] == [700] * 5
    for cents, why in ((501, "for order 18, up to 5.00 EUR can be."), (0, "0.00 EUR can't"), (-5, "-0.05 EUR can't")):
        for key in ("k", "other") if cents <= 0 else ("other",):
            with pytest.raises(ValueError, match=f"Nothing was refunded: {re.escape(why)}"):
                await shop.refund(18, cents, key)
    assert (await shop.order(18)).refunded == 700
    with pytest.raises(ValueError, match="There is no order 99"):
        await shop.refund(99, 1, "none")
    assert [await shop.ticket(18, "late", key) for key in ("a", "b", "a")] == [1, 2, 1]
