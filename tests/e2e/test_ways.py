"""Every way of working over real processes: undisturbed, and with the worker killed while all of them ask.

The ways run side by side in one worker. Each is a generator: up to its `yield` it starts and is asked, then it is
answered. `docs/ways-of-working.md` names them.
"""

import asyncio
import json
import mailbox
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from countersign.domain.events import EventType
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.autogen.model_calls import component, written
from tests.openai_server import Fails, OpenAIServer, Says
from tests.processes import Deployment
from tests.slack.socket_bot import events

SHORT = "#short"
"""A channel in which people have 30 seconds: more than forty cards need to be posted at Slack's pace."""
ENV = {"DOCKER_HOST": "tcp://127.0.0.1:1", "TEAMS": str(Path(__file__).parent / "teams")}
"""No Docker."""


class Run:
    """One run of a team. Each way has a person and a channel of its own; of several runs the cards show the names."""

    def __init__(self, there: Deployment, name: str) -> None:
        self.there = there
        self.slack = slack = there.slack
        self.data = there.data
        self.name = name
        way = name.partition("-")[0]
        self.person = slack.user(way)
        self.channel = f"#{way}"
        self.cards: list[Message] = []

    async def start(self, team: str, task: str = "", channel: str = "") -> None:
        self.channel = channel or self.channel
        reply = await self.person.command(f"/agent {team} {task or f'do it as {self.name}'}", self.channel)
        # Where the machine is busy the answer comes behind the ack.
        told = reply.text or (await self.person.wait_ephemeral("Started")).text
        assert "Started" in told, reply

    async def asks(self, *words: str, named: bool = True) -> Message:
        """Its next card, or question in its thread, which has these words."""
        seen = {card.ts for card in self.cards}
        whose, of_this = (f"For <@{self.person.id}>", f"<@{self.person.id}>, answer"), [*words]
        of_this += [self.name] if named and "-" in self.name else []

        def next_one(message: Message) -> bool:
            if message.ts in seen or not set(message.buttons) - {"Details"}:
                return False
            text = text_of(message)
            return any(part in text for part in whose) and all(part in text for part in of_this)

        self.cards.append(await self._post(next_one, f"{' '.join(words)} of {self.name}"))
        return self.cards[-1]

    async def _post(self, match: Callable[[Message], bool], what: str) -> Message:
        """The newest that matches of what was posted for its reviewers, or in its own channel and the threads there."""

        def find() -> Message | None:
            rooms = (self.slack.channel("#approvals"), self.slack.channel(self.channel))
            posts = [message for room in rooms for message in room.posts.values()]
            return next((message.copy() for message in reversed(posts) if match(message)), None)

        return await self.slack.wait_for(lambda _: find(), description=what)

    async def answer(self, asked: Message, button: str, words: str | None = None) -> str:
        """The card, settled; with words where the button asks for them, in the full view where the card has no room."""
        if button == "Approve" not in asked.buttons:
            assert (await self.person.click(asked, "Review…")).ok
            assert await self.person.submit(view=await self.person.wait_modal()) == {}
            return await self.settled(asked)
        if button == "Respond":
            answers = ("Request changes", "Reply", "Answer")
            button = next((one for one in answers if one in asked.buttons), "Request changes")
        assert (await self.person.click(asked, button)).ok
        if words is not None:
            modal = await self.person.wait_modal()
            assert await self.person.submit({modal.blocks[-1]["block_id"]: words}, modal) == {}
        return await self.settled(asked)

    async def settled(self, asked: Message) -> str:
        """The card once nothing can be decided on it any more."""

        def over(message: Message) -> bool:
            return message.ts == asked.ts and not set(message.buttons) - {"Details"}

        return text_of(await self._post(over, f"the end of a card of {self.name}"))

    async def ends(self, *words: str) -> str:
        """All that its thread says, once its head offers no Stop any more, and the thread has these words."""

        def thread() -> str:
            room = self.slack.channel(self.channel)
            roots = [m for m in room.messages if m.user == "U0BOT" and self.name in text_of(m)]
            said = "\n".join(text_of(m) for root in roots for m in room.thread(root.ts)[1:])
            over = any("Stop" not in root.buttons for root in roots)
            return said if over and all(part in said for part in words) else ""

        found: str = await self.slack.wait_for(lambda _: thread(), description=f"{' '.join(words)} of {self.name}")
        return found

    def asked(self) -> list[Message]:
        """The cards of its person that wait."""
        room = self.slack.channel("#approvals")
        return [message for message in room.messages if f"For <@{self.person.id}>" in text_of(message)]

    def reports(self) -> str:
        """What the research team has kept."""
        folder = self.data / "research" / "reports"
        return "\n".join(path.read_text() for path in folder.iterdir()) if folder.exists() else ""

    @property
    def done(self) -> list[dict[str, Any]]:
        """What was done outside."""
        return self._lines("done")

    @property
    def read(self) -> list[dict[str, Any]]:
        """What the agents read, in order."""
        return self._lines("read")

    async def judged(self) -> list[tuple[str, str, dict[str, Any]]]:
        """What a policy let pass or refused in all runs: the event, the tool and its arguments, in order."""
        common = self.there.common
        async with connect(common["REDIS_URL"]) as client:
            happened = await events(Store(client, common["NAMESPACE"]))
        alone = [event for event in happened if event.type in (EventType.CALL_PASSED, EventType.CALL_REFUSED)]
        return [(str(e.type), e.data["tool"], json.loads(e.data["arguments"])) for e in alone]

    def texts(self, source: str) -> list[str]:
        """What came from one of them."""
        return [line["text"] for line in self.read if line["source"] == source]

    def decisions(self) -> list[tuple[str, list[str], str]]:
        """Outcome, by whom, and words of each decision in the messages' metadata."""
        raw = [json.loads(line["metadata"]["countersign"]) for line in self.read if "countersign" in line["metadata"]]
        return [(decision["outcome"], decision["by"], decision["words"]) for decision in raw]

    def _lines(self, kind: str) -> list[dict[str, Any]]:
        path = self.data / f"{self.name}.{kind}"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


