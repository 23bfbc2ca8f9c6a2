"""A whole `web` over a real Redis and a local Slack, the payloads of a day in it, and what must not change."""

import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, cast
from urllib.parse import urlencode

from bot.api import endpoints
from bot.slack import app, http
from bot.slack.handlers.context import Services
from bot.slack.people.lookup_cache import LookupCache
from bot.slack.people.users_and_groups import Directory
from bot.slack.projector.clicked_cards import ClickedCards
from bot.slack.projector.home_publisher import HomePublisher
from bot.slack.projector.message_sync import Place, Poster
from bot.slack.routes import register
from bot.slack.slack_calls import GatedCalls
from bot.slack.views.approval_card import card
from countersign.domain import api_keys
from countersign.domain.calls import Call, canonical
from countersign.domain.ids import RunId, WorkerId
from countersign.domain.requests import Kind, Question, Request
from countersign.domain.runs import Run
from countersign.http_port import Asgi
from countersign.store.programs import ApiKeys
from countersign.store.redis.connection import connect
from countersign.store.request_lists import Overview
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases.ports import Announcement, Change, Put, TeamInfo
from localslack import LocalSlack
from localslack.errors import CannotDo
from localslack.fixtures import HURRY
from localslack.http_events import sign
from localslack.workspace import elements_of
from tests.sample_requests import (
    ALICE,
    APPROVALS,
    BOB,
    CAROL,
    GENERAL,
    HERE,
    call,
    choice,
    editable,
    question,
    request,
    rules,
)
from tests.store_fixtures import NoQueue, new_run
from tests.worker_service import served

RUN = RunId("rtest")
COMMANDS = (
    "/agent email tell the vendor", "/agent status", "/agent stop rtest", "/agent", "/agent nothing at all",
    "/approvals", "/approvals show", "/approvals pending", "/approvals history 25", "/approvals timeout 2h",
    "/approvals on-timeout approve", "/approvals reviewers members", "/approvals channel #general",
    "/approvals quorum 2", "/approvals own-requests yes", "/approvals remind 15m",
    "/approvals quiet 19:00-08:00 weekends Europe/Berlin", "/approvals break-glass yes", "/approvals permissions",
    "/approvals escalate 30m #general", "/approvals back",
)  # fmt: skip


