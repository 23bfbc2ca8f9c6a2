"""Stories of several people and passkeys in a real browser, and what axe-core finds on each page."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from countersign import usecases
from countersign.domain.people import Actor
from countersign.domain.proof import Proof
from countersign.domain.requests import Status
from countersign.policy.loosening import NeedsProof
from tests.pages.served_pages import Served, authenticator, enrol, picture
from tests.sample_requests import BOB, GENERAL, HERE, call, question
from tests.store_fixtures import configure

pytestmark = pytest.mark.slow
AXE = Path(__file__).parents[2] / ".frameworks" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
LOOKS = pytest.mark.parametrize(("phone", "scheme"), [(False, "light"), (True, "dark")])


async def test_two_passkeys_make_a_quorum(served: Served) -> None:
    bob, carol = await served.sign_in("Bob"), await served.sign_in("Carol", phone=True, scheme="dark")
    async with authenticator(bob), authenticator(carol):
        await enrol(bob, served.url, "Bob")
        await enrol(carol, served.url, "Carol")
        await configure(served.store, proof=Proof.PASSKEY, quorum=2)
        request = await served.ask(call())
        for page, state in ((bob, Status.PENDING), (carol, Status.APPROVED)):
            await page.goto(f"{served.url}/requests/{request.id}")
            await page.get_by_role("button", name="Approve", exact=True).click()
            await picture(page, f"quorum-confirm-{state}")
            await page.get_by_role("button", name="Approve with passkey").click()
            await expect(page.get_by_text("@bob").first).to_be_visible()
            await expect(page.get_by_role("button", name="Approve", exact=True)).to_have_count(0)
            await picture(page, f"quorum-{state}")
            assert await served.status(request) is state


@LOOKS
async def test_one_passkey_approves_several_rows(served: Served, phone: bool, scheme: Literal["light", "dark"]) -> None:
    page = await served.sign_in("Bob", phone=phone, scheme=scheme)
    async with authenticator(page):
        await enrol(page, served.url, "Bob")
        await configure(served.store, proof=Proof.PASSKEY)
        rows = [await served.ask(replace(call(order=n), content=f"Refund order {n}: 5 EUR")) for n in range(3)]
        await page.goto(served.url)
        await page.get_by_role("link", name="together").click()
        await picture(page, f"batch-{scheme}")
        await page.get_by_role("button", name="Approve 3").click()
        for number in range(3):
            await expect(page.get_by_text(f"Refund order {number}: 5 EUR")).to_be_visible()
        await picture(page, f"batch-confirm-{scheme}")
        await page.get_by_role("button", name="with passkey").click()
        await expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
        assert [await served.status(row) for row in rows] == [Status.APPROVED] * 3


@LOOKS
async def test_a_requester_breaks_the_glass(served: Served, phone: bool, scheme: Literal["light", "dark"]) -> None:
    page = await served.sign_in("Alice", phone=phone, scheme=scheme)
    async with authenticator(page):
        await enrol(page, served.url, "Alice")
        await configure(served.store, proof=Proof.PASSKEY, break_glass=True)
        request = await served.ask(call())
        await page.goto(f"{served.url}/requests/{request.id}")
        await page.get_by_text("Break glass…").click()
        await page.get_by_label("Why it can't wait").fill("The shop is down, and nobody answers.")
        await picture(page, f"break-glass-{scheme}")
        await page.locator("form[data-answer=break_glass] button").click()
        await expect(page.get_by_text("The shop is down, and nobody answers.")).to_be_visible()
        await picture(page, f"break-glass-confirm-{scheme}")
        await page.get_by_role("button", name="with passkey").click()
        await expect(page.get_by_text("Break-glass").first).to_be_visible()
        assert await served.status(request) is Status.APPROVED


async def serious(page: Page, where: str) -> list[str]:
    """Name what axe-core finds serious on a page."""
    await page.evaluate(AXE.read_text())
    found: dict[str, Any] = await page.evaluate("axe.run()")
    bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    return [f"{where}: {one['id']}, {[node['html'][:200] for node in one['nodes']]}" for one in bad]


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core of npm: `make axe` installs it")
@LOOKS
async def test_axe_finds_nothing_serious(served: Served, phone: bool, scheme: Literal["light", "dark"]) -> None:
    """Each page, and the forms of a request unfolded."""
    page = await served.sign_in("Dave", phone=phone, scheme=scheme)
    look, found = f"{'phone' if phone else 'desktop'}-{scheme}", list[str]()

    async def check(where: str) -> None:
        await picture(page, f"axe-{look}-{where}")
        found.extend(await serious(page, f"{where}, {look}"))

    async with authenticator(page):
        await check("inbox-empty")
        await enrol(page, served.url, "Dave")
        await check("passkeys")
        await page.goto(f"{served.url}/people")
        await check("people")
        await page.get_by_label("Slack member ID").first.fill("U0BOB")
        await page.get_by_role("button", name="Make a code").click()
        await expect(page.get_by_role("heading", name="Make an enrolment code")).to_be_visible()
        await check("confirm-code")
        await configure(served.store, proof=Proof.PASSKEY)
        served_rows = [await served.ask(one) for one in (call(), question())]
        await page.goto(served.url)
        await check("inbox")
        await page.goto(f"{served.url}/requests/{served_rows[0].id}")
        await check("request")
        await page.goto(f"{served.url}/runs/{served.lease.run}")
        await check("batch")
        await page.goto(f"{served.url}/settings/{await proposed(served)}")
        await check("settings")
        await page.get_by_role("button", name="Loosen the rules…").click()
        await expect(page.get_by_role("button", name="Loosen the rules with passkey")).to_be_visible()
        await check("confirm-settings")
    bob = await served.sign_in("Bob", phone=phone, scheme=scheme)
    page = bob
    async with authenticator(page):
        await enrol(page, served.url, "Bob")
        await page.goto(f"{served.url}/requests/{served_rows[0].id}")
        for summary in await page.locator("summary").all():
            await summary.click()
        await check("forms")
        await page.get_by_role("button", name="Approve", exact=True).click()
        await expect(page.get_by_role("heading", name="Confirm your answer")).to_be_visible()
        await check("confirm-answer")
        await page.goto(f"{served.url}/passkeys")
        await page.get_by_role("button", name="Sign out everywhere").click()
        await expect(page.get_by_role("link", name="Demo login")).to_be_visible()
        await check("signed-out")
    assert found == []


async def proposed(served: Served) -> str:
    """Have bob propose that a click suffices."""

    async def none_wrong(_: object) -> list[Any]:
        return []

    with pytest.raises(NeedsProof) as needed:
        await usecases.configure(
            served.store,
            GENERAL,
            Actor(HERE, BOB),
            frozenset(),
            lambda before: replace(before, proof=Proof.SLACK),
            none_wrong,
        )
    return str(needed.value.proposal.id)
