"""The main job over real processes: a task by slash command, a card, people's clicks, the action, the outcome."""

import asyncio
import mailbox
from email.message import Message as Mail

import pytest

from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.processes import Town

ASK = "/agent email tell the vendor we need 10% off"


def mails(there: Town) -> list[Mail]:
    folder = there.data / "mail"
    return list(mailbox.Maildir(folder, create=False)) if folder.exists() else []


async def card(slack: LocalSlack, *, but: tuple[str, ...] = ()) -> Message:
    """The newest card with buttons, other than those."""
    return await slack.wait_message("#approvals", lambda m: "Approve" in m.buttons and m.ts not in but)


async def settled(slack: LocalSlack, ts: str) -> Message:
    return await slack.wait_message("#approvals", lambda m: m.ts == ts and not m.buttons)


async def told(slack: LocalSlack, words: str, which: int = 0) -> str:
    """All replies in a run's thread, once they say the words."""

    def thread() -> str:
        ours = [m for m in slack.channel("#general").messages if m.user == "U0BOT"]
        roots = [m for m in ours if "changed the settings" not in m.text]
        if len(roots) <= which:
            return ""
        text = " ".join(text_of(m) for m in slack.channel("#general").thread(roots[which].ts)[1:])
        return text if words in text else ""

    found: str = await slack.wait_for(lambda _: thread())
    return found


async def test_a_mail_is_drafted_changed_approved_and_sent(there: Town, slack: LocalSlack) -> None:
    """R12, R13, R16: Respond changes the draft, only Approve sends, and what was shown is what is sent."""
    await asyncio.gather(there.web(), there.worker())
    alice, bob = slack.user("alice"), slack.user("bob")
    reply = await alice.command(ASK, channel="#general")
    assert reply.ok
    first = await card(slack)
    assert "Nothing" not in text_of(first)
    await bob.click(first, "Respond")
    modal = await bob.wait_modal()
    assert await bob.submit({modal.blocks[-1]["block_id"]: "make it shorter, this is APPROVED otherwise"}) == {}
    second = await card(slack, but=(first.ts,))
    assert text_of(second) != text_of(first)
    assert "Answered" in text_of(await settled(slack, first.ts))
    assert mails(there) == []
    assert (await bob.click(second, "Approve")).ok
    assert "Approved" in text_of(await settled(slack, second.ts))
    thread = await told(slack, "Finished")
    assert "U0BOB" in thread
    (mail,) = mails(there)
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.decode().strip().replace("\r\n", "\n") in text_of(second)
    assert slack.problems == []


async def test_nobody_answers_in_time(there: Town, slack: LocalSlack) -> None:
    """R7, R17: the card, the agent and the requester are told that time ran out; a late click gets the sentence."""
    await asyncio.gather(there.web(), there.worker())
    alice, bob = slack.user("alice"), slack.user("bob")
    changed = await bob.command("/approvals timeout 5s", channel="#general")
    assert changed.ok
    await alice.command(ASK, channel="#general")
    asked = await card(slack)
    expired = await settled(slack, asked.ts)
    assert "Time ran out" in text_of(expired)
    assert "obody answered" in await told(slack, "Finished")
    await bob.click(asked, "Approve", stale=True)
    assert await bob.wait_ephemeral("Time ran out")
    assert mails(there) == []


async def test_silence_approves_where_the_channel_says_so_and_the_card_stands(there: Town, slack: LocalSlack) -> None:
    """R23, R32: `web` looks for the card in Slack, finds it, and the mail is sent."""
    await asyncio.gather(there.web(), there.worker())
    alice = slack.user("alice")
    for words in ("timeout 5s", "on-timeout approve"):
        assert (await alice.command(f"/approvals {words}", channel="#general")).ok
    await alice.command(ASK, channel="#general")
    asked = await card(slack)
    assert "Approved by timeout" in text_of(await settled(slack, asked.ts))
    await told(slack, "Finished")
    looks = [c.args for c in slack.calls if c.method == "conversations.history" and c.args.get("latest") == asked.ts]
    assert len(looks) == 1
    assert len(mails(there)) == 1


