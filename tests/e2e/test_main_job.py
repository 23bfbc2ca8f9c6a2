"""The main job over real processes: a task by slash command, a card, people's clicks, the action, the outcome."""

import asyncio
import mailbox
import re
from collections import Counter
from email.message import Message as Mail

import pytest

from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.processes import Deployment
from tests.slack.socket_bot import confirm_loosening

ASK = "/agent email tell the vendor we need 10% off"


def mails(there: Deployment) -> list[Mail]:
    folder = there.data / "mail"
    return list(mailbox.Maildir(folder, create=False)) if folder.exists() else []


async def card(slack: LocalSlack, *, but: tuple[str, ...] = ()) -> Message:
    """The newest card with buttons, other than those."""
    return await slack.wait_message("#approvals", lambda m: "Approve" in m.buttons and m.ts not in but)


async def settled(slack: LocalSlack, ts: str) -> Message:
    return await slack.wait_message("#approvals", lambda m: m.ts == ts and not set(m.buttons) - {"Details"})


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


async def test_task_is_started_in_a_window_and_stopped(there: Deployment, slack: LocalSlack) -> None:
    """The window shows the options that a real worker announces; the run is parked when it is stopped."""
    await asyncio.gather(there.web(), there.worker(PARK_AFTER="0s"))
    alice = slack.user("alice")
    await alice.command("/agent", channel="#general")
    await alice.click(await alice.wait_modal("Start a task"), "team", choose="chat")
    await alice.wait_modal("When people are asked")
    assert await alice.submit({"When people are asked": "adaptive", "task": "look around; delete the list"}) == {}
    head = await slack.wait_message("#general", lambda m: "look around" in text_of(m))
    asked = await slack.wait_message("#general", lambda m: "Reply" in m.buttons, thread=head.ts)
    assert "Step 2 of 2: delete the list" in text_of(asked)
    assert "Step 1 of 2" not in text_of(asked)
    [run] = re.findall(r"\br\w{8}\b", (await alice.command("/agent status", channel="#general")).text)
    await alice.command(f"/agent stop {run}", channel="#general")
    await slack.wait_message("#general", lambda m: m.ts == asked.ts and "Reply" not in m.buttons, thread=head.ts)


async def test_silence_approves_when_the_channel_allows_it(there: Deployment, slack: LocalSlack) -> None:
    """R23, R32: `web` looks for the card in Slack, finds it, and the mail is sent."""
    await asyncio.gather(there.web(), there.worker())
    alice = slack.user("alice")
    assert (await alice.command("/approvals timeout 5s", channel="#general")).ok
    assert (await alice.command("/approvals on-timeout approve", channel="#general")).ok
    assert (await confirm_loosening(alice)).startswith("Saved.")
    await alice.command(ASK, channel="#general")
    asked = await card(slack)
    assert "Approved by timeout" in text_of(await settled(slack, asked.ts))
    await told(slack, "Put in a folder")
    looks = [c.args for c in slack.calls if c.method == "conversations.history" and c.args.get("latest") == asked.ts]
    assert len(looks) == 1
    assert len(mails(there)) == 1


async def test_fifty_clicks_by_ten_people_decide_once(there: Deployment, slack: LocalSlack) -> None:
    """R3, R7, R11: one decision, 49 sentences, and the card is settled once by each process."""
    people = [slack.add_user(f"r{n}") for n in range(10)]
    names = " ".join(person.id for person in people)
    await asyncio.gather(there.web(http=True, REVIEWERS=names), there.web(http=True, REVIEWERS=names), there.worker())
    await slack.user("alice").command(ASK, channel="#general")
    asked = await card(slack)
    before = len(slack.calls)
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
    await told(slack, "Put in a folder")
    calls = [c for c in slack.calls[before:] if "Approved" in repr(c.args.get("blocks"))]
    # The card says that it was approved, and then what came of it.
    replaced = Counter(text_of(c.args) for c in calls if c.method == "response_url" and c.args.get("replace_original"))
    updated = Counter(text_of(c.args) for c in calls if c.method == "chat.update" and c.args["ts"] == asked.ts)
    assert replaced
    assert max(replaced.values()) <= 2, "by each process that took clicks, however many it took"
    assert max(updated.values(), default=0) <= 1, "and by the projector, if it was told that nobody else is going to"
    assert len(mails(there)) == 1


@pytest.mark.parametrize("moment", ["between click and card update", "between post and index"])
async def test_killed_web_restarts_with_one_correct_card(there: Deployment, slack: LocalSlack, moment: str) -> None:
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
    await told(slack, "Put in a folder")
    assert len(slack.channel("#approvals").messages) == 1
    assert len([m for m in slack.channel("#general").messages if m.user == "U0BOT"]) == 1
    assert len(mails(there)) == 1