@dataclass
class Deployment:
    """`asgi` is what serves at web's port, `api` at the port for workers and programs.

    `tokens` are the keys of workers: `own` of those whose runs are here, `other` of other workers, and `program`.
    """

    slack: LocalSlack
    store: Store
    services: Services
    asgi: Asgi
    api: Asgi
    tokens: dict[str, str]
    seeds: list[tuple[str, Any]]
    pending: list[Request]
    """Questions that wait; nobody who may decide sends anything."""

    async def post(self, body: bytes, kind: str, signed: bool = True, **more: str) -> int:
        """The status with which a request is answered."""
        now = int(time.time())
        headers = {"content-type": kind, "content-length": str(len(body)), **more}
        if signed:
            with contextlib.suppress(UnicodeDecodeError):
                headers["x-slack-signature"] = sign(self.slack.signing_secret, now, body.decode())
            headers["x-slack-request-timestamp"] = str(now)
        return await self.http("POST", http.EVENTS_PATH, headers, body)

    async def http(self, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
        return (await _exchanged(self.asgi, method, path, headers, body))[0]

    async def called(self, method: str, path: str, token: str, body: bytes) -> tuple[int, bytes]:
        """The status and the answer to a call over the API."""
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        headers["content-length"] = str(len(body))
        return await _exchanged(self.api, method, path, headers, body)

    async def begun(self, run: RunId) -> Run | None:
        """The run, for which a worker may call; None if it is over or does not exist."""
        seen = await self.store.run(run)
        return None if seen is None or seen.value.over else seen.value

    async def standing(self) -> dict[str, Any]:
        """All that a decision or a change of the rules would change."""
        found = await self.store.requests([one.id for one in self.pending])
        run = await self.store.run(RUN)
        away = (await self.store.absences()).value.people
        return {
            "requests": [one and (one.id, one.status, one.votes) for one in found],
            "settings": [(await self.store.settings(channel)).value for channel in (GENERAL, APPROVALS)],
            "permissions": [seen.value for seen in await self.store.permissions()],
            "run": run and run.value.status,
            "away": [one for one in away if one.user in (ALICE, BOB, CAROL)],
            "defaults": (await self.store.defaults(), await self.store.rulebook()),
        }

    async def forget(self) -> None:
        """What the local Slack keeps of all this, and the runs that were started."""
        platform, workspace = self.slack.platform, self.slack.workspace
        for kept in (platform.calls, platform.problems, platform.notices, workspace.ephemerals, self.slack.deliveries):
            kept.clear()
        platform.modals.stacks.clear()
        await self.services.drain()


async def _exchanged(asgi: Asgi, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    raw = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b""}
    answers: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        answers.append(message)

    await asgi(scope, receive, send)
    return int(answers[0]["status"]), b"".join(part.get("body", b"") for part in answers[1:])


_LONGER_THAN_ALL: Final = timedelta(days=7)
"""A hundred thousand payloads take an hour, and no deadline may pass meanwhile."""


@asynccontextmanager
async def deployment(web_url: str, namespace: str) -> AsyncIterator[Deployment]:
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(LocalSlack())
        store = Store(await stack.enter_async_context(connect(web_url)), namespace)
        await store.set_defaults(rules(timeout=_LONGER_THAN_ALL))
        email = Announcement((TeamInfo("email", "writes a mail"),))
        await store.workers.announce(WorkerId("worker"), email, timedelta(days=1))
        wakeups = await stack.enter_async_context(Wakeups(store))
        web = await stack.enter_async_context(served(store, wakeups, HERE, GENERAL))
        tokens = {"own": web.address.key}
        for name, issued in (
            ("other", api_keys.issue_worker("others", (), await store.now())),
            ("program", api_keys.issue("ci", (GENERAL,), await store.now(), per_minute=10**6)),
        ):
            await ApiKeys(store).put(issued.key)
            tokens[name] = issued.token
        clients = await stack.enter_async_context(app.slack_clients(slack.bot_token, slack.api_url))
        identity = await app.identify(clients.reads)
        directory = Directory(clients.reads, identity.workspace, LookupCache(patience=1.0))
        stack.push_async_callback(directory.close)
        poster = Poster(GatedCalls(clients.posts, HURRY), store, identity.workspace, identity.home, identity.names)
        homes = HomePublisher(store, Overview(store), directory, GatedCalls(clients.homes, HURRY), poster.link)
        cards = ClickedCards(store, poster, clients.reads.session)
        services = Services(
            store, NoQueue(), directory, clients.reads, frozenset(), poster.link, homes, cards, identity.bot_user
        )
        stack.push_async_callback(services.drain)
        bolt = app.build(clients, identity)
        register(bolt, services)
        asgi = http.http(bolt, secret=slack.signing_secret)
        api = cast(Asgi, endpoints.app(web.interface))
        it = Deployment(slack, store, services, asgi, api, tokens, [], [])
        await new_run(store, RUN)
        async with http.serving(asgi, "127.0.0.1", 0) as port:
            slack.events_urls.append(f"http://127.0.0.1:{port}/slack/events")
            await _a_day(it, poster)
            slack.events_urls.clear()
        await it.forget()
        yield it


async def _a_day(it: Deployment, poster: Poster) -> None:
    """Bob does all that can be done to a card of each kind, and says each command; what Slack sent is kept, as if Erin
    had done it to a card that still waits.
    """
    bob, erin = it.slack.user("bob"), it.slack.add_user("erin")
    number = 0
    for asked in (question(), call(), editable(), choice(), choice("a", "b", "c", several=True), _code()):
        left = await _asked(it, asked, 1000 + number)
        it.pending.append(left)
        first = await _asked(it, asked, number)
        elements = list(elements_of(json.loads(json.dumps(_drawn(first, await _run(it)).blocks))))
        for element in elements:
            for option in element.get("options") or [None]:
                number += 1
                one = await _asked(it, asked, number)
                posted = await poster.show(
                    f"card/{one.id}", Place(APPROVALS), _drawn(one, await _run(it)), request=one.id
                )
                assert posted is not None
                shown = await it.slack.wait_message("#approvals", lambda m, ts=posted.ts: m.ts == ts)  # type: ignore[misc]
                with contextlib.suppress(CannotDo):
                    await bob.click(shown, element["action_id"], choose=option and option["text"]["text"])
                await it.services.drain()
                while bob.modal is not None:
                    with contextlib.suppress(CannotDo):
                        await bob.submit({})
                    await it.services.drain()
                    it.slack.platform.modals.stacks.clear()
                _keep(it, {one.id: left.id, bob.id: erin.id, "bob": "erin"})
    for text in COMMANDS:
        with contextlib.suppress(CannotDo):
            await erin.command(text)
        await it.services.drain()
        if erin.modal is not None:
            with contextlib.suppress(CannotDo):
                await erin.submit({})
        it.slack.platform.modals.stacks.clear()
    await erin.open_home()
    await it.slack.wait_for(lambda _: any(kind == "events_api" for kind, _ in it.slack.deliveries), timeout=60)
    await it.services.drain()
    _keep(it, {})


def _keep(it: Deployment, instead: dict[str, str]) -> None:
    for kind, payload in it.slack.deliveries:
        text = json.dumps(payload)
        for before, after in instead.items():
            text = text.replace(before, after)
        it.seeds.append((kind, json.loads(text)))
    it.slack.deliveries.clear()


async def _asked(it: Deployment, asked: Question, number: int) -> Request:
    made = request(await it.store.now(), RUN, replace(asked, asked=number), timeout=_LONGER_THAN_ALL)
    await it.store.commit(Change(requests=(Put(made, 0),)))
    return made


async def _run(it: Deployment) -> Any:
    seen = await it.store.run(RUN)
    assert seen is not None
    return seen.value


def _drawn(one: Request, run: Any) -> Any:
    return card(one, run=run, run_link=None)


def _code() -> Question:
    return replace(call(), kind=Kind.CODE, title="run code", call=Call("python", canonical({"code": "print(1)"})))


def encoded(kind: str, payload: Any) -> tuple[bytes, str]:
    """As Slack sends it: the body and its type."""
    if kind == "events_api":
        return json.dumps(payload).encode(), "application/json"
    if kind == "slash_commands" and isinstance(payload, dict):
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in payload.items()}
    else:
        fields = {"payload": json.dumps(payload)}
    form = urlencode({k.encode("utf-8", "replace"): v.encode("utf-8", "replace") for k, v in fields.items()})
    return form.encode(), "application/x-www-form-urlencoded"
