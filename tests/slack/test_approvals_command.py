"""`/approvals`: in a window and in words, by those who may, and never so that nobody could decide."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.slack.handlers.context import Services
from countersign import usecases
from countersign.domain.channel_settings import Escalation, OnTimeout, Rules
from countersign.domain.events import EventType
from countersign.domain.ids import GroupId
from countersign.domain.people import Reviewers
from countersign.store.store import Store
from localslack import LocalSlack
from localslack.workspace import Message, User, UserGroup
from tests.sample_requests import BOB, DAVE, GENERAL
from tests.slack.socket_bot import confirm_loosening, events
from tests.slack.test_projector import running_projector


async def rules(store: Store) -> Rules:
    return await usecases.rules_of(store, GENERAL)


async def posted(slack: LocalSlack, *texts: str) -> Message:
    return await slack.wait_message("#approvals", lambda m: all(text in f"{m.text} {m.blocks}" for text in texts))


@pytest.mark.parametrize("way", ["words", "window"])
async def test_loosening_needs_two_reviewers_and_is_announced(
    slack: LocalSlack, store: Store, bot: Services, way: str
) -> None:
    """R33, R25: a reviewer alone changes nothing; another one's click does, once, and only what was shown."""
    async with running_projector(slack, store):
        bob, carol = slack.user("bob"), slack.user("carol")
        before = await rules(store)
        if way == "words":
            assert "a second reviewer must confirm it" in (await bob.command("/approvals own-requests yes")).text
        else:
            await bob.command("/approvals")
            await bob.wait_modal("Approval settings")
            assert await bob.submit({"exceptions": ["own_requests"]}) == {}
            await bob.wait_ephemeral("an admin or a second reviewer must confirm it")
        card = await posted(slack, "<@U0BOB> wants to loosen the rules", "own requests: no → yes")
        assert await rules(store) == before
        await bob.click(card, "Loosen rules")
        await bob.wait_ephemeral("You proposed this yourself")
        await slack.user("alice").command("/approvals reviewers @bob @carol")
        slack.invite("U0GRETA", "#approvals")
        await slack.user("greta").click(card, "Loosen rules")
        await slack.user("greta").wait_ephemeral("Guests")
        await carol.click(card, "Loosen rules")
        await carol.wait_ephemeral("The settings have changed since this was proposed")
        assert (await rules(store)).own_requests is False
        await bob.command("/approvals own-requests yes")
        anew = await slack.wait_message("#approvals", lambda m: "wants to loosen" in m.text and m.ts != card.ts)
        await carol.click(anew, "Loosen rules")
        await carol.wait_ephemeral("Saved.")
        assert (await rules(store)).own_requests is True
        await slack.wait_message("#approvals", lambda m: m.ts == anew.ts and not m.buttons)
        await bob.command("/approvals quorum 2")  # stricter: nobody else is needed
        await posted(
            slack, "<@U0CAROL> changed the settings of <#C0GENERAL>, as <@U0BOB> proposed", "own requests: no → yes"
        )
        await posted(slack, "<@U0BOB> changed the settings of <#C0GENERAL>", "Approvals needed: 1 → 2")
    kinds = [e.type for e in await events(store) if e.type.startswith("settings")]
    proposed, refused, changed = EventType.SETTINGS_PROPOSED, EventType.SETTINGS_REFUSED, EventType.SETTINGS_CHANGED
    assert kinds == [proposed, refused, changed, refused, refused, proposed, changed, changed]
    last = [e for e in await events(store) if e.type is changed][-2]
    assert (last.user, last.data["proposed_by"]) == ("U0CAROL", "U0BOB")
    assert (last.data["before"], last.data["after"]) == ('{"own_requests": false}', '{"own_requests": true}')


MISSING_OR_MISSPELT = [
    ("timeot 15m", "nothing was changed. Did you mean `/approvals timeout`? `/approvals help` lists them all."),
    ("colour blue", "nothing was changed. `/approvals help` lists them all."),
    ("away", "like `/approvals away @standin until 2026-12-24`, or `… for 3d`. You're not away now."),
]


async def test_mistyped_approvals_command_gets_a_sentence_of_one_line(
    slack: LocalSlack, bot: Services, subtests: pytest.Subtests
) -> None:
    """R7"""
    for words, sentence in MISSING_OR_MISSPELT:
        with subtests.test(words=words):
            told = (await slack.user("bob").command(f"/approvals {words}")).text
            assert sentence in told and "\n" not in told