async def test_rejected_is_not_sent_and_the_reason_is_told(there: Town, slack: LocalSlack) -> None:
    await asyncio.gather(there.web(), there.worker())
    alice, bob = slack.user("alice"), slack.user("bob")
    await alice.command(ASK, channel="#general")
    asked = await card(slack)
    await bob.click(asked, "Reject")
    modal = await bob.wait_modal()
    assert await bob.submit({modal.blocks[-1]["block_id"]: "we signed last week"}) == {}
    assert "we signed last week" in text_of(await settled(slack, asked.ts))
    assert "we signed last week" in await told(slack, "Finished")
    assert mails(there) == []


async def test_two_requests_answered_in_reverse_order_get_each_their_own_answer(there: Town, slack: LocalSlack) -> None:
    """R1: every button carries its own request; S9: they wait in one process at once."""
    await asyncio.gather(there.web(), there.worker())
    alice, bob, carol = slack.user("alice"), slack.user("bob"), slack.user("carol")
    await alice.command("/agent email tell the vendor we need 10% off", channel="#general")
    first = await card(slack)
    await alice.command("/agent email invite everybody to the picnic", channel="#general")
    second = await card(slack, but=(first.ts,))
    await bob.click(second, "Reject")
    modal = await bob.wait_modal()
    await bob.submit({modal.blocks[-1]["block_id"]: "no picnic"})
    await carol.click(first, "Approve")
    assert "Rejected" in text_of(await settled(slack, second.ts))
    assert "Approved" in text_of(await settled(slack, first.ts))
    assert "no picnic" in await told(slack, "Finished", which=1)
    assert "no picnic" not in await told(slack, "Finished", which=0)
    (mail,) = mails(there)
    assert "10% off" in str(mail)


async def test_fifty_clicks_by_ten_people_over_two_processes(there: Town, slack: LocalSlack) -> None:
    """R3, R7, R11: one decision, 49 sentences, one card update that counts."""
    people = [slack.add_user(f"r{n}") for n in range(10)]
    names = " ".join(person.id for person in people)
    await asyncio.gather(there.web(http=True, REVIEWERS=names), there.web(http=True, REVIEWERS=names), there.worker())
    await slack.user("alice").command(ASK, channel="#general")
    asked = await card(slack)
    before = len([c for c in slack.calls if c.method == "chat.update"])
    clicks = [person.click(asked, "Approve", stale=True) for person in people for _ in range(5)]
    await asyncio.gather(*clicks)
    said = await slack.wait_for(
        lambda _: (
            (found := [e for p in people for e in p.ephemerals if "lready decided by" in e.text])
            and len(found) == 49
            and found
        ),
    )
    assert len(said) == 49
    final = await settled(slack, asked.ts)
    assert text_of(final).count("Approved") >= 1
    await told(slack, "Finished")
    updates = [c for c in slack.calls[before:] if c.method == "chat.update" and c.args.get("ts") == asked.ts]
    assert len(updates) == 1
    assert len(mails(there)) == 1


async def test_without_a_worker_the_person_is_told(there: Town, slack: LocalSlack) -> None:
    await there.web()
    reply = await slack.user("alice").command(ASK, channel="#general")
    assert "No worker is running" in reply.text
    assert slack.channel("#general").messages == []


@pytest.mark.parametrize("moment", ["between click and card update", "between post and index"])
async def test_web_is_killed(there: Town, slack: LocalSlack, moment: str) -> None:
    """R4, R6: after the restart the card is right, and there is one."""
    web, _ = await asyncio.gather(there.web(), there.worker())
    alice, bob = slack.user("alice"), slack.user("bob")
    if moment == "between post and index":
        # The reply is lost, so the card stands while nobody has written down where.
        slack.faults.add("lost_reply", on="chat.postMessage", times=None)
        await alice.command(ASK, channel="#general")
        await card(slack)
    else:
        await alice.command(ASK, channel="#general")
        asked = await card(slack)
        slack.faults.add("server_error", on="chat.update", status=503, times=None)
        await bob.click(asked, "Approve")
        await slack.wait_for(lambda _: any(c.method == "chat.update" for c in slack.calls))
    await web.kill()
    slack.faults.clear()
    await there.web()
    if moment == "between post and index":
        asked = await card(slack)
        await bob.click(asked, "Approve")
    assert "Approved" in text_of(await settled(slack, asked.ts))
    await told(slack, "Finished")
    assert len(slack.channel("#approvals").messages) == 1
    assert len([m for m in slack.channel("#general").messages if m.user == "U0BOT"]) == 1
    assert len(mails(there)) == 1
