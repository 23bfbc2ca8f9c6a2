"""People: they give tasks, and decide, each card in the manner that the seed gives it, never giving up too early.

They know what Slack shows them. Only who is asked whether an action happened looks at the other end, as people would.
"""

import asyncio
import json
import logging
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from bot.slack.views.control_values import APPROVE, APPROVE_ALL, CHOOSE, REJECT, RESPOND
from localslack import text_of
from localslack.errors import CannotDo
from localslack.person import Person, WrongAnswer
from localslack.workspace import Message
from tests.chaos.cluster import Deployment
from tests.chaos.plan import ASKS, CHANNELS, REVIEWERS, Manner, Task, manner
from tests.chaos.side_effects import EFFECTS, read
from tests.slack.socket_bot import confirm_loosening

log = logging.getLogger(__name__)

_BUTTONS: Final = {"approve": APPROVE, "reject": REJECT, "respond": RESPOND, "edit": "Edit"}
_DOUBT: Final = "Did “"
_AGAIN: Final = 4.0
"""Seconds after which somebody whose click changed nothing clicks again."""


@dataclass(slots=True)
class Given:
    """A task that somebody gave, and the run that the app then named; "" if it gave no answer."""

    task: Task
    run: str


class Crowd:
    """All people of the deployment. `hurry` makes them do at once whatever they still have in mind."""

    def __init__(self, deployment: Deployment, seed: int, patience: float) -> None:
        self.given: list[Given] = []
        self.clicks: Counter[str] = Counter()
        self._town = deployment
        self._slack = deployment.slack
        self._seed = seed
        self._patience = patience
        self._hurrying = asyncio.Event()
        self._seen: set[str] = set()
        self._cards: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hands = {name: asyncio.Lock() for name in REVIEWERS}

    async def settle_in(self) -> None:
        """The settings of the channels, before anything breaks."""
        slack = self._slack
        for channel, settings in CHANNELS.items():
            for words in settings:
                reply = await slack.user("alice").command(f"/approvals {words}", channel=channel)
                assert reply.ok, f"{channel}: {words}: {reply.error}"
                if words == "on-timeout approve":  # looser rules count once an admin has confirmed them
                    assert (await confirm_loosening(slack.user("alice"))).startswith("Saved.")

    def hurry(self) -> None:
        self._hurrying.set()

    def give(self, task: Task) -> None:
        """Somebody gives this task."""
        self._spawn(self._give(task), f"giving {task.tag}")

    async def watch(self) -> None:
        """Look at every new card in the approvals channel, until cancelled."""
        while True:
            for channel in list(self._slack.workspace.channels.values()):
                for ts, message in reversed(channel.posts.items()):
                    if f"{channel.id} {ts}" in self._seen:
                        break
                    self._seen.add(f"{channel.id} {ts}")
                    if (request := _request_of(message)) is not None:
                        self._spawn(self._care(message, request), f"card {request}")
            await asyncio.sleep(0.1)

    async def go_home(self) -> None:
        """Nobody does anything any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _give(self, task: Task) -> None:
        person = self._slack.user(task.requester)
        reply = await person.command(f"/agent {task.team} do what {task.tag} says", channel=task.channel)
        named = re.search(r"run `(\w+)`", reply.text)
        self.given.append(Given(task, named[1] if named else ""))
        if named is None or task.stop_after is None:
            return
        await self._pause(task.stop_after)
        self.clicks["stop"] += 1
        await person.command(f"/agent stop {named[1]}", channel=task.channel)

    async def _care(self, card: Message, request: str) -> None:
        text = text_of(card)
        tag = re.search(r"tag\d+x\d+", text)
        about = tag[0] if tag else request
        self._cards[about] += 1
        how = manner(self._seed, f"{about} {self._cards[about]}", self._patience, may_respond=self._cards[about] < 4)
        if _DOUBT in text:
            await self._resolve(card, request, how)
            return
        if how.kind == "ignore":
            await self._pause(min(40.0, 6 * self._patience))
        elif how.kind == "last moment":
            await self._pause(5.9 if "6 s" in text else 7.9 if "8 s" in text else how.after)
        else:
            await self._pause(how.after)
        if how.kind == "intrude":
            intruders = [self._slack.user(name) for name in ("greta", "sam", "alice", "dave")]
            await asyncio.gather(*(self._click(p, card, "approve") for p in intruders))
        if how.changes and ASKS in text:
            await self._click(self._slack.user(how.people[0]), card, "edit")
        if how.kind == "repeat":
            await asyncio.gather(*(self._click(self._slack.user(how.people[0]), card, how.verbs[0]) for _ in range(3)))
        await asyncio.gather(
            *(self._click(self._slack.user(who), card, verb) for who, verb in zip(how.people, how.verbs, strict=False))
        )
        await self._until_settled(card, how)
        for name in how.late:
            self.clicks["late"] += 1
            await self._click(self._slack.user(name), card, "approve", late=True)

    async def _until_settled(self, card: Message, how: Manner) -> None:
        people = [*how.people, *(name for name in REVIEWERS if name not in how.people)]
        turn = 0
        while (now := self._now(card)) is not None and _request_of(now) is not None:
            await self._pause(_AGAIN)
            turn += 1
            await self._click(self._slack.user(people[turn % len(people)]), card, "approve")
            if self._hurrying.is_set():
                await asyncio.sleep(1)

    async def _resolve(self, card: Message, request: str, how: Manner) -> None:
        """Whether an action happened: look, then say so, or have it done again, or end the run."""
        turn = 0
        while (now := self._now(card)) is not None and _request_of(now) is not None:
            await self._pause(how.after if turn == 0 else _AGAIN)
            who = REVIEWERS[turn % len(REVIEWERS)]
            seen = await self.happened(text_of(card))
            verb = "respond" if seen else ("approve", "reject")[turn % 2]
            self.clicks["resolve"] += 1
            await self._click(self._slack.user(who), card, verb)
            turn += 1
            await asyncio.sleep(1)

    async def happened(self, text: str) -> bool:
        """Whether the other end has it: a line of effects, or a mail, of the request that the doubt is about."""
        about = re.findall(r"\bq[2-9a-z]{16}\b", text)
        run = re.search(r"\brun (r\w{8})\b", text)
        lines = await asyncio.to_thread(read, self._town.folder / EFFECTS)
        mails = [name for name in self._town.sink.names if run and f".{run[1]}@" in name]
        return bool(mails) or any(
            line["part"] in text if "part" in line else line["request"] in about for line in lines
        )

    def _now(self, card: Message) -> Message | None:
        return self._slack.channel(card.channel).posts.get(card.ts)

    async def _pause(self, seconds: float) -> None:
        """That long, unless it hurries."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurrying.wait()
        except TimeoutError:
            return

    async def _click(self, person: Person, card: Message, verb: str, *, late: bool = False) -> None:
        self.clicks[verb] += 1
        try:
            if verb == "approve":
                approving = next((one for one in _buttons(card) if one.startswith(CHOOSE)), APPROVE)
                await person.click(card, approving, stale=late or _request_of(card) is None)
                return
            async with self._hands[person.user.name]:
                await self._write(person, card, verb)
        except CannotDo as refused:
            log.debug("%s cannot %s: %s", person.user.name, verb, refused)

    async def _write(self, person: Person, card: Message, verb: str) -> None:
        await person.click(card, _BUTTONS[verb])
        request = _request_of(card) or ""
        try:
            view = await person.wait_modal(lambda v: request in str(v.json.get("private_metadata")), timeout=3)
            words = {"Times": "2"} if verb == "edit" else {view.blocks[-1]["block_id"]: f"because of {card.ts}"}
            await person.submit(words, view)
        except (TimeoutError, WrongAnswer) as why:  # somebody was faster, or the service says why it did not count
            log.debug("No window for %s: %s", person.user.name, why)
        while person.modal is not None:
            await person.close()

    def _spawn(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)


def _request_of(message: Message) -> str | None:
    """The request that this message's buttons decide on; None if it has no such buttons."""
    for element in message.elements:
        if str(element.get("action_id")).startswith((APPROVE, CHOOSE)) and element["action_id"] != APPROVE_ALL:
            return str(json.loads(element["value"])["request"])
    return None


def _buttons(message: Message) -> list[str]:
    """The actions of the message's buttons."""
    return [str(element.get("action_id")) for element in message.elements]
