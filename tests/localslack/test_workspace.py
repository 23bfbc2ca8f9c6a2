"""Messages, threads, files, people and response URLs as slack-sdk sees them."""

from typing import Any

import aiohttp
import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack, text_of
from localslack.errors import CannotDo
from localslack.person import WrongAnswer
from localslack.rate_limits import RateLimits
from localslack.text import posted, typed
from tests.localslack.slack_cases import CARD, Connect, Json, actions, button, client_of, modal, plain, section


async def test_text_update_removes_blocks_and_keeps_metadata(slack: LocalSlack, client: AsyncWebClient) -> None:
    metadata = {"event_type": "request", "event_payload": {"id": "r-1"}}
    posted = await client.chat_postMessage(channel="#general", text="card", blocks=CARD, metadata=metadata)
    await client.chat_update(channel=posted["channel"], ts=posted["ts"], text="settled")
    plain = (await client.conversations_history(channel="C0GENERAL"))["messages"][0]
    assert plain["text"] == "settled" and "blocks" not in plain and "metadata" not in plain
    full = await client.conversations_history(channel="C0GENERAL", include_all_metadata=True)
    assert full["messages"][0]["metadata"] == metadata
    assert full["messages"][0]["edited"]["user"] == "U0BOT"


async def test_history_is_paged_and_excludes_thread_replies(slack: LocalSlack, client: AsyncWebClient) -> None:
    slack.server.api._limits = RateLimits({"*": 1e6}, slack.config.clock)  # it posts faster than anybody may
    stamps = [(await client.chat_postMessage(channel="#general", text=str(n)))["ts"] for n in range(5)]
    for reply in ("a", "b"):
        await client.chat_postMessage(channel="#general", text=reply, thread_ts=stamps[0])
    seen: list[str] = []
    async for page in await client.conversations_history(channel="C0GENERAL", limit=2):
        seen += [message["text"] for message in page["messages"]]
    assert seen == ["4", "3", "2", "1", "0"]
    between: Json = {"channel": "C0GENERAL", "oldest": stamps[1], "latest": stamps[3]}
    inside = await client.conversations_history(**between)
    assert [message["text"] for message in inside["messages"]] == ["2"]
    inside = await client.conversations_history(**between, inclusive=True)
    assert [message["text"] for message in inside["messages"]] == ["3", "2", "1"]
    thread = await client.conversations_replies(channel="C0GENERAL", ts=stamps[0])
    assert [message["text"] for message in thread["messages"]] == ["0", "a", "b"]
    assert thread["messages"][0]["reply_count"] == 2
    assert [m.text for m in slack.channel("#general").thread(stamps[0])] == ["0", "a", "b"]
    await client.chat_delete(channel="C0GENERAL", ts=thread["messages"][1]["ts"])
    assert [m.text for m in slack.channel("#general").thread(stamps[0])] == ["0", "b"]
    link = await client.chat_getPermalink(channel="C0GENERAL", message_ts=stamps[0])
    assert link["permalink"].endswith(f"/archives/C0GENERAL/p{stamps[0].replace('.', '')}")


async def test_people_delete_messages_and_archive_channels(slack: LocalSlack, client: AsyncWebClient) -> None:
    """What had replies leaves a tombstone; an archived channel puts its apps out."""
    alice, bob = slack.user("alice"), slack.user("bob")
    metadata = {"event_type": "request", "event_payload": {"id": "r-1"}}
    for text in ("alone", "with a reply"):
        await client.chat_postMessage(channel="C0GENERAL", text=text, metadata=metadata)
    alone, parent = slack.channel("#general").messages
    await bob.say("why?", channel="#general", thread=parent.ts)
    with pytest.raises(CannotDo, match="only their own"):
        bob.delete(alone)
    alice.delete(alone)
    alice.delete(parent)
    (left,) = (await client.conversations_history(channel="C0GENERAL", include_all_metadata=True))["messages"]
    assert (left["ts"], left["subtype"], left["user"]) == (parent.ts, "tombstone", "USLACKBOT")
    assert "metadata" not in left and "bot_id" not in left
    with pytest.raises(SlackApiError, match="message_not_found"):
        await client.chat_update(channel="C0GENERAL", ts=parent.ts, text="settled")
    with pytest.raises(CannotDo, match="not there any more"):
        alice.delete(parent)
    alice.archive("#general")
    assert (await client.conversations_info(channel="C0GENERAL"))["channel"]["is_archived"]
    with pytest.raises(SlackApiError, match="not_in_channel"):
        await client.conversations_history(channel="C0GENERAL")


async def test_timestamps_are_unique_per_channel(session: aiohttp.ClientSession) -> None:
    async with LocalSlack(wall_clock=lambda: 1_700_000_000.0) as slack:
        client = client_of(slack, session)
        posts = [("#general", "1"), ("#general", "2"), ("#approvals", "3")]
        stamps = [(await client.chat_postMessage(channel=where, text=text))["ts"] for where, text in posts]
    assert stamps == ["1700000000.000000", "1700000000.000001", "1700000000.000000"]


