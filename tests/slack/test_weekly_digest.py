"""The digest of a week stands in the approvals channel, once, unless a setting says no."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import pytest

from bot.audit.auditor import Auditor
from bot.audit.figures import Figures
from bot.audit.weekly_figures import picture, summed
from bot.slack.projector import audit_posts
from bot.slack.views.audit_posts import LEAST, weekly_digest
from countersign import usecases
from countersign.domain.requests import Request
from countersign.store.audit_log import Ledger
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from tests.audit.generated_record import samples
from tests.longest_wait import PATIENCE
from tests.sample_requests import BOB, NOW, attempt, call
from tests.slack.test_audit_checkpoint import WHERE, a_poster
from tests.store_fixtures import NoQueue


async def nothing(_: Figures) -> bytes | None:
    """No library that plots."""
    return None


async def decided(store: Store, lease: Lease) -> Request:
    asked = await usecases.ask(store, lease, call())
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    await Auditor(store, "web").catch_up()
    return asked


@pytest.mark.slow
async def test_weekly_digest_is_posted_once_with_its_chart(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6: whoever looks and however often; nothing of a week in which nothing was asked."""
    await decided(store, lease)
    monday = audit_posts.week_before(await store.now()) + timedelta(weeks=1)
    sums, poster = partial(summed, Ledger(store)), a_poster(slack, store)
    await audit_posts.post_digest(sums, nothing, store, poster, WHERE, monday - timedelta(weeks=1))
    assert slack.channel("#approvals").messages == []
    for _ in range(2):
        await audit_posts.post_digest(sums, picture, store, poster, WHERE, monday)
    (posted,) = slack.channel("#approvals").messages
    answer = await slack.wait_message("#approvals", lambda message: message.files, thread=posted.ts)
    assert "1 request" in posted.text
    assert "Time to decision" in str(posted.blocks)
    assert [file.name for file in answer.files] == [f"week-{monday:%Y-%m-%d}.png"]


@pytest.mark.parametrize("name", ["", "q}x", "run/../q1", "*"])
async def test_digest_links_no_invalid_ids(slack: LocalSlack, store: Store, lease: Lease, name: str) -> None:
    """R6: entries that name no request ended `web` as soon as it posted the digest."""
    await decided(store, lease)
    monday = audit_posts.week_before(await store.now()) + timedelta(weeks=1)

    async def sums(since: datetime, until: datetime) -> Figures | None:
        figures = await summed(Ledger(store), since, until)
        if figures is not None:
            figures.last["request_asked"] = name
        return figures

    assert await audit_posts.post_digest(sums, nothing, store, a_poster(slack, store), WHERE, monday)
    (posted,) = slack.channel("#approvals").messages
    assert "1 request" in posted.text


async def test_digest_waits_for_the_whole_week(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """After a long downtime the auditor is behind: what it has not chained yet would be missing."""
    await usecases.ask(store, lease, call())
    monday = audit_posts.week_before(await store.now()) + timedelta(weeks=1)
    sums, poster = partial(summed, Ledger(store)), a_poster(slack, store)
    assert not await audit_posts.post_digest(sums, nothing, store, poster, WHERE, monday)
    assert slack.channel("#approvals").messages == []
    await Auditor(store, "web").catch_up()
    assert await audit_posts.post_digest(sums, nothing, store, poster, WHERE, monday)
    (posted,) = slack.channel("#approvals").messages
    assert "1 request" in posted.text


class _Monday(Store):
    """The same store some weeks later."""

    later = timedelta(0)

    async def now(self) -> datetime:
        return await super().now() + self.later


async def test_two_processes_post_each_digest_once(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6: on two processes, each of which looks again and again; and nothing of a week without requests."""
    await decided(store, lease)
    monkeypatch.setattr(audit_posts, "DIGEST_EVERY", timedelta(milliseconds=10))
    looks = 0

    async def sums(since: datetime, until: datetime) -> Figures | None:
        nonlocal looks
        looks += 1
        return await summed(Ledger(store), since, until)

    async def until(fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not fact():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    store.__class__ = _Monday
    keepers = [
        asyncio.create_task(audit_posts.keep_digests(sums, nothing, store, a_poster(slack, store), WHERE))
        for _ in range(2)
    ]
    try:
        await until(lambda: looks == 2)
        assert slack.channel("#approvals").messages == [], "nothing was asked last week"
        monkeypatch.setattr(_Monday, "later", timedelta(weeks=1))
        await slack.wait_message("#approvals", lambda message: "1 request" in message.text)
        before = looks
        monkeypatch.setattr(_Monday, "later", timedelta(weeks=2))
        await until(lambda: looks >= before + 2)
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
    assert len(slack.channel("#approvals").messages) == 1


async def test_digest_without_upload_right_omits_the_chart(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """The text is posted; only the picture is missing."""
    await decided(store, lease)
    monday = audit_posts.week_before(await store.now()) + timedelta(weeks=1)
    slack.faults.add("error", on="files.getUploadURLExternal", error="missing_scope", times=None)
    sums, poster = partial(summed, Ledger(store)), a_poster(slack, store)
    await audit_posts.post_digest(sums, picture, store, poster, WHERE, monday)
    (posted,) = slack.channel("#approvals").messages
    assert "1 request" in posted.text
    assert len(slack.channel("#approvals").thread(posted.ts)) == 1


async def test_failing_chart_leaves_the_digest_as_it_is(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R36: what a library that plots runs into ends neither the record nor `web`."""
    await decided(store, lease)
    monday = audit_posts.week_before(await store.now()) + timedelta(weeks=1)

    async def broken(_: Figures) -> bytes | None:
        raise RuntimeError("no font")

    assert await audit_posts.post_digest(
        partial(summed, Ledger(store)), broken, store, a_poster(slack, store), WHERE, monday
    )
    (posted,) = slack.channel("#approvals").messages
    assert "1 request" in posted.text


def test_digest_suggests_always_approved_low_risk_calls() -> None:
    """A link says that it leads to the last card alone; a tool's name in it is no markup."""
    figures, made = Figures(), samples()
    for tool, how, risk in (
        ("refund", "approved", "low"),
        ("pay", "approved", "high"),
        ("<!channel>", "rejected", "low"),
    ):
        for number in range(LEAST):
            for name in ("asked", how):
                entry = {**made[name], "request": f"q-{tool}-{number}", "what": {**made[name]["what"], "tool": tool}}
                figures.take({**entry, "rules": {**entry["rules"], "risk": risk}})
    assert figures.always_approved(LEAST) == [("refund", 10)]
    figures.take(made["passed"])
    last = {"refund": "https://a.example/p1", "request_asked": "https://a.example/p2"}
    links = last | {"call_passed": "https://a.example/p3"}
    assert {*links} <= {*figures.last}
    text = str(weekly_digest(figures, NOW, links).blocks)
    assert "refund (10 times, <https://a.example/p1|latest>)" in text
    assert "*30 requests* (<https://a.example/p2|latest>)" in text and "1 call (<https://a.example/p3|latest>)" in text
    assert "<!channel>" not in text
