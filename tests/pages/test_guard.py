"""Requests that no page of ours sends: other hosts, other sites, forged forms; and the headers of every answer."""

from pathlib import Path

import pytest
import yaml

from bot.pages.revisions import PollPace, Revision
from bot.pages.site import Pages
from countersign import usecases
from countersign.client.exchange import decision_of
from countersign.domain.events import EventType
from countersign.domain.ids import RequestId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Status
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from tests.pages.reviewer import Reviewer, text_of
from tests.sample_requests import BOB, CAROL, question
from tests.slack.socket_bot import events
from tests.store_fixtures import configure, update_lists


async def test_every_response_forbids_inline_scripts_and_frames(bob: Reviewer) -> None:
    for path in ("/", "/sign-in?signed-out", "/none", "/static/pages.css", "/requests/q0", "/passkeys"):
        answer = await bob.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "<script>" not in answer.text and " style=" not in answer.text and " onclick" not in answer.text
    assert (await bob.get("/")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "localhost"},
        {"host": "localhost:3001.evil.example"},
        {"host": "127.0.0.1:3001"},
        {"host": ""},
    ],
)
async def test_foreign_host_is_refused(bob: Reviewer, headers: dict[str, str]) -> None:
    answer = await bob.client.get("/", headers=headers)
    assert answer.status_code == 421
    forwarded = await bob.client.get("/", headers={"x-forwarded-host": "evil.example"})
    assert forwarded.status_code == 200 and "evil.example" not in forwarded.text


async def refusals(store: Store) -> list[str]:
    return [one.data["refusal"] for one in await events(store) if one.type is EventType.ATTEMPT_REFUSED]


async def test_forged_form_decides_nothing(
    store: Store, lease: Lease, bob: Reviewer, visitors: dict[str, Reviewer], subtests: pytest.Subtests
) -> None:
    """R25: who is signed in and tries is in the audit log."""
    request = await usecases.ask(store, lease, question())
    path = f"/requests/{request.id}"
    form = await bob.form(path, "approve")
    await visitors["carol"].sign_in()
    theirs = await visitors["carol"].form(path, "approve")
    forged = {
        "no token": ({**form, "token": ""}, {}),
        "of another person": ({**form, "token": theirs["token"]}, {}),
        "of another content": ({**form, "digest": "0" * 64}, {}),
        "no answer": ({**form, "answer": "expire"}, {}),
        "another site": (form, {"origin": "https://evil.example"}),
        "a sandboxed frame": (form, {"origin": "null"}),
        "cross-site": (form, {"sec-fetch-site": "cross-site"}),
    }
    for name, (data, headers) in forged.items():
        with subtests.test(name):
            answer = await bob.client.post(path, data=data, headers=headers)
            assert "made for somebody else, or in another session" in text_of(answer)
    assert await refusals(store) == ["form_not_yours"] * len(forged)
    nobody = await visitors["dave"].client.post(path, data=form)
    assert (nobody.status_code, "Your session has ended" in text_of(nobody)) == (401, True)
    seen = await store.request(request.id)
    assert seen is not None and seen.value.status is Status.PENDING


async def test_get_requests_never_decide(store: Store, lease: Lease, bob: Reviewer) -> None:
    """Scanners open links (activepieces #14255)."""
    request = await usecases.ask(store, lease, question())
    form = await bob.form(f"/requests/{request.id}", "approve")
    before = len(await events(store))
    for path in (f"/requests/{request.id}", f"/runs/{request.run}", "/", "/inbox", "/revision", "/passkeys"):
        await bob.client.get(path, params=form)
    seen = await store.request(request.id)
    assert seen is not None and seen.value.status is Status.PENDING
    assert len(await events(store)) == before


@pytest.mark.parametrize("body", [b"x" * 3_000_000, b"\xff\xfe", b"a=1&" * 600, b"a=%ff%fe", b"no pairs"])
async def test_malformed_form_is_refused(bob: Reviewer, body: bytes) -> None:
    """R29"""
    answer = await bob.client.post("/requests/q1", content=body)
    assert answer.status_code == 400
    assert "Nothing was decided." in text_of(answer)


