"""`/agent`: what is started, said, listed and stopped, and what is refused in words."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.slack.handlers.context import Services
from bot.slack.views import start_modal
from countersign import usecases
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ApiKeyId, GroupId, RunId, UserId, WorkerId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.run_calls import Finish
from countersign.domain.run_options import Option
from countersign.domain.runs import Run, Status, Verb
from countersign.store.store import Store
from countersign.usecases.ports import Announcement, Change, Committed, Lease, Put, TeamInfo
from localslack import LocalSlack, text_of
from tests.sample_requests import ALICE, BOB, GENERAL, HERE, question
from tests.slack.socket_bot import events, redis_away
from tests.slack.test_projector import running_projector
from tests.store_fixtures import configure

OTHER = TeamInfo("other", "does other things")


async def runs(store: Store) -> list[Run]:
    return await store.indexes.active_runs(100)


async def test_agent_command_starts_a_run(slack: LocalSlack, store: Store, bot: Services) -> None:
    reply = await slack.user("alice").command("/agent email tell R&D <b> we need 10% off")
    assert reply.ok
    (run,) = await runs(store)
    assert (run.team, run.task) == ("email", "tell R&D <b> we need 10% off")
    assert (run.requester, run.channel, run.workspace) == ("U0ALICE", "C0GENERAL", "T0LOCAL")
    assert run.id in reply.text


async def test_task_keeps_mentions_channels_and_links_as_typed(slack: LocalSlack, store: Store, bot: Services) -> None:
    """The agents write to people with these words, and the window takes them as they were typed."""
    await slack.user("alice").command(
        "/agent email tell @bob, @reviewers and #general of https://a.example/b?c=1&d=<e>"
    )
    (run,) = await runs(store)
    assert run.task == "tell @bob, @reviewers and #general of https://a.example/b?c=1&d=<e>"


async def test_task_names_private_channels_that_slack_sends_as_ids(
    slack: LocalSlack, store: Store, bot: Services
) -> None:
    """A command names it by its id alone."""
    slack.channel("#approvals").is_private = True
    await slack.user("alice").command("/agent email tell #approvals and <@U0CAROL> and <@U0NOBODY>")
    (run,) = await runs(store)
    assert run.task == "tell #approvals and @carol and <@U0NOBODY>"


async def test_task_may_begin_on_the_second_line(slack: LocalSlack, store: Store, bot: Services) -> None:
    """The command may have a line break after the team."""
    reply = await slack.user("alice").command("/agent email\nDear vendor,\n  ten percent off")
    assert "Started" in reply.text
    assert [run.task for run in await runs(store)] == ["Dear vendor,\n  ten percent off"]


async def test_team_name_ignores_case_unless_two_teams_match(slack: LocalSlack, store: Store, bot: Services) -> None:
    """A phone writes the first word of a line with a capital letter."""
    alice, told = slack.user("alice"), timedelta(seconds=15)
    assert "Started *email*" in (await alice.command("/agent Email hello")).text
    assert [run.team for run in await runs(store)] == ["email"]
    both = (TeamInfo("Ops", ""), TeamInfo("ops", ""))
    await store.workers.announce(WorkerId("another"), Announcement(both), told)
    assert "There is no team “OPS”" in (await alice.command("/agent OPS hello")).text
    assert "Started *ops*" in (await alice.command("/agent ops hello")).text


async def test_run_does_not_start_where_the_app_is_missing(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R21: the thread would be where nobody looks; as soon as the app is invited, the same words start it."""
    alice = slack.user("alice")
    slack.add_channel("secret", is_private=True)
    for channel in ("#random", "#secret"):
        slack.invite("alice", channel)
        reply = await alice.command("/agent email hello", channel=channel)
        assert (
            "The app is not in this channel, so nobody would see the run there and nothing was started." in reply.text
        )
    assert await runs(store) == []
    refused = [e for e in await events(store) if e.type is EventType.START_REFUSED]
    assert [(e.data["team"], "not in this channel" in e.data["why"]) for e in refused] == [("email", True)] * 2
    slack.invite("U0BOT", "#random")
    assert "Started" in (await alice.command("/agent email hello", channel="#random")).text
    assert [run.channel for run in await runs(store)] == ["C0RANDOM"]


