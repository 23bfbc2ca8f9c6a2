"""Keep open Homes equal to the store (R6).

A Home is drawn when its person opens it and, for an hour after that, whenever an event concerns its person.
views.publish is of Tier 4, about 100 calls a minute for the workspace: updates leave two fifths of these calls to
people who open a Home.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from countersign.domain.decision_attempts import waits_for
from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import Actor, why_nobody
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.usecases import permission_use
from countersign.usecases.overview import Listed, Overview, with_links
from countersign.usecases.ports import Message, Store

from ..people.users_and_groups import Directory
from ..ports import Calls, CannotPost, Importance
from ..views import home
from ..views.block_kit import Block

LIVE: Final = timedelta(hours=1)
"""How long a Home is kept up to date after it was opened."""
EACH: Final = timedelta(seconds=3)
"""Shortest pause between two drawings of one Home."""
LATER: Final = timedelta(seconds=30)
"""Pause before a Home that Slack refused is tried again."""
_DELAY: Final = 0.2
_CHANGE_NO_HOME: Final = frozenset(
    {EventType.RUN_PROGRESSED, EventType.CALL_PASSED, *(e for e in EventType if e.startswith("settings_"))}
)
"""Events that change no Home."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reader:
    """Person whose Home is drawn, and the store's time.

    `groups_unknown`: the groups whose members Slack did not name. `public_key`: for admins.
    """

    actor: Actor
    now: datetime
    store: Store
    overview: Overview
    link: Callable[[Message], str]
    groups_unknown: tuple[GroupId, ...] = ()
    public_key: str = ""


Section = Callable[[Reader], Awaitable[list[Block]]]
"""One part of a Home: reads its data and draws it; no blocks if there is nothing to show."""


class HomePublisher:
    """Homes of one workspace; `run` keeps live Homes equal to the store."""

    def __init__(
        self,
        store: Store,
        overview: Overview,
        directory: Directory,
        calls: Calls,
        link: Callable[[Message], str],
        *,
        each: timedelta = EACH,
        public_key: Callable[[], str] = str,
        admins: frozenset[UserId] = frozenset(),
    ) -> None:
        """`public_key` returns the PEM of the key that verifies receipts, or ""."""
        self.overview = overview
        self._store = store
        self._directory = directory
        self._calls = calls
        self._link = link
        self._public_key = public_key
        self._admins = admins
        self._each = each.total_seconds()
        self._events: list[Event] = []
        self._due: dict[UserId, float] = {}
        self._drawn: dict[UserId, float] = {}
        self._news = asyncio.Event()

    async def opened(self, user: UserId) -> None:
        """Draw the Home that this person opened, and keep it live."""
        try:
            await self.overview.watch(user, LIVE)
        except StoreUnavailable as away:
            _log.error("%s The Home of %s says so.", away, user)
            await self._publish(user, home.store_down(), Importance.CARD)
        else:
            await self.draw(user, Importance.CARD)

    def changed(self, event: Event) -> None:
        """Take note of an event; the Homes that it concerns are drawn again."""
        if event.type not in _CHANGE_NO_HOME:
            self._events.append(event)
            self._news.set()

    async def run(self) -> None:
        """Draw live Homes again after events that concern them, until cancelled."""
        while True:
            await self.draw(await self._next())

    async def draw(self, user: UserId, importance: Importance = Importance.REST) -> None:
        """Make this person's Home show the state of the store.

        Never raises for failures of the store or Slack.
        """
        now = asyncio.get_running_loop().time()
        self._drawn = {u: at for u, at in self._drawn.items() if now - at < self._each} | {user: now}
        try:
            view = await self._view(user)
            if not await self._publish(user, view, importance):
                self._again(user, LATER.total_seconds())
            elif await self._view(user) != view:
                # Another process may have drawn the newer state before this process drew the older one.
                self._again(user)
        except StoreUnavailable as away:
            _log.warning("%s The Home of %s will be drawn later.", away, user)
            self._again(user, LATER.total_seconds())
        except CountersignError as wrong:
            _log.error("The Home of %s cannot be drawn: %s", user, wrong)

    async def _view(self, user: UserId) -> dict[str, Any]:
        reader = await self._reader(user)
        if reader.actor.checked and reader.actor.is_stranger:
            return home.closed()
        return home.view([await section(reader) for section in SECTIONS])

    async def waiting_for(self, user: UserId) -> list[Block]:
        """Draw the requests that wait for a person, without buttons."""
        return await waiting(await self._reader(user), buttons=False)

    async def _reader(self, user: UserId) -> Reader:
        groups = await self.overview.groups()
        member_of, unknown = await self._directory.memberships(user, groups)
        actor = await self._directory.actor(user, member_of)
        absences = await self._store.absences()
        absent = absences.value.behind(actor.workspace, user, absences.now)
        others = await asyncio.gather(*(self._directory.actor(u, groups) for u in absent))
        actor = replace(actor, stands_for=tuple(others))
        key = self._public_key() if actor.administers(self._admins) else ""
        now = await self._store.now()
        return Reader(actor, now, self._store, self.overview, self._link, tuple(sorted(unknown)), key)

    async def _publish(self, user: UserId, view: dict[str, Any], importance: Importance) -> bool:
        """Publish the view in its turn; False if a retry may help."""
        try:
            return await self._calls.call("views.publish", {"user_id": user, "view": view}, importance) is not None
        except CannotPost as refused:
            _log.error("Slack did not take the Home of %s: %s", user, refused)
            return True

    async def _next(self) -> UserId:
        """Wait for the next person whose Home needs drawing."""
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            if self._events:
                await asyncio.sleep(_DELAY)
                events, self._events = self._events, []
                await self._follow(events)
            user = min(self._due, key=self._due.__getitem__, default=None)
            if user is not None and self._due[user] <= loop.time():
                del self._due[user]
                return user
            try:
                async with asyncio.timeout_at(None if user is None else self._due[user]):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _follow(self, events: list[Event]) -> None:
        """Queue the live Homes that these events concern."""
        try:
            if live := await self.overview.watching():
                for user in await audience(self._store, self._directory, events, live):
                    self._again(user)
        except CountersignError as wrong:
            _log.warning("%s The Homes will be drawn with the next event.", wrong)

    def _again(self, user: UserId, after: float | None = None) -> None:
        now = asyncio.get_running_loop().time()
        since = self._drawn.get(user, now - self._each)
        at = now + after if after is not None else max(now, since + self._each)
        self._due[user] = min(at, self._due.get(user, at))
        self._news.set()