New = Callable[..., Run]
Way = AsyncGenerator[None]


async def always(new: New) -> Way:
    """S1: after each step who started it lets it go on, says what comes next, or stops it, in its thread."""
    run = new()
    await run.start("chat", f"mode=always look for {run.name}; delete the old list of {run.name}")
    first = await run.asks("Step 1 of 2")
    yield
    assert first.buttons == ["Continue", "Reply"]
    await run.answer(first, "Continue")
    await run.answer(await run.asks("Step 2 of 2"), "Respond", "buy bread")
    assert "Stopped" in await run.answer(await run.asks("Step 3 of 3: buy bread"), "Stop", "")
    thread = await run.ends("Stopped before the assistant was finished.")
    assert thread.count("Step 1 of 2") == 1  # where it was asked, and not among the steps too


async def never(new: New) -> Way:
    """S2: nobody is asked; it ends when the assistant is finished, or at the limit of replies."""
    whole, cut = new("whole"), new("cut")
    for run, replies in ((whole, 3), (cut, 1)):
        await run.start("chat", f"mode=never replies={replies} look for {run.name}; buy bread; call Ann")
    await whole.ends("All 3 steps are done.", "Step 3 of 3: call Ann")
    yield
    assert "Step 3 of 3" not in await cut.ends("Ended after 1 reply in a row without a person")
    assert not [m for m in cut.slack.channel("#approvals").messages if "look for s02" in text_of(m)]


async def terminate(new: New) -> Way:
    """S3: it runs by itself to its end, people have more to say, and then end it."""
    run = new()
    await run.start("chat", f"mode=terminate look for {run.name}; call Ann of {run.name}")
    last = await run.asks("All 2 steps are done")
    yield
    assert last.buttons == ["End here", "Reply"]
    await run.answer(last, "Respond", "water the plants")
    again = await run.asks("All 3 steps are done")
    assert "Ended here" in await run.answer(again, "End here")
    assert (await run.ends("All 3 steps are done.")).count("Step 1 of 2") == 1


async def adaptive(new: New) -> Way:
    """S4: risky words ask, the others do not."""
    run = new()
    await run.start("chat", f"mode=adaptive look for {run.name}; delete the old list of {run.name}")
    risky = await run.asks("Step 2 of 2: delete the old list")
    yield
    await run.answer(risky, "Continue")
    await run.answer(await run.asks("All 2 steps are done"), "End here")
    await run.ends("All 2 steps are done.")