async def test_files_upload_v2_works_unchanged(
    slack: LocalSlack, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    parent = await client.chat_postMessage(channel="C0APPROVALS", text="card")
    done = await client.files_upload_v2(
        channel="C0APPROVALS", thread_ts=parent["ts"], content="all of it", filename="all.txt", title="All"
    )
    message = await slack.wait_message("#approvals", lambda m: m.files, thread=parent["ts"])
    assert message.files[0].content == b"all of it" and text_of(message).endswith("[file All]")
    info = (await client.files_info(file=done["file"]["id"]))["file"]
    async with session.get(info["url_private"]) as answer:
        assert await answer.text() == "all of it"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_localslack_has_every_kind_of_person(slack: LocalSlack, client: AsyncWebClient) -> None:
    async def flags(user: str) -> set[str]:
        shown = (await client.users_info(user=user))["user"]
        return {name for name in shown if name.startswith(("is_", "deleted")) and shown[name]}

    assert await flags("U0ALICE") == {"is_admin"}
    assert await flags("U0GRETA") == {"is_restricted"}
    assert await flags("U0DORA") == {"deleted"}
    assert await flags("U0SAM") == {"is_stranger"}
    assert await flags("U0BOT") == {"is_bot"}
    assert (await client.usergroups_users_list(usergroup="S0REVIEWERS"))["users"] == ["U0BOB", "U0CAROL"]
    slack.workspace.users["U0BOB"].deleted = True
    assert (await client.usergroups_users_list(usergroup="S0REVIEWERS"))["users"] == ["U0CAROL"]
    groups = (await client.usergroups_list(include_users=True))["usergroups"]
    assert groups[0]["handle"] == "reviewers"
    assert {user["id"] for user in (await client.users_list())["members"]} >= {"U0ALICE", "U0DORA"}


async def test_channels_are_joined_listed_and_opened(slack: LocalSlack, client: AsyncWebClient) -> None:
    names = [room["name"] for room in (await client.conversations_list())["channels"]]
    assert names == ["general", "approvals", "random"]
    assert not (await client.conversations_info(channel="C0RANDOM"))["channel"]["is_member"]
    await client.conversations_join(channel="C0RANDOM")
    await client.chat_postMessage(channel="#random", text="here")
    mine = (await client.users_conversations())["channels"]
    assert [room["id"] for room in mine] == ["C0GENERAL", "C0APPROVALS", "C0RANDOM"]
    assert "U0BOT" in (await client.conversations_members(channel="C0RANDOM"))["members"]
    direct = (await client.conversations_open(users="U0BOB"))["channel"]["id"]
    assert (await client.chat_postMessage(channel="U0BOB", text="psst"))["channel"] == direct


async def test_same_reaction_counts_once(slack: LocalSlack, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel="#general", text="done")
    await client.reactions_add(channel="C0GENERAL", timestamp=posted["ts"], name="eyes")
    with pytest.raises(SlackApiError, match="already_reacted"):
        await client.reactions_add(channel="C0GENERAL", timestamp=posted["ts"], name="eyes")
    assert slack.channel("#general").messages[0].reactions == [{"name": "eyes", "users": ["U0BOT"], "count": 1}]


async def test_response_url_works_five_times_within_its_time(session: aiohttp.ClientSession) -> None:
    now = [0.0]
    async with LocalSlack(clock=lambda: now[0]) as slack:
        url = f"{slack.url}/actions/{slack.platform.response_urls.issue('C0GENERAL', 'U0BOB')}"
        for number in range(5):
            async with session.post(url, json={"text": str(number)}) as answer:
                assert await answer.json() == {"ok": True}
        async with session.post(url, json={"text": "six"}) as answer:
            assert (answer.status, await answer.text()) == (404, "used_url")
        old = f"{slack.url}/actions/{slack.platform.response_urls.issue('C0GENERAL', 'U0BOB')}"
        async with session.post(old, json={"blocks": [{"type": "odd"}]}) as answer:
            assert (answer.status, await answer.text()) == (400, "invalid_blocks")
        now[0] += 30 * 60
        async with session.post(old, json={"text": "late"}) as answer:
            assert (answer.status, await answer.text()) == (404, "expired_url")
        assert [m.text for m in slack.user("bob").ephemerals] == list("01234")


async def test_response_url_replaces_and_deletes_the_clicked_message(
    slack: LocalSlack, bolt: AsyncApp, client: AsyncWebClient, connect: Connect
) -> None:
    @bolt.action("replace")
    async def replace(ack: Any, respond: Any) -> None:
        await ack()
        await respond(text="replaced", replace_original=True)

    @bolt.action("delete")
    async def delete(ack: Any, respond: Any) -> None:
        await ack()
        await respond(delete_original=True)

    await connect(bolt)
    blocks = [section("?"), actions(button("Replace", "replace"), button("Delete", "delete"))]
    bob = slack.user("bob")
    for _ in range(2):
        await client.chat_postEphemeral(channel="C0GENERAL", user=bob.id, text="?", blocks=blocks)
        await client.chat_postMessage(channel="C0GENERAL", text="?", blocks=blocks)
    await bob.click(bob.ephemerals[0], "Replace")
    await slack.wait_for(lambda _: bob.ephemerals[0].text == "replaced")
    await bob.click(bob.ephemerals[1], "Delete")
    await slack.wait_for(lambda _: len(bob.ephemerals) == 1)
    first, second = slack.channel("#general").messages
    await bob.click(first, "Replace")
    await slack.wait_message("#general", lambda m: m.text == "replaced" and m.ts == first.ts)
    await bob.click(second, "Delete")
    await slack.wait_for(lambda _: len(slack.channel("#general").messages) == 1)
    assert slack.user("carol").ephemerals == []


def test_typed_text_is_sent_as_slack_formats_it(slack: LocalSlack) -> None:
    text = "@bob, @reviewers & @nobody in #general: <b> https://x.test/?a=1&b=2 <@U0CAROL> me@bob.test"
    assert typed(text, slack.workspace) == (
        "<@U0BOB|bob>, <!subteam^S0REVIEWERS|@reviewers> &amp; @nobody in <#C0GENERAL|general>: &lt;b&gt; "
        "<https://x.test/?a=1&amp;b=2> <@U0CAROL> me@bob.test"
    )
    assert typed("@bob & co", slack.workspace, names=False) == "@bob & co"
    assert posted(text, slack.workspace).startswith("<@U0BOB>, <!subteam^S0REVIEWERS> &amp; @nobody in <#C0GENERAL>:")


async def test_messages_reach_a_subscribed_app(session: aiohttp.ClientSession) -> None:
    events = frozenset({"message.channels", "app_mention", "member_joined_channel"})
    async with LocalSlack(bot_events=events, time_scale=0.0, ack_seconds=0.01) as slack:
        await slack.user("alice").say("hello @countersign", "#general")
        await slack.user("alice").say("unheard", "#random")
        slack.invite("U0SAM", "#general")
        await slack.wait_for(lambda _: len(slack.deliveries) >= 3)
        kinds = {payload["event"]["type"] for _, payload in slack.deliveries}
        assert kinds == {"message", "app_mention", "member_joined_channel"}


async def test_failed_wait_reports_what_was_there_instead(slack: LocalSlack, client: AsyncWebClient) -> None:
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel="#random", text="no")
    await client.chat_postMessage(channel="#general", text="something else")
    with pytest.raises(TimeoutError, match=r"(?s)something else.*not_in_channel"):
        await slack.wait_message("#general", lambda m: m.text == "never", timeout=0.01)