async def audience(store: Store, directory: Directory, events: Sequence[Event], live: set[UserId]) -> set[UserId]:
    """Find the live Homes that these events concern; unreadable records are skipped.

    An event concerns the requester, people who may decide or have voted, people whose permission ended, and stand-ins
    (also those whose turn just ended).
    """
    of_runs = await store.readable_runs(list(dict.fromkeys(e.run for e in events if e.run is not None)))
    of_requests = await store.readable(list(dict.fromkeys(e.request for e in events if e.request is not None)))
    runs = [run for run in of_runs.values() if run is not None]
    requests = [request for request in of_requests.values() if request is not None]
    people = {run.requester for run in runs}
    for request in requests:
        deciders = request.decision.by if request.decision else ()
        people |= {request.requester, *request.rules.reviewers.users, *(vote.user for vote in request.votes), *deciders}
    people |= await _permission_givers(store, runs)
    people |= await _members(directory, {group for one in requests for group in one.rules.reviewers.groups}, live)
    absences = await store.absences()
    people |= {a.stand_in for a in absences.value.people if a.user in people and absences.now < a.until}
    # A stand-in's Home shows requests that waited for the absent person. The request does not name the stand-in if #
    # the absent person reviews as a member of a group.
    people |= {UserId(e.data[name]) for e in events for name in ("stand_in", "before") if name in e.data}
    return live & people


async def _permission_givers(store: Store, runs: Iterable[Run]) -> set[UserId]:
    """Find the people whose standing permissions ended with a run."""
    ended = {run.id for run in runs if run.over}
    return {seen.value.by for seen in await store.permissions() if seen.value.run in ended} if ended else set()


async def _members(directory: Directory, groups: Iterable[GroupId], live: set[UserId]) -> set[UserId]:
    """Find the members of these groups; all people, if a channel is too large to list."""
    lists = [members for members in await asyncio.gather(*(directory.members(group) for group in groups)) if members]
    return live if any(not members.whole for members in lists) else {u for members in lists for u in members.users}


async def start(reader: Reader) -> list[Block]:
    """Offer to start a task, and welcome people who have not used the app yet."""
    user = reader.actor.user
    been_here = await reader.overview.decided(user, 1) or (await reader.overview.runs(user, 1))[1]
    return home.start(first_time=not been_here)


async def waiting(reader: Reader, *, buttons: bool = True) -> list[Block]:
    """List the requests that wait for this person.

    The section is only for people who may decide.
    """
    actor = reader.actor
    if not actor.checked:
        return home.waiting(Listed((), {}, 0), known=False)
    if why_nobody(actor, actor.workspace) is not None:
        return []
    seats = (actor, *actor.stands_for)
    names: list[UserId | GroupId | ChannelId] = sorted({n for s in seats for n in (s.user, *(s.groups or ()))})

    def fits(request: Request) -> bool:
        return waits_for(request, actor, reader.now)

    page = await reader.overview.waiting(names, actor.user, fits, home.MOST_WAITING)
    listed = await with_links(reader.store, reader.overview, reader.link, page.requests)
    listed = replace(listed, total=page.total, whole=page.whole)
    return home.waiting(listed, reader.groups_unknown, buttons=buttons)


async def running(reader: Reader) -> list[Block]:
    """List their active runs."""
    runs, total = await reader.overview.runs(reader.actor.user, home.MOST_RUNS)
    threads = await reader.overview.messages([n for run in runs for n in (f"run/{run.id}", f"run/{run.id}/direct")])
    shown = []
    for run in runs:
        requests = await reader.store.readable(list(run.open.values()))
        open_now = [request for request in requests.values() if request is not None and request.decision is None]
        listed = await with_links(reader.store, reader.overview, reader.link, open_now)
        thread = threads.get(f"run/{run.id}") or threads.get(f"run/{run.id}/direct")
        shown.append((run, reader.link(thread) if thread else "", listed))
    return home.runs(shown, total)


async def permissions(reader: Reader) -> list[Block]:
    """List their standing permissions that are in force."""
    actor, standing = reader.actor, await permission_use.in_force(reader.store)
    return home.permissions([one for one in standing if (one.workspace, one.by) == (actor.workspace, actor.user)])


async def recent(reader: Reader) -> list[Block]:
    """List the newest decisions on requests that they made or decided."""
    decided = await reader.overview.decided(reader.actor.user, home.MOST_RECENT)
    return home.recent(await with_links(reader.store, reader.overview, reader.link, decided), reader.now)


async def receipts(reader: Reader) -> list[Block]:
    """Show admins the public key of this installation.

    With it anybody can verify a receipt without trusting its sender.
    """
    return home.receipts(reader.public_key)


SECTIONS: Final[tuple[Section, ...]] = (start, waiting, running, permissions, recent, receipts)
"""Sections from top to bottom; a new part of the Home is added here."""