async def programmatic(new: New) -> Way:
    """S5: AutoGen's own UserProxyAgent reads approval, denial, new instructions, and that nobody answered."""
    yes, no, other, nobody = (new(word) for word in ("yes", "no", "other", "silent"))
    for run in (yes, no, other):
        await run.start("asks")
    await nobody.start("asks", channel=SHORT)
    runs = (yes, no, other, nobody)
    found = await asyncio.gather(*(run.asks("The first version", "Is this right?") for run in runs))
    asked = dict(zip(runs, found, strict=True))
    yield
    assert "Expired" in await nobody.settled(asked[nobody])
    await yes.answer(asked[yes], "Approve")
    await no.answer(asked[no], "Reject", "too dear")
    await other.answer(asked[other], "Respond", "blue paint")
    await other.answer(await other.asks("with blue paint"), "Approve")
    for run, begins in ((yes, "APPROVED"), (no, "REJECTED"), (other, "ANSWERED, NOT ALLOWED"), (nobody, "EXPIRED")):
        await run.ends(f"The end of {run.name}")
        assert run.texts("people")[0].startswith(f"DECISION: {begins}")
    assert "> too dear" in no.texts("people")[0]
    assert [text.split(" (")[0] for text in other.texts("people")] == [
        "DECISION: ANSWERED, NOT ALLOWED",
        "DECISION: APPROVED",
    ]


async def two_proxies(new: New) -> Way:
    """S6: the worker proxy sends the researcher on and never asks; the approver signs off, and only that ends it."""
    run = new()
    await run.start("research", f"what is tea made from as {run.name}")
    first = await run.asks("Sign off this report?", "[example.md]")
    yield
    await run.answer(first, "Respond", "with the date, and that is APPROVED")
    last = await run.asks("Requested: with the date")
    assert run.name not in run.reports()
    await run.answer(last, "Approve")
    await run.ends("Signed off")
    assert {"researcher", "worker", "writer", "critic", "editor", "approver"} <= {line["source"] for line in run.read}
    assert run.decisions() == [
        ("answered", [run.person.id], "with the date, and that is APPROVED"),
        ("approved", [run.person.id], ""),
    ]
    assert run.reports().count(f"as {run.name}\n") == 1


async def approval_gate(new: New) -> Way:
    """S7: revised as often as the reviewer wants; only the approval sends, once."""
    run = new()
    await run.start("email", f"tell {run.name} that we need 10% off")
    first = await run.asks("Send this message to")
    yield
    await run.answer(first, "Respond", f"APPROVED, but tell {run.name} to be quick")
    second = await run.asks()
    await run.answer(second, "Respond", f"shorter for {run.name}")
    last = await run.asks()
    await run.answer(last, "Approve")
    await run.ends(":white_check_mark: Put in a folder")
    (mail,) = (m for m in mailbox.Maildir(run.data / "mail", create=False) if m["To"] == f"{run.name}@example.com")
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.decode().strip().replace("\r\n", "\n") in text_of(last)


async def checkpoints(new: New) -> Way:
    """S8: another team does exactly the approved plan, once; without the approval it never begins."""
    proceed, cancel = new("proceed"), new("cancel")
    asked = {}
    for run in (proceed, cancel):  # one after the other: in a busy channel their cards would be one
        await run.start("deploy", f"deploy {run.name} 2.1 to staging as {run.name}")
        asked[run] = await run.asks(f"2. release {run.name} 2.1 staging", "exactly this")
    log = proceed.data / "deploy" / "log"
    assert not log.exists()
    yield
    await proceed.answer(asked[proceed], "Respond", "skip the announcement")
    await cancel.answer(asked[cancel], "Reject", "not now")
    changed = await proceed.asks("Deploy ", "exactly this")
    await proceed.answer(changed, "Approve")
    await proceed.answer(await proceed.asks("Release"), "Approve")
    await proceed.ends("The plan was carried out. Steps done: run tests, release.")
    await cancel.ends("Cancelled: ")
    assert log.read_text().splitlines() == [
        f"run_tests {proceed.name} 2.1",
        f"release {proceed.name} 2.1 staging",
    ]
    assert any("> not now" in line["text"] for line in cancel.read)