async def test_command_delivered_twice_starts_one_run(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R8"""
    slack.faults.add("deliver_twice", on="slash_commands")
    await slack.user("alice").command("/agent email once")
    await bot.drain()
    assert len(await runs(store)) == 1


async def test_start_repeated_after_a_timeout_is_the_same_run(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R8: whichever of them comes first."""
    alice = slack.user("alice")
    first = (await alice.command("/agent email once")).text
    (run,) = await runs(store)
    again = await alice.command("/agent email once")
    assert run.id in first and run.id in again.text and "not started again" in again.text
    assert await runs(store) == [run]
    assert "Started" in (await alice.command("/agent email twice")).text
    assert len(await runs(store)) == 2
    await usecases.stop(store, run.id, Actor(HERE, ALICE), frozenset())
    assert "Started" in (await alice.command("/agent email once")).text, "what is over may be started again"
    assert "Started" in (await slack.user("bob").command("/agent email twice")).text


CANNOT_BE_DONE = [
    ("/agent emial hello", "There is no team “emial”"),
    ("/agent email", "Add a task"),
    ("/agent email     ", "Add a task"),
    (f"/agent email {'x' * 10_001}", "the limit is 10,000"),
    ("/agent stop", "Name the run"),
    ("/agent stop rnothing", "There is no run"),
    ("/agent help", "/agent status"),
    ("/agent status", "No runs in progress here"),
]


async def test_impossible_command_is_explained_and_starts_nothing(
    slack: LocalSlack, store: Store, bot: Services, subtests: pytest.Subtests
) -> None:
    for text, sentence in CANNOT_BE_DONE:
        with subtests.test(text=text[:40]):
            reply = await slack.user("alice").command(text)
            assert sentence in reply.text
            assert await runs(store) == []


async def test_text_of_a_worker_about_its_teams_is_escaped(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R15: a sentence of ours, with whatever a worker writes into it."""
    why = "<!channel> <https://evil.example|Approve here> &"
    mode = Option("mode", "Mode", ("<!here>", "b"), "b")
    teams = [TeamInfo("broken", "", why), TeamInfo("odd", "", options=(mode,))]
    await store.workers.announce(WorkerId("two"), Announcement(tuple(teams)), timedelta(minutes=1))
    alice = slack.user("alice")
    for text in ("/agent broken go", "/agent odd mode=c go", "/agent <!channel> go"):
        reply = (await alice.command(text)).text
        assert "nothing was started" in reply.lower() and "<" not in reply, reply


async def test_broken_team_says_its_error_and_others_start(slack: LocalSlack, store: Store, bot: Services) -> None:
    why = "its file broken.py does not load (ImportError: No module named 'warehouse')."
    await store.workers.announce(WorkerId("two"), Announcement((TeamInfo("broken", "", why),)), timedelta(minutes=1))
    alice = slack.user("alice")
    reply = await alice.command("/agent broken count the boxes")
    assert reply.text == f"The team “broken” can't run: {why} Nothing was started."
    await alice.command("/agent")
    assert "its file broken.py does not load" in str((await alice.wait_modal("Start a task")).json)
    await alice.close()
    assert "Started" in (await alice.command("/agent email hello")).text
    assert [run.team for run in await runs(store)] == ["email"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"reviewers": Reviewers(frozenset({ALICE}))}, "you started it and can't decide"),
        ({"reviewers": Reviewers(frozenset({UserId("U0DORA")}))}, "<@U0DORA> has left"),
        ({"reviewers": Reviewers(groups=frozenset({GroupId("S0NONE")}))}, "has no members"),
        ({"quorum": 3}, "3 approvals needed, 2 can approve"),
        ({"approvals_channel": "C0RANDOM"}, "The app is not in <#C0RANDOM>"),
        ({"approvals_channel": "C0NOWHERE"}, "can't see"),
    ],
)
async def test_run_without_a_possible_reviewer_does_not_start(
    slack: LocalSlack, store: Store, bot: Services, settings: dict[str, Any], sentence: str
) -> None:
    """R10: found out now, not when a request waits for nobody."""
    await configure(store, **settings)
    reply = await slack.user("alice").command("/agent email hello")
    assert sentence in reply.text
    assert "othing was started" in reply.text
    assert await runs(store) == []


async def test_run_does_not_start_while_slack_hides_the_reviewers(
    slack: LocalSlack, store: Store, bot: Services
) -> None:
    """R9: a failed look-up refuses; nobody waits for Slack longer than the directory's patience."""
    bot.directory.lookups.patience = 0.05
    slack.faults.add("delay", on="users.info", seconds=20, times=None)
    reply = await slack.user("alice").command("/agent email hello")
    assert "Slack didn't say in time" in reply.text
    assert await runs(store) == []


async def refused(store: Store) -> list[Event]:
    """The starts that were refused, as they are on record."""
    return [event for event in await events(store) if event.type is EventType.START_REFUSED]


@pytest.mark.parametrize(
    ("words", "team", "task", "why"),
    [
        ("emial hello", "emial", "hello", "There is no team “emial”"),
        ("email", "email", "", "Add a task"),
        (f"email {'x' * 10_001}", "email", f"{'x' * 3000}… (10,001 characters)", "the limit is 10,000"),
        ("chat mood=never plan", "chat", "mood=never plan", "no option “mood”"),
        ("chat mode=never mode=never plan", "chat", "mode=never mode=never plan", "is chosen twice"),
        ("api_key=Ab1Cd2Ef3Gh4Ij5Kl6 x", "api_key=⟦hidden: 18 characters⟧", "x", "no team “api_key=⟦hidden"),
        (
            "emial use hunter2: api_key=Ab1Cd2Ef3Gh4Ij5Kl6",
            "emial",
            "use hunter2: api_key=⟦hidden: 18 characters⟧",
            "no team",
        ),
    ],
)
async def test_refused_start_is_logged_once_with_task_and_reason(
    slack: LocalSlack, store: Store, bot: Services, chat: None, words: str, team: str, task: str, why: str
) -> None:
    """R8, R15, R25: also where Slack delivers it twice."""
    slack.faults.add("deliver_twice", on="slash_commands")
    await slack.user("alice").command(f"/agent {words}")
    await bot.drain()
    (event,) = await refused(store)
    assert (event.user, event.workspace, event.data["channel"]) == ("U0ALICE", HERE, GENERAL)
    assert (event.data["team"], event.data["task"]) == (team, task)
    assert why in event.data["why"]


async def test_each_refused_submit_of_the_task_window_is_logged(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R25: nobody may decide at first, then there is no task."""
    alice = slack.user("alice")
    await configure(store, reviewers=Reviewers(frozenset({ALICE})))
    await alice.command("/agent")
    await alice.wait_modal("Start a task")
    await alice.submit({"team": "email", "task": "tell the vendor"})
    await configure(store, reviewers=None)
    slack.faults.add("deliver_twice", on="view_submission")
    await alice.submit({"team": "email", "task": "  "})
    assert await alice.submit({"team": "email", "task": "tell the vendor"}) == {}
    await bot.drain()
    told = [(event.user, event.data["why"].split(",")[0]) for event in await refused(store)]
    assert told == [
        ("U0ALICE", "Nothing was started"),
        ("U0ALICE", "Add a task"),
    ]
    assert len(await runs(store)) == 1


async def test_start_refused_without_a_worker_is_logged(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R25"""
    await store.workers.retire(WorkerId("worker"))
    for words in ("/agent email hello", "/agent"):
        assert "The agents are not running" in (await slack.user("alice").command(words)).text
    assert slack.user("alice").modal is None
    assert [event.data["team"] for event in await refused(store)] == ["email", ""]


async def test_task_window_starts_a_run(slack: LocalSlack, store: Store, bot: Services) -> None:
    await store.workers.announce(WorkerId("two"), Announcement((OTHER,)), timedelta(minutes=1))
    alice = slack.user("alice")
    assert (await alice.command("/agent")).text == ""
    await alice.wait_modal("Start a task")
    assert "Add a task" in (await alice.submit({"team": "email", "task": "  "}))["task"]
    assert await alice.submit({"team": "email", "task": "tell the vendor\nplease"}) == {}
    (run,) = await runs(store)
    assert (run.team, run.task, run.channel) == ("email", "tell the vendor\nplease", "C0GENERAL")


MODE = Option("mode", "When people are asked", ("always", "never"), "always")
CHAT = TeamInfo("chat", "talks", options=(MODE, Option("pace", "Pace", ("1", "2"), "1")))


@pytest.fixture
async def chat(store: Store) -> None:
    """A team with two options runs too."""
    await store.workers.announce(WorkerId("two"), Announcement((CHAT, OTHER)), timedelta(minutes=1))


@pytest.mark.parametrize(
    ("words", "options", "task"),
    [
        ("mode=never plan it", {"mode": "never", "pace": "1"}, "plan it"),
        ("pace=2 Mode=NEVER  plan it", {"mode": "never", "pace": "2"}, "plan it"),
        ("plan it mode=never", {"mode": "always", "pace": "1"}, "plan it mode=never"),
        ("plan a=b", {"mode": "always", "pace": "1"}, "plan a=b"),
    ],
)
async def test_run_options_are_given_before_the_task(
    slack: LocalSlack, store: Store, bot: Services, chat: None, words: str, options: dict[str, str], task: str
) -> None:
    """What is not chosen is the default, and the answer says all of it."""
    reply = await slack.user("alice").command(f"/agent chat {words}")
    (run,) = await runs(store)
    assert (run.options, run.task) == (options, task)
    assert f"mode={options['mode']} pace={options['pace']}" in reply.text


NO_OPTIONS = [
    (
        "mode=sometimes plan it",
        "can't be chosen for “mode”; nothing was started. Choose one of always, never.",
    ),
    ("mood=never plan it", "no option “mood”; nothing was started. Its options: mode=always|never, pace=1|2"),
    ("mode=never mode=always plan it", "“mode” is chosen twice"),
    ("mode=never", "Add a task"),
    ("mode= plan it", "“” can't be chosen for “mode”"),
]


async def test_unknown_run_option_starts_nothing(
    slack: LocalSlack, store: Store, bot: Services, chat: None, subtests: pytest.Subtests
) -> None:
    for words, sentence in NO_OPTIONS:
        with subtests.test(words=words):
            reply = await slack.user("alice").command(f"/agent chat {words}")
            assert sentence in reply.text
            assert await runs(store) == []


async def test_team_without_options_keeps_them_in_the_task(slack: LocalSlack, store: Store, bot: Services) -> None:
    """A text such as `x=3` is an option only where the team has one."""
    await slack.user("alice").command("/agent email x=3 is wrong")
    (run,) = await runs(store)
    assert (run.task, run.options) == ("x=3 is wrong", {})


async def test_task_window_shows_the_options_of_the_chosen_team(
    slack: LocalSlack, store: Store, bot: Services, chat: None
) -> None:
    """What was typed before stays; the options of a team that was chosen before do not count."""
    alice = slack.user("alice")
    await alice.command("/agent")
    window = await alice.wait_modal("Start a task")
    assert "When people are asked" not in str(window.blocks)
    await alice.click(window, start_modal.TEAM, choose="chat")
    window = await alice.wait_modal("When people are asked")
    assert await alice.submit({"When people are asked": "never", "task": "plan it"}) == {}
    (run,) = await runs(store)
    assert (run.team, run.task, run.options) == ("chat", "plan it", {"mode": "never", "pace": "1"})


@pytest.mark.parametrize("redrawn", [True, False])
async def test_changing_the_team_drops_the_options_of_the_first(
    slack: LocalSlack, store: Store, bot: Services, chat: None, redrawn: bool
) -> None:
    """Also where the window could not take them away."""
    alice = slack.user("alice")
    await alice.command("/agent")
    await alice.click(await alice.wait_modal("Start a task"), start_modal.TEAM, choose="chat")
    window = await alice.wait_modal("When people are asked")
    if not redrawn:
        slack.faults.add("server_error", on="views.update", status=503, times=None)
    await alice.click(window, start_modal.TEAM, choose="email")
    if redrawn:
        await alice.wait_modal(lambda view: "When people are asked" not in str(view.blocks))
    assert await alice.submit({"task": "tell the vendor"}) == {}
    (run,) = await runs(store)
    assert (run.team, run.options) == ("email", {})


async def test_task_window_without_its_options_starts_with_the_defaults(
    slack: LocalSlack, store: Store, bot: Services, chat: None
) -> None:
    """Slack or the store may fail between: then the defaults are chosen, and nobody is left without an answer."""
    alice = slack.user("alice")
    await alice.command("/agent")
    slack.faults.add("server_error", on="views.update", status=503, times=None)
    assert (await alice.click(await alice.wait_modal("Start a task"), start_modal.TEAM, choose="chat")).ok
    assert await alice.submit({"task": "plan it"}) == {}
    (run,) = await runs(store)
    assert run.options == {"mode": "always", "pace": "1"}


async def test_task_window_submitted_twice_starts_one_run(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R8"""
    alice = slack.user("alice")
    await alice.command("/agent")
    await alice.wait_modal()
    slack.faults.add("deliver_twice", on="view_submission")
    assert await alice.submit({"team": "email", "task": "once"}) == {}
    await bot.drain()
    assert len(await runs(store)) == 1


async def test_status_lists_the_active_runs(slack: LocalSlack, store: Store, lease: Lease, bot: Services) -> None:
    """R15: the task of a person is shown as it is."""
    bob = slack.user("bob")
    await bob.command("/agent")
    await bob.wait_modal("Start a task")
    assert await bob.submit({"team": "email", "task": "<!channel> *bold*"}) == {}
    await usecases.ask(store, lease, question())
    reply = await slack.user("alice").command("/agent status")
    assert "2 runs in progress" in reply.text
    words = str(reply.blocks)
    assert "rtest" in words and "Waiting for a decision" in words
    literal = [e for b in reply.blocks if b["type"] == "context" for e in b["elements"]]
    assert "<!channel> *bold*" in [e["text"] for e in literal]
    assert {e["type"] for e in literal} == {"plain_text"}
    elsewhere = await slack.user("alice").command("/agent status", channel="#approvals")
    assert "1 run in progress" in elsewhere.text


async def test_status_names_the_program_that_started_the_run(slack: LocalSlack, store: Store, bot: Services) -> None:
    """A program is never shown as a person, and nobody reads its run's long id."""
    run = Run(RunId("rhttp-" + "2" * 26), HERE, GENERAL, BOB, "rollouts", "How far does 2.1 go?", await store.now())
    run = replace(run, status=Status.PARKED, by_script=True, program=ApiKeyId("k23456789"))
    assert await store.commit(Change(runs=(Put(run, 0),))) is Committed.DONE
    (line,) = [b for b in (await slack.user("alice").command("/agent status")).blocks if "program" in str(b)]
    assert "the program *rollouts*" in str(line) and run.id not in str(line) and BOB not in str(line)
    assert "Decided" in str(line) and "Waiting" not in str(line), "none of its requests waits"


async def test_status_lists_as_many_runs_as_a_message_holds(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R14: Slack refuses the whole answer, and who asked would read nothing."""
    for number in range(12):
        await slack.user("alice").command(f"/agent email {number} {'返金の依頼' * 40}")
    reply = await slack.user("alice").command("/agent status")
    assert reply.ok and "12 runs in progress" in reply.text
    listed = sum(b["type"] == "section" for b in reply.blocks) - 1
    assert 5 < listed < 12
    assert f"and {12 - listed} older" in str(reply.blocks[-1])


async def test_thread_buttons_stop_a_run_and_retry_it(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R8: by whoever may; a click that Slack delivers twice starts one run, with the same task and options."""
    alice, carol = slack.user("alice"), slack.user("carol")
    await configure(store, reviewers=Reviewers(frozenset({BOB})))
    async with running_projector(slack, store):
        head = await slack.wait_message("#general", lambda m: m.buttons == ["Stop"])
        await carol.click(head, "Stop")
        await carol.wait_ephemeral("can stop it. It is still running")
        await usecases.finish(store, lease, Finish(Verb.FAIL, result="The mail server is down."))
        failed = await slack.wait_message("#general", lambda m: m.ts == head.ts and m.buttons == ["Try again"])
        assert "Failed" in text_of(failed) and "The mail server is down." in text_of(failed)
        slack.faults.add("deliver_twice", on="block_actions")
        await alice.click(failed, "Try again")
        await alice.wait_ephemeral("Started")
        await bot.drain()
        (again,) = await runs(store)
        old = await store.run(lease.run)
        assert old is not None
        assert (again.team, again.task, again.options) == (old.value.team, old.value.task, old.value.options)
        head = await slack.wait_message("#general", lambda m: m.buttons == ["Stop"])
        await alice.click(head, "Stop")
        await slack.wait_message("#general", lambda m: m.ts == head.ts and "Stopped" in text_of(m))
    assert await runs(store) == []


async def test_only_the_requester_and_reviewers_stop_a_run(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R8, R15, R25: what was refused is on record once, of a run that nobody knows too."""
    asked = await usecases.ask(store, lease, question())
    carol, alice = slack.user("carol"), slack.user("alice")
    await configure(store, reviewers=Reviewers(frozenset({BOB})))
    slack.faults.add("deliver_twice", on="slash_commands")
    assert "can stop it. It is still running" in (await carol.command("/agent stop rtest")).text
    await bot.drain()
    assert "There is no run" in (await carol.command("/agent stop api_key=Ab1Cd2Ef3Gh4Ij5Kl6")).text
    await bot.drain()
    of_carol, of_nothing = [e for e in await events(store) if e.type is EventType.STOP_REFUSED]
    assert (of_carol.user, of_carol.run) == ("U0CAROL", "rtest")
    assert (of_nothing.user, of_nothing.data["words"]) == ("U0CAROL", "api_key=⟦hidden: 18 characters⟧")
    assert "Ab1Cd2Ef3Gh4" not in str(of_nothing.data)
    assert "Stopped run" in (await alice.command("/agent stop `rtest`")).text
    seen, request = await store.run(lease.run), await store.request(asked.id)
    assert seen is not None and request is not None
    assert (seen.value.status, request.value.status.value) == (Status.STOPPED, "withdrawn")
    assert "has already ended" in (await alice.command("/agent stop rtest")).text


async def test_agent_command_while_redis_is_away_is_answered(slack: LocalSlack, store: Store, bot: Services) -> None:
    async with redis_away(store):
        reply = await slack.user("alice").command("/agent email hello")
    assert "can't reach its database" in reply.text


async def test_refusal_shown_in_the_task_window_is_logged_once(
    slack: LocalSlack, store: Store, bot: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7, R25: the sentence stood in the window and beside it."""
    await store.workers.retire(WorkerId("worker"))
    monkeypatch.setattr("bot.slack.handlers.modal_opening.OPEN_WITHIN", 0.0)
    alice = slack.user("alice")
    assert (await alice.command("/agent")).text == ""
    await alice.wait_modal("The agents are not running")
    await bot.drain()
    assert alice.ephemerals == []
    assert len(await refused(store)) == 1


async def test_store_outage_is_reported_only_in_the_open_window(
    slack: LocalSlack, store: Store, bot: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7: in the words of the command."""
    monkeypatch.setattr("bot.slack.handlers.modal_opening.OPEN_WITHIN", 0.0)
    alice = slack.user("alice")
    async with redis_away(store):
        assert (await alice.command("/agent")).text == ""
        await alice.wait_modal("so your command didn't go through")
        await bot.drain()
    assert alice.ephemerals == []