async def test_wrong_answer_fails_the_waiting_test_immediately(
    slack: LocalSlack, bolt: AsyncApp, client: AsyncWebClient, connect: Connect
) -> None:
    """R34, R49: patience is for answers that have not come; this one has, and says something else."""

    @bolt.command("/approvals")
    async def refuse(ack: Any, respond: Any) -> None:
        await ack()
        await respond(text="You may not.")

    @bolt.command("/agent")
    async def open_window(ack: Any, body: Json) -> None:
        await ack()
        small = await client.views_open(trigger_id=body["trigger_id"], view=modal(title=plain("One moment")))
        await client.views_update(view_id=small["view"]["id"], view=modal(title=plain("Start a task")))

    @bolt.action("go")
    async def refuse_in_thread(ack: Any, body: Json) -> None:
        await ack()
        thread = body["container"]["thread_ts"]
        await client.chat_postEphemeral(
            channel="C0GENERAL", user=body["user"]["id"], text="Too late.", thread_ts=thread
        )

    await connect(bolt)
    bob = slack.user("bob")
    await bob.command("/approvals show")
    for waiting in (bob.wait_ephemeral("Done"), bob.wait_modal("Done")):
        with pytest.raises(WrongAnswer, match=r"bob awaits a .* with 'Done', and was answered 'You may not.'"):
            await waiting
    assert (await bob.wait_ephemeral("may not")).text == "You may not."
    await bob.command("/agent")
    assert (await bob.wait_modal("Start a task")).title == "Start a task"
    for waiting in (bob.wait_ephemeral("Done"), bob.wait_modal("Done")):
        with pytest.raises(WrongAnswer, match=r"'Done', and was answered a modal 'Start a task"):
            await waiting
    root = await client.chat_postMessage(channel="C0GENERAL", text="root")
    await client.chat_postMessage(
        channel="C0GENERAL", text="?", blocks=[actions(button("Go", "go"))], thread_ts=root["ts"]
    )
    await bob.click(slack.channel("#general").thread(root["ts"])[-1], "Go")
    with pytest.raises(WrongAnswer, match="Too late"):
        await bob.wait_ephemeral("Done")