async def at_once(new: New) -> Way:
    """S9: many wait at once in one process, and each gets its own answer."""
    runs = [new(f"n{number}n") for number in range(10)]
    await asyncio.gather(*(run.start("asks") for run in runs))
    asked = [await run.asks("The first version") for run in runs]
    yield
    for run, card in reversed(list(zip(runs, asked, strict=True))):
        await run.answer(card, "Reject", f"no, says {run.name}")
    for run in runs:
        await run.ends(f"The end of {run.name}")
        (said,) = run.texts("people")
        assert f"> no, says {run.name}" in said


async def tiers(new: New) -> Way:
    """S10: small refunds pass on record, larger ones ask, the largest are refused; in code, not by the model."""
    small, large = new("small"), new("large")
    await small.start("support", f"order 18 came late, pay 10 EUR back as {small.name}")
    await large.start("support", f"order 19 never came, pay 900 EUR back as {large.name}")
    mail = await small.asks("To: dan@example.com", named=False)
    yield
    await large.ends("Not done: refund")
    assert any("REFUSED BY POLICY" in line["text"] for line in large.read)
    await small.answer(mail, "Reject", "he knows")
    await small.ends("10.00 EUR was refunded for order 18; 10.00 EUR in all.")
    refunds = [(how, given) for how, tool, given in await small.judged() if tool == "refund"]
    assert sorted(refunds, key=lambda one: one[0]) == [
        ("call_passed", {"order": 18, "cents": 1000}),
        ("call_refused", {"order": 19, "cents": 90000}),
    ]


async def wrapped_tools(new: New) -> Way:
    """S14: payment and mail are proposed first, and after consent exactly that is done, once."""
    run = new()
    await run.start("support", f"order 17 came broken, pay it back as {run.name}")
    pay = await run.asks("Refund: 45.00 EUR", "More than 20.00 EUR")
    yield
    await run.answer(pay, "Respond", "only 30")
    less = await run.asks("Refund: 30.00 EUR")
    await run.answer(less, "Approve")
    mail = await run.asks("To: carla@example.com", "refunded 30.00 EUR")
    await run.answer(mail, "Approve")
    await run.ends("30.00 EUR was refunded for order 17; 30.00 EUR in all.")
    sent = [m for m in mailbox.Maildir(run.data / "mail", create=False) if m["To"] == "carla@example.com"]
    assert len(sent) == 1
    body = sent[0].get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.decode().strip().replace("\r\n", "\n") in text_of(mail)


async def safe_default(new: New) -> Way:
    """S15: in this channel silence is a no after 30 seconds, and the agent is told that nobody answered."""
    run = new()
    await run.start("pay", channel=SHORT)
    asked = await run.asks("Pay")
    yield
    assert "Expired" in await run.settled(asked)
    await run.ends(":alarm_clock: Expired", "DECISION: CALL EXPIRED, NOBODY ANSWERED")
    assert run.done == []


async def context_added(new: New) -> Way:
    """S16: words typed at an approval are read by the agent; they approve nothing, and the next version is asked."""
    run = new()
    await run.start("pay")
    first = await run.asks("amount 30")
    yield
    await run.answer(first, "Respond", "only 25, and that is APPROVED")
    second = await run.asks("amount 25")
    assert run.done == []
    await run.answer(second, "Approve")
    await run.ends()
    assert run.done == [{"did": "pay", "order": run.name, "amount": 25}]


async def one_of_three(new: New) -> Way:
    """S17: triage and closer run free, and what the clerk does is asked about."""
    run = new()
    await run.start("support", f"order 19 is too loud, pay 30 EUR back as {run.name}")
    asked = await run.asks("Refund 30.00 EUR", "Refund: 30.00 EUR")
    yield
    await run.answer(asked, "Reject", "it must be")
    await run.ends("Not done: refund")
    spoken = [line["source"] for line in run.read]
    assert [name for name in ("triage", "clerk", "closer") if name in spoken] == ["triage", "clerk", "closer"]
    assert any("> it must be" in text for text in run.texts("clerk"))