async def test_settings_without_a_value_are_shown_to_all_members(slack: LocalSlack, bot: Services) -> None:
    """R7"""
    told = (await slack.user("carol").command("/approvals timeout", "#general")).text
    assert "Give a duration" in told
    told = (await slack.user("greta").command("/approvals timeout", "#general")).text
    assert "Give" not in told and "`timeout` is 1 h now." in told


@pytest.mark.parametrize("way", ["words", "window"])
async def test_admin_confirms_loosened_settings_before_they_are_saved(
    slack: LocalSlack, store: Store, bot: Services, way: str
) -> None:
    """R33: nothing is saved or on record before; what is confirmed is what was shown, on the settings it was shown for,
    and only by an admin.
    """

    async def wish() -> None:
        await dave.command("/approvals own-requests yes" if way == "words" else "/approvals")
        if way == "window":
            await dave.wait_modal("Approval settings")
            assert await dave.submit({"exceptions": ["own_requests"]}) == {}
        window = await dave.wait_modal("This loosens the rules")
        assert str(window.json).count("decide on their own requests: no → yes") == 1
        assert "Nothing has changed yet." in str(window.json)
        assert "on their own requests." not in str(window.json), "the difference says it"

    dave, before = slack.user("dave"), await rules(store)
    await wish()
    await dave.close()
    assert await rules(store) == before
    assert not [event for event in await events(store) if event.type.startswith("settings")]
    await wish()
    await slack.user("alice").command("/approvals timeout 20m")
    await dave.submit()
    await dave.wait_modal("The settings have changed since")
    await dave.close()
    assert (await rules(store)).own_requests is False
    await wish()
    assert (await confirm_loosening(dave)).startswith("Saved.")
    assert (await rules(store)) == replace(before, own_requests=True, timeout=timedelta(minutes=20))
    last = [event for event in await events(store) if event.type is EventType.SETTINGS_CHANGED][-1]
    assert last.user == "U0DAVE" and "proposed_by" not in last.data


