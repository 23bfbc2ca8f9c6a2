"""A call is changed in Slack before it is approved, over real processes: the tool that the team really has runs so."""

import asyncio
import sqlite3
from contextlib import closing

from localslack import LocalSlack, text_of
from tests.e2e.test_main_job import card, mails, told
from tests.processes import Deployment


async def test_edited_refund_is_paid_and_reported_as_edited(there: Deployment, slack: LocalSlack) -> None:
    """R13, R18: the tool gets the changed amount; card, thread and the model's next message say what changed."""
    await asyncio.gather(there.web(), there.worker())
    alice, bob = slack.user("alice"), slack.user("bob")
    await alice.command("/agent support order 17 came broken, pay it back", channel="#general")
    asked = await card(slack)
    assert "45.00 EUR" in text_of(asked)
    await bob.click(asked, "Edit")
    assert await bob.submit({"Cents": "3000", "Why you changed it": "the lid is fine"}, await bob.wait_modal()) == {}

    changed = await slack.wait_message("#approvals", lambda m: m.ts == asked.ts and "Approve" not in m.buttons)
    assert "Approved with changes by <@U0BOB>" in text_of(changed).replace("*", "")
    assert "Cents: 4500 → 3000" in text_of(changed)
    mail = await card(slack, but=(asked.ts,))
    assert "we have refunded 30.00 EUR" in text_of(mail)  # the model goes on with what really happened
    await bob.click(mail, "Approve")

    thread = await told(slack, "Refunded")
    assert "cents: 4500 → 3000" in thread
    assert "Done: 30.00 EUR was refunded for order 17" in thread
    assert "A reviewer changed the refund: cents: 4500 → 3000" in thread  # the model's own words
    with closing(sqlite3.connect(there.data / "support" / "shop.db")) as shop:
        assert shop.execute('SELECT "order", cents FROM refunds').fetchall() == [(17, 3000)]
    assert len(mails(there)) == 1