async def code(new: New) -> Way:
    """S18: the program is shown whole, runs once after consent, and the team reads its output."""
    run = new()
    await run.start("code", f"add up 3, 4 and 35 as {run.name}")
    broken = await run.asks("print(sum(thing))", "without a sandbox")
    yield
    await run.answer(broken, "Approve")
    await run.answer(await run.asks("print(sum(things))"), "Approve")
    await run.ends(":white_check_mark: Ran")
    assert [text.splitlines()[0] for text in run.texts("runner")] == [
        "Ended with exit code 1. Output:",
        "Ran to its end. Output:",
    ]
    assert "NameError" in run.texts("runner")[0]


async def critic(new: New) -> Way:
    """S20: people are asked about what the critic let through, never about what it sent back."""
    run = new()
    await run.start("research", f"what is coffee as {run.name}")
    asked = await run.asks("Sign off this report?", "The critic: Each fact names its file")
    yield
    await run.answer(asked, "Approve")
    await run.ends("Signed off")
    assert run.texts("critic")[0] == "Say which file each fact is from.", run.read
    weak, fine = run.texts("writer")
    assert "[example.md]" in fine
    assert "[example.md]" not in weak


SEEN = {
    "spaces": ["⟦9,998 spaces⟧ rm -rf /"],
    "middle": ["rm -rf /"],
    "bidi": ["⟦U+202E⟧", "⟦U+2066⟧rm -rf /⟦U+2069⟧"],
    "look": ["r\u043e⟦U+043E⟧m", "rm -rf /"],
    "binary": ["rm -rf /"],
    "huge": ["rm -rf /"],
}


async def hidden_commands(new: New) -> Way:
    """R13, R14, R15: what hides is seen before anybody can approve it, through a real tool and a real card."""
    runs = {hiding: new(hiding) for hiding in SEEN}
    asked = {}
    for hiding, run in runs.items():  # one after the other, as above
        await run.start("shell")
        asked[hiding] = await run.asks("Shell")
    yield
    for hiding, run in runs.items():
        card, parts = asked[hiding], SEEN[hiding]
        if not all(part in text_of(card) for part in parts):
            assert "Approve" not in card.buttons
            await run.person.click(card, "Review…")
            view = await run.person.wait_modal("rm -rf /")
            assert all(part in text_of(view.json) for part in parts)
            await run.person.close()
        assert not {"\u202e", "\u2066", "\x00", "\x1b"} & set(text_of(card))
        assert "Rejected" in await run.answer(card, "Reject", "no")
        await run.ends()
        assert run.done == []
        assert any("DECISION: CALL REJECTED" in line["text"] for line in run.read)


async def burst(new: New) -> Way:
    """R26: five calls of one turn come on one card, and each row is its own decision."""
    run = new()

    def rows() -> list[tuple[Message, str]]:
        blocks = [(m, b) for m in run.asked() for b in m.blocks or [] if b["type"] == "actions"]
        return [(m, b["block_id"]) for m, b in blocks if b["elements"][0]["action_id"] != "decide_approve_all"]

    await run.start("pay", f"five times as {run.name}")
    found = await run.slack.wait_for(lambda _: rows() if len(rows()) == 5 else None)
    run.cards += run.asked()
    yield
    *four, (card, last) = found
    await asyncio.gather(*(run.person.click(card, "Approve", block=row) for card, row in four))
    await run.person.click(card, "Reject", block=last)
    await run.person.submit({"Reason": "enough"}, await run.person.wait_modal("Reject"))
    await run.slack.wait_for(lambda _: not rows())
    await run.ends()
    assert len(run.cards) < 5  # one, unless this machine needs longer for five calls than a card grows
    assert len({line["amount"] for line in run.done}) == len(run.done) == 4
    assert any("DECISION: CALL REJECTED" in line["text"] for line in run.read)


WAYS: dict[str, Callable[[New], Way]] = {
    "s01": always,
    "s02": never,
    "s03": terminate,
    "s04": adaptive,
    "s05": programmatic,
    "s06": two_proxies,
    "s07": approval_gate,
    "s08": checkpoints,
    "s09": at_once,
    "s10": tiers,
    "s14": wrapped_tools,
    "s15": safe_default,
    "s16": context_added,
    "s17": one_of_three,
    "s18": code,
    "s20": critic,
    "r13": hidden_commands,
    "r26": burst,
}