async def test_former_admin_cannot_confirm_loosened_settings(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R33: the right is judged again when it is confirmed."""
    bob = slack.user("bob")
    slack.workspace.users["U0BOB"].is_admin = True
    await bob.command("/approvals own-requests yes")
    await bob.wait_modal("This loosens the rules")
    slack.workspace.users["U0BOB"].is_admin = False
    bot.directory.lookups.forget()
    await bob.submit()
    await bob.wait_modal("an admin or another reviewer must confirm it")
    assert (await rules(store)).own_requests is False


async def test_approvals_command_sets_every_setting(slack: LocalSlack, store: Store, bot: Services) -> None:
    alice = slack.user("alice")
    for words in (
        "timeout 15m",
        "timeout 15 min",
        "on-timeout wait",
        "channel #general",
        "reviewers @bob, @dave @reviewers",
        "quorum 2",
        "own-requests yes",
    ):
        reply = (await alice.command(f"/approvals {words}")).text or await confirm_loosening(alice)
        assert reply.startswith("Saved."), reply
    now = await rules(store)
    assert (now.timeout, now.on_timeout, now.approvals_channel) == (timedelta(minutes=15), OnTimeout.WAIT, GENERAL)
    assert now.reviewers == Reviewers(frozenset({BOB, DAVE}), frozenset({GroupId("S0REVIEWERS")}))
    assert (now.quorum, now.own_requests) == (2, True)
    shown = (await alice.command("/approvals show")).text
    assert "<@U0DAVE>" in shown and "2 approvals" in shown and "no deadline" in shown


NONSENSE = [
    ("timeout soon", "is not a duration"),
    ("timeout -5m", "is not a duration"),
    ("timeout 0", "is not a duration"),
    ("timeout 0s", "is out of range"),
    ("timeout 99999d", "is out of range"),
    ("on-timeout escalate", "isn't one of"),
    ("quorum 0", "must be 1 or more"),
    ("quorum two", "isn't a whole number"),
    ("quorum 3", "only 2 may approve"),
    ("own-requests maybe", "isn't `yes` or `no`"),
    ("reviewers everybody", "isn't a person or a user group"),
    ("reviewers ,", "Nobody would be allowed"),
    ("reviewers @greta", "is a guest"),
    ("reviewers @dora", "left"),
    ("reviewers @sam", "isn't a member of this workspace"),
    ("reviewers @erin", "isn't a member of this workspace"),
    ("reviewers <@U0BOT>", "is a bot"),
    ("reviewers U0NOBODY", "isn't a member of this workspace"),
    ("reviewers S0NOTHING", "has no members"),
    ("channel #random", "The app is not in <#C0RANDOM>"),
    ("channel #nowhere", "The app isn't in a channel named"),
    ("colour blue", "There is no setting"),
    ("remind soon", "is not a duration"),
    ("escalate 30m", "isn't an escalation step"),
    ("escalate 30m @bob @carol", "circle"),
    ("escalate 3h @dave", "never happen"),
    ("escalate 30m @dave #random", "The app is not in"),
    ("escalate 30m @greta", "Step 1 of the escalation: <@U0GRETA> is a guest"),
    ("escalate 30m dave", "isn't a person or a user group"),
    ("quiet weekends Mars/Olympus", "no time zone"),
    ("quiet 08:00-08:00 UTC", "would never end"),
]


async def test_invalid_settings_are_refused_with_a_reason(
    slack: LocalSlack, store: Store, bot: Services, subtests: pytest.Subtests
) -> None:
    """R10, R20: an empty list, who may not decide, a channel where no card can be posted. Erin is in a channel that
    is shared with her workspace, so Slack calls her no stranger.
    """
    slack.workspace.users["U0ERIN"] = User("U0ERIN", "erin", "Erin External", team_id="T0OTHER")
    slack.invite("U0ERIN", "#general")
    before = await rules(store)
    for words, sentence in NONSENSE:
        with subtests.test(words=words):
            reply = await slack.user("alice").command(f"/approvals {words}")
            assert sentence in reply.text
            assert "othing was changed" in reply.text
            assert await rules(store) == before


WITHOUT_A_VALUE = [
    ("timeout", "Give a duration, like `/approvals timeout 15m`. It is 1 h now."),
    ("on-timeout", "It is reject now."),
    ("channel", "It is <#C0APPROVALS> now."),
    ("reviewers", "<@U0BOB>"),
    ("quorum", "It is 1 now."),
    ("own-requests", "It is no now."),
    ("remind", "It is off now."),
    ("escalate", "It is off now."),
    ("quiet", "It is off now."),
]


async def test_setting_without_a_value_shows_value_and_example(
    slack: LocalSlack, bot: Services, subtests: pytest.Subtests
) -> None:
    """R7: in one line, whatever the kind of the setting."""
    for word, sentence in WITHOUT_A_VALUE:
        with subtests.test(word=word):
            reply = await slack.user("alice").command(f"/approvals {word}")
            assert reply.text.startswith("Give ") and f"like `/approvals {word} " in reply.text
            assert sentence in reply.text and "\n" not in reply.text


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("colour blue", "There is no setting “colour”; nothing was changed."),
        ("timeout", "Give a duration, like `/approvals timeout 15m`."),
        ("timeout api_key=Ab1Cd2Ef3Gh4Ij5Kl6", "is not a duration"),
        ("quorum 3", "only 2 may approve"),
        ("away @greta for 3d", "not a guest or a bot"),
    ],
)
async def test_refused_settings_command_is_logged_once(
    slack: LocalSlack, store: Store, bot: Services, words: str, why: str
) -> None:
    """R8, R15, R25: whether they could not be read or were refused, and also where Slack delivers them twice."""
    slack.faults.add("deliver_twice", on="slash_commands")
    assert why.split(";")[0] in (await slack.user("bob").command(f"/approvals {words}")).text
    await bot.drain()
    (event,) = [e for e in await events(store) if e.type is EventType.SETTINGS_REFUSED]
    assert (event.user, event.data["channel"]) == ("U0BOB", GENERAL)
    assert why.split(", like")[0] in event.data["problems"] and "/approvals" not in event.data["problems"]
    assert "Ab1Cd2Ef3Gh4" not in str(event.data)


async def test_refused_settings_window_is_logged_once(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R8, R25"""
    bob = slack.user("bob")
    await bob.command("/approvals")
    await bob.wait_modal("Approval settings")
    slack.faults.add("deliver_twice", on="view_submission")
    assert "is not a duration" in (await bob.submit({"timeout": "soon"}))["timeout"]
    await bot.drain()
    (event,) = [e for e in await events(store) if e.type is EventType.SETTINGS_REFUSED]
    assert "is not a duration" in event.data["problems"]


async def test_only_admins_and_reviewers_may_change_settings(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R25: the refused attempt is on record. Dave is named in ADMINS, Bob reviews, Alice is a workspace admin."""
    for name in ("alice", "bob", "dave"):
        assert (await slack.user(name).command("/approvals timeout 15m")).text.startswith("Saved.")
    assert "Guests" in (await slack.user("greta").command("/approvals timeout 5s")).text
    await slack.user("alice").command("/approvals reviewers @bob")
    assert "Only workspace admins" in (await slack.user("carol").command("/approvals timeout 5s")).text
    refused = [e for e in await events(store) if e.type is EventType.SETTINGS_REFUSED]
    assert [e.user for e in refused] == ["U0GRETA", "U0CAROL"]
    assert (await rules(store)).timeout == timedelta(minutes=15)


async def test_settings_window_is_read_only_without_the_right(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R7: not after they have filled it in."""
    greta = slack.user("greta")
    await greta.command("/approvals")
    window = await greta.wait_modal("View only.")
    assert not window.json.get("submit")
    await slack.user("bob").command("/approvals")
    assert (await slack.user("bob").wait_modal("Approval settings")).json["submit"]


async def test_settings_saved_where_the_app_is_missing_are_confirmed(
    slack: LocalSlack, store: Store, bot: Services
) -> None:
    """R7: a window has no response URL, and nothing can be posted there."""
    slack.add_channel("elsewhere", members=("alice",), is_private=True)
    alice = slack.user("alice")
    await alice.command("/approvals", channel="#elsewhere")
    await alice.wait_modal("Approval settings")
    assert await alice.submit({"timeout": "90s"}) == {}
    direct = slack.workspace.direct("U0ALICE")
    await slack.wait_message(direct.id, lambda m: m.text.startswith("Saved."))


async def test_settings_window_changes_only_the_edited_fields(slack: LocalSlack, store: Store, bot: Services) -> None:
    """The window is filled with the settings in force."""
    alice = slack.user("alice")
    await alice.command("/approvals")
    modal = await alice.wait_modal("Approval settings")
    assert modal.title == "Approval settings"
    assert await alice.submit({"timeout": "90s", "groups": ["S0REVIEWERS"]}) == {}
    assert (await confirm_loosening(alice)).startswith("Saved.")
    own = (await store.settings(GENERAL)).value
    assert own.timeout == timedelta(seconds=90)
    assert own.reviewers is not None and own.reviewers.groups == {"S0REVIEWERS"}
    assert (own.quorum, own.on_timeout, own.approvals_channel, own.own_requests) == (None, None, None, None)
    await alice.command("/approvals")
    await alice.wait_modal("1 min 30 s")
    assert await alice.submit({"on_timeout": "approve", "exceptions": ["own_requests"], "quorum": "2"}) == {}
    await confirm_loosening(alice)
    now = await rules(store)
    assert (now.on_timeout, now.own_requests, now.quorum) == (OnTimeout.APPROVE, True, 2)
    assert now.timeout == timedelta(seconds=90)


async def test_settings_window_sets_break_glass_reminders_and_escalation(
    slack: LocalSlack, store: Store, bot: Services
) -> None:
    """All that can be said in words; a step that is there is shown, and below it an empty one for the next."""
    alice = slack.user("alice")
    await alice.command("/approvals")
    await alice.wait_modal("Escalation, step 1")
    values = {"exceptions": ["break_glass"], "remind_after": "10m", "quiet": "19:00-08:00 weekends Europe/Berlin"}
    steps = {"after_1": "20m", "people_1": ["@dave"], "groups_1": ["S0REVIEWERS"], "where_1": "#general"}
    assert await alice.submit({**values, **steps}) == {}
    await confirm_loosening(alice)
    now = await rules(store)
    first = Escalation(
        timedelta(minutes=20), Reviewers(frozenset({DAVE}), frozenset({GroupId("S0REVIEWERS")})), GENERAL
    )
    assert (now.break_glass, now.own_requests, now.remind_after) == (True, False, timedelta(minutes=10))
    assert now.quiet.zone == "Europe/Berlin"
    assert now.escalation == (first,)
    await alice.command("/approvals")
    await alice.wait_modal("Escalation, step 2")
    assert await alice.submit({"after_2": "40m", "groups_2": ["members"], "exceptions": []}) == {}
    await confirm_loosening(alice)
    now = await rules(store)
    second = Escalation(timedelta(minutes=40), Reviewers(groups=frozenset({GroupId(now.approvals_channel)})))
    assert (now.break_glass, now.escalation) == (False, (first, second))
    await alice.command("/approvals")
    await alice.wait_modal("Escalation, step 3")
    assert await alice.submit({"after_1": "", "people_1": [], "groups_1": []}) == {}
    assert (await rules(store)).escalation == (second,)


async def test_inherited_settings_survive_a_new_approvals_channel(
    slack: LocalSlack, store: Store, bot: Services
) -> None:
    """R10: what was inherited from the channel that cards went to, two approvals for one, is not lost on the way."""
    alice = slack.user("alice")
    await alice.command("/approvals quorum 2", channel="#approvals")
    await alice.command("/approvals")
    await alice.wait_modal()
    assert await alice.submit({"approvals_channel": "#general"}) == {}
    now = await rules(store)
    assert (now.approvals_channel, now.quorum) == (GENERAL, 2)


async def test_channel_members_may_be_set_as_reviewers(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R10: in words and in the window; they are those of the channel that cards go to, whichever that is."""
    alice = slack.user("alice")
    await alice.command("/approvals reviewers @dave members")
    assert "<@U0DAVE>, everybody in <#C0APPROVALS>" in await confirm_loosening(alice)
    here = frozenset({GroupId("C0APPROVALS")})
    assert (await rules(store)).reviewers == Reviewers(frozenset({DAVE}), here)
    await alice.command("/approvals channel #general")
    await confirm_loosening(alice)
    assert (await rules(store)).reviewers.groups == {GroupId(GENERAL)}
    await alice.command("/approvals")
    await alice.wait_modal()
    assert await alice.submit({"timeout": "5m"}) == {}
    assert (await store.settings(GENERAL)).value.reviewers == Reviewers(frozenset({DAVE}), members=True)
    await alice.command("/approvals")
    await alice.wait_modal()
    assert await alice.submit({"groups": []}) == {}
    assert (await rules(store)).reviewers == Reviewers(frozenset({DAVE}))


async def test_run_that_only_its_requester_could_decide_is_refused(
    slack: LocalSlack, store: Store, bot: Services
) -> None:
    """R10: not found out when the card waits for nobody. The app itself, guests and strangers are nobody."""
    members = slack.workspace.channels["C0APPROVALS"].members
    members.intersection_update({"U0BOT", "U0ALICE"})
    slack.invite("U0GRETA", "#approvals")
    alice = slack.user("alice")
    await alice.command("/approvals reviewers members")
    assert (await confirm_loosening(alice)).startswith("Saved.")
    told = (await alice.command("/agent email tell the vendor")).text
    assert "Nothing was started, because nobody could decide" in told and "you started it" in told
    slack.invite("U0BOB", "#approvals")
    bot.directory.lookups.forget()
    assert (await alice.command("/agent email tell the vendor")).text.startswith("Started")


WRONG_IN_THE_WINDOW: list[tuple[dict[str, object], str, str]] = [
    ({"timeout": "soon"}, "timeout", "is not a duration"),
    ({"quorum": "9"}, "quorum", "only 2 may approve"),
    ({"timeout": "2s"}, "timeout", "is out of range"),
    ({"remind_after": "soon"}, "remind_after", "is not a duration"),
    ({"quiet": "at night"}, "quiet", "othing was changed"),
    ({"after_1": "soon", "people_1": ["@dave"]}, "after_1", "is not a duration"),
    ({"after_1": "2h", "people_1": ["@dave"]}, "after_1", "would come after the deadline"),
    ({"after_1": "30m"}, "people_1", "Choose people or groups"),
    ({"people_1": ["@dave"]}, "after_1", "Enter a duration"),
    ({"after_1": "30m", "people_1": ["@bob", "@carol"]}, "people_1", "in a circle"),
    ({"after_1": "30m", "people_1": ["@greta"]}, "people_1", "@greta is a guest"),
    ({"after_1": "30m", "people_1": ["@dave"], "where_1": "#random"}, "where_1", "The app is not in #random"),
    ({"users": ["@greta"]}, "users", "@greta is a guest"),
    ({"users": []}, "users", "name at least one reviewer"),
    ({"approvals_channel": "#random"}, "approvals_channel", "The app is not in #random"),
]


async def test_settings_window_shows_each_error_at_its_field(
    slack: LocalSlack, store: Store, bot: Services, subtests: pytest.Subtests
) -> None:
    """R10"""
    before = await rules(store)
    alice = slack.user("alice")
    for values, block, sentence in WRONG_IN_THE_WINDOW:
        with subtests.test(**{block: sentence}):
            await alice.command("/approvals")
            await alice.wait_modal()
            errors = await alice.submit(values)
            assert sentence in errors[block]
            assert await rules(store) == before
            await alice.close()


async def test_settings_changed_meanwhile_are_not_overwritten(slack: LocalSlack, store: Store, bot: Services) -> None:
    """A window that was opened before the change is refused with a sentence."""
    alice = slack.user("alice")
    await alice.command("/approvals")
    await alice.wait_modal()
    await slack.user("bob").command("/approvals quorum 2")
    errors = await alice.submit({"timeout": "5m"})
    assert "These settings changed" in errors["timeout"]
    assert (await rules(store)).quorum == 2


async def test_group_that_slack_does_not_list_is_refused(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R9"""
    slack.faults.add("error", on="usergroups.list", error="missing_scope", times=None)
    reply = await slack.user("alice").command("/approvals reviewers @reviewers")
    assert "Slack didn't say" in reply.text
    assert (await rules(store)).reviewers.groups == frozenset()


async def test_reviewer_groups_missing_from_the_menu_are_kept(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R10: saving what was not changed changes nothing, in whichever place of the list they stand."""
    alice = slack.user("alice")
    await alice.command("/approvals reviewers @bob @reviewers")
    await confirm_loosening(alice)
    slack.workspace.groups |= {f"S0A{n:03}": UserGroup(f"S0A{n:03}", f"a{n}", f"A {n}", []) for n in range(120)}
    await alice.command("/approvals")
    await alice.wait_modal()
    assert await alice.submit({"timeout": "5m"}) == {}
    await alice.wait_ephemeral("Saved.")
    assert (await rules(store)).reviewers == Reviewers(frozenset({BOB}), frozenset({GroupId("S0REVIEWERS")}))


async def test_error_of_a_step_stands_at_it_after_renumbering(slack: LocalSlack, store: Store, bot: Services) -> None:
    """An emptied step above moves the later steps up; errors stay at their own input."""
    alice = slack.user("alice")
    await alice.command("/approvals escalate 10m @dave")
    await confirm_loosening(alice)
    await alice.command("/approvals")
    await alice.wait_modal("Escalation, step 2")
    moved = {"after_1": "", "people_1": [], "after_2": "2h", "people_2": ["@dave"]}
    assert "would come after the deadline" in (await alice.submit(moved))["after_2"]
    assert "is a guest" in (await alice.submit({**moved, "after_2": "20m", "people_2": ["@greta"]}))["people_2"]
    assert await alice.submit({**moved, "after_2": "20m"}) == {}
    assert (await rules(store)).escalation == (Escalation(timedelta(minutes=20), Reviewers(frozenset({DAVE}))),)


async def test_private_channel_is_accepted_in_commands(slack: LocalSlack, store: Store, bot: Services) -> None:
    """Slack sends it as `<C987|>`, without a name."""
    slack.add_channel("leads", is_private=True)
    slack.invite("U0BOT", "#leads", by="alice")
    alice = slack.user("alice")
    assert (await alice.command("/approvals channel #leads")).text.startswith("Saved.")
    assert (await store.settings(GENERAL)).value.approvals_channel == "C0LEADS"
    await alice.command("/approvals escalate 30m @dave #leads")
    await confirm_loosening(alice)
    (step,) = (await store.settings(GENERAL)).value.escalation or ()
    assert step.channel == "C0LEADS"
    sent = [payload["text"] for kind, payload in slack.deliveries if kind == "slash_commands"]
    assert sent == ["channel <C0LEADS|>", "escalate 30m <@U0DAVE|dave> <C0LEADS|>"]