async def test_forwarded_link_shows_nothing_to_others(
    store: Store, lease: Lease, visitors: dict[str, Reviewer], slack: LocalSlack
) -> None:
    """A request is for its reviewers, its requester and the people of its channels."""
    await configure(store, reviewers=Reviewers(frozenset({BOB})))
    request = await usecases.ask(store, lease, question("a secret plan"))
    for channel in slack.workspace.channels.values():
        channel.members.discard(CAROL)
    carol = visitors["carol"]
    await carol.sign_in()
    refused = await carol.get(f"/requests/{request.id}")
    assert "This request is for others." in text_of(refused)
    batch = await carol.get(f"/runs/{request.run}")
    assert "secret plan" not in refused.text + batch.text
    assert request.id not in (await carol.get("/")).text


async def test_removed_reviewer_decides_nothing(store: Store, lease: Lease, bob: Reviewer, people_file: Path) -> None:
    """Removed while the page is open: told, recorded, and nothing changes."""
    request = await usecases.ask(store, lease, question())
    form = await bob.form(f"/requests/{request.id}", "approve")
    _only_alice(people_file)
    answer = await bob.client.post(f"/requests/{request.id}", data=form)
    assert (answer.status_code, "You aren't signed in any more" in text_of(answer)) == (401, True)
    assert await refusals(store) == ["signed_out"]
    seen = await store.request(request.id)
    assert seen is not None and seen.value.status is Status.PENDING


def _only_alice(file: Path) -> None:
    entries = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump([one for one in entries if one["user"] == "U0ALICE"]))


async def test_inbox_lists_waiting_and_decided_requests(
    store: Store, lease: Lease, bob: Reviewer, alice: Reviewer
) -> None:
    request = await usecases.ask(store, lease, question())
    await update_lists(store)
    assert "Waiting for you 1 email · send this mail?" in text_of(await bob.get("/"))
    others = text_of(await alice.get("/"))
    assert "Nothing is waiting for you." in others and "Waiting for others 1 email" in others
    assert "Your runs email · ⏳ Waiting for a decision" in others
    await bob.answer(f"/requests/{request.id}", "approve")
    await update_lists(store)
    inbox = text_of(await bob.get("/"))
    assert "Nothing is waiting for you." in inbox
    assert "Approved by @bob" in inbox
    meanwhile = text_of(await alice.get(f"/inbox?shown={request.id}"))
    assert meanwhile.count("Approved by @bob") >= 2


async def test_first_page_stays_under_50_kb(store: Store, lease: Lease, bob: Reviewer) -> None:
    """Under 50 kB, with its style and script."""
    await usecases.ask(store, lease, question())
    await update_lists(store)
    parts = [await bob.get(path) for path in ("/", "/static/pages.css", "/static/pages.js", "/static/icon.svg")]
    assert all(one.status_code == 200 for one in parts)
    assert sum(len(one.content) for one in parts) < 50_000


async def test_revision_changes_with_the_displayed_content(store: Store, lease: Lease, pages: Pages) -> None:
    (desk,) = pages._door.desks.values()
    seen = [await desk.overview.revision()]
    request = await usecases.ask(store, lease, question())
    seen.append(await desk.overview.revision())
    await update_lists(store)
    seen.append(await desk.overview.revision())
    assert len(set(seen)) == 3 and request.id
    assert await desk.overview.revision() == seen[-1]


async def test_open_pages_cost_one_read_a_second() -> None:
    reads, now = [], 100.0

    async def read() -> str:
        reads.append(now)
        return str(len(reads))

    revision = Revision(read, lambda: now)
    assert [await revision.now() for _ in range(50)] == ["1"] * 50
    now += 1.0
    assert await revision.now() == "2"


@pytest.mark.parametrize(("questions", "asks_every"), [(10, 2), (50_000, 100), (1_000_000, 120)])
def test_many_open_pages_poll_less_often(questions: int, asks_every: int) -> None:
    """10,000 pages that ask every 2 s ask every 100 s from then on: a process answers a hundred a second."""
    now = 0.0
    pace = PollPace(lambda: now)
    for _ in range(questions):
        assert pace.asked() == 2
    now = 10.0
    assert pace.asked() == asks_every


async def test_programs_receive_the_link_of_the_page(pages: Pages) -> None:
    """It is there before Slack has taken the card."""
    link = await pages.link_of(RequestId("q1"))
    assert link == "http://localhost:3001/requests/q1"
    given = {"outcome": "approved", "how": "reviewers", "at": "2026-03-06T17:00:00+00:00", "by": [], "words": ""}
    decision = {**given, "arguments": None, "chosen": [], "text": ""}
    assert decision_of({"id": "q1", "decision": decision, "outcome": None, "card_link": link}).url == link