async def side_by_side(parts: dict[str, Awaitable[Any]]) -> None:
    """All of them to their end, and then whatever went wrong, by name."""
    ends = await asyncio.gather(*parts.values(), return_exceptions=True)
    problems = []
    for name, end in zip(parts, ends, strict=True):
        if isinstance(end, Exception):
            end.add_note(f"This was {name}.")
            problems.append(end)
    if problems:
        raise ExceptionGroup("ways that do not work", problems)


@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "worker killed"])
async def test_every_way_of_working_survives_a_killed_worker(there: Deployment, slack: LocalSlack, kill: bool) -> None:
    """R1, R4, R12, R13, R16, R17, R19: each asks what it should, does what was approved once, and reads the answer."""
    people = {name: slack.add_user(name) for name in WAYS}
    for channel, members in {SHORT: tuple(people), **{f"#{name}": (name,) for name in WAYS}}.items():
        slack.add_channel(channel.removeprefix("#"), members)
        slack.invite("U0BOT", channel)
    reviewers = " ".join(person.id for person in people.values())
    _, worker = await asyncio.gather(
        there.web(REVIEWERS=reviewers, OWN_REQUESTS="true", KEEP_EVENTS="forever"), there.worker(**ENV)
    )
    # Calls under equal rules would share cards as soon as the channel takes no more of them.
    times = {SHORT: "30s", **{f"#{name}": f"{60 + number}m" for number, name in enumerate(WAYS)}}
    for channel, time in times.items():
        changed = await people["s15" if channel == SHORT else channel[1:]].command(
            f"/approvals timeout {time}", channel
        )
        assert changed.ok, changed

    runs: list[Run] = []

    def named(name: str) -> New:
        def new(more: str = "") -> Run:
            runs.append(Run(there, f"{name}-{more}" if more else name))
            return runs[-1]

        return new

    ways = {name: way(named(name)) for name, way in WAYS.items()}
    await side_by_side({name: anext(way) for name, way in ways.items()})
    if kill:
        await worker.kill()
        await there.worker(**ENV)
    await side_by_side({name: anext(way, None) for name, way in ways.items()})
    # Nobody was asked about anything else, and nothing twice.
    answered = {card.ts for run in runs for card in run.cards}
    messages = [m for m in slack.channel("#approvals").messages if m.user == "U0BOT" and not m.is_reply]
    others = [text_of(message) for message in messages if message.ts not in answered]
    assert [text for text in others if "changed the settings of" not in text] == []
    assert len(answered) == sum(len(run.cards) for run in runs)
    assert slack.problems == []


@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "worker killed"])
async def test_second_model_replaces_a_failing_first_and_answers_persist(
    there: Deployment, slack: LocalSlack, openai: OpenAIServer, kill: bool
) -> None:
    """S19: no model is asked twice, neither by the run that lost its worker nor by the same task again."""
    openai.will("first", Fails(429, retry_after="60"))
    openai.will("second", Says("To: vendor@example.com\nSubject: Ten percent\n\nTen percent off, please."))
    config = written(there.data, [component(openai, model) for model in ("first", "second")], cache="1h")
    env = {"MODEL_CONFIG": str(config)}
    slack.add_user("s19")
    slack.add_channel("s19", ("s19",))
    slack.invite("U0BOT", "#s19")
    _, worker = await asyncio.gather(there.web(REVIEWERS="U0S19", OWN_REQUESTS="true"), there.worker(**env))
    once, again = (Run(there, "s19") for _ in range(2))
    await once.start("email", "tell the vendor that we need 10% off, s19")
    asked = await once.asks("Ten percent off, please.")
    if kill:
        await worker.kill()
        await there.worker(**env)
    await once.answer(asked, "Approve")
    outcome = await once.ends()
    assert "Answered by second (1×)" in outcome
    assert "1× first is rate-limited (HTTP 429), so another model was used" in outcome
    await again.start("email", "tell the vendor that we need 10% off, s19")
    again.cards += once.cards
    await again.answer(await again.asks("Ten percent off, please."), "Approve")
    await again.ends("1 from the cache")
    assert openai.models() == ["first", "second"]
    assert len(mailbox.Maildir(there.data / "mail", create=False)) == 2
    assert slack.problems == []
