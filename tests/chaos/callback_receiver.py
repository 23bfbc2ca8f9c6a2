"""A receiver of callbacks that refuses some at first, and of others forgets to say that it took them."""

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import Any, Self

from aiohttp import web

from countersign.domain.callback_signing import headers
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request


@dataclass(frozen=True, slots=True)
class Post:
    """A post that came: its name, what it says, whether its signature is right, and how it was answered."""

    name: str
    request: dict[str, Any]
    signed: bool
    taken: bool


class Receiver:
    """HTTP on loopback. `posts`: all that came, in order; `secret`: that of the programs' key."""

    def __init__(self) -> None:
        self.url = ""
        self.secret = ""
        self.posts: list[Post] = []
        self._ways = cycle(("fail", "forget", "take"))
        app = web.Application()
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body, name = await request.read(), request.headers["webhook-id"]
        at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        right = headers([self.secret], name, at, body)["webhook-signature"]
        signed = hmac.compare_digest(right, request.headers["webhook-signature"])
        before = any(post.name == name for post in self.posts)
        way = "take" if before else next(self._ways)
        self.posts.append(Post(name, json.loads(body)["data"], signed, way != "fail"))
        if way == "forget" and request.transport is not None:
            request.transport.close()
        return web.Response(status=500 if way == "fail" else 200)


def wrongs(posts: Sequence[Post], wanted: Sequence[Request], queued: set[str]) -> list[tuple[str, str, str]]:
    """Decisions that did not arrive and wait no more, and posts that are forged or say something else."""
    cases = [(f"a post without a right signature: {post.name}", "", "") for post in posts if not post.signed]
    of = {request.id: request for request in wanted}
    for post in posts:
        request = of.get(RequestId(post.request["id"]))
        truth = request and request.decision and (request.decision.outcome, list(request.decision.by))
        told = post.request["decision"]
        if truth != (told["outcome"], told["by"]):
            cases.append((f"posted {told}, the store has {truth}", "", post.request["id"]))
    arrived = {post.request["id"] for post in posts if post.taken}
    names = {
        post.request["id"]: {one.name for one in posts if one.request["id"] == post.request["id"]} for post in posts
    }
    cases += [(f"posted under {ids}", "", request) for request, ids in names.items() if len(ids) > 1]
    lost = [one for one in wanted if one.decision is not None and one.id not in arrived | queued]
    return cases + [("a decision was not posted", one.run, one.id) for one in lost]
