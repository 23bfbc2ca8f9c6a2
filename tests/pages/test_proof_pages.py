"""Proofs on the pages: passkeys and fresh logins, and each way around them."""

import html
import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from bot.pages.site import Pages
from bot.slack.handlers.context import Services
from countersign import usecases
from countersign.domain.events import EventType
from countersign.domain.passkeys import COOLING_OFF
from countersign.domain.proof import Proof
from countersign.domain.requests import Request, Status
from countersign.store.store import Store
from countersign.usecases import passkeys
from countersign.usecases.ports import Change, Lease, Put
from demo.login import Login
from tests.pages.reviewer import PUBLIC, Reviewer, form_in, status, text_of
from tests.sample_requests import BOB, HERE, call, editable
from tests.slack.socket_bot import events
from tests.software_passkey import SoftwarePasskey
from tests.store_fixtures import configure, new_run, update_lists


@pytest.fixture
def key() -> SoftwarePasskey:
    return SoftwarePasskey(origin=PUBLIC, rp_id="localhost")


async def ask(store: Store, lease: Lease, proof: Proof, **changes: Any) -> Request:
    await configure(store, proof=proof, **changes)
    request = await usecases.ask(store, lease, call())
    await update_lists(store)
    return request


async def refusals(store: Store) -> list[str]:
    return [one.data["refusal"] for one in await events(store) if one.type is EventType.ATTEMPT_REFUSED]


def asked_of_the_passkey(page: httpx.Response) -> dict[str, Any]:
    """Read what the page asks the browser for."""
    found = re.search(r"data-sign='([^']*)'", page.text)
    assert found is not None, text_of(page)
    asked: dict[str, Any] = json.loads(html.unescape(found[1]))
    return asked


def token_in(page: httpx.Response) -> str:
    """Read the token of the last form of a page, which is not that of signing out."""
    return str(re.findall(r'name="token" value="([^"]*)"', page.text)[-1])


async def log_in_again(who: Reviewer, confirm: str) -> httpx.Response:
    """Prove at the provider who it is, and return to the confirmation."""
    back = await who.get(await who.authorize(f"{confirm}/sign-in"))
    assert (back.status_code, back.headers.get("location")) == (303, confirm), text_of(back)
    return await who.get(confirm)


async def confirm(who: Reviewer, path: str, key: SoftwarePasskey | None = None, **more: str) -> httpx.Response:
    """Confirm on the page of a confirmation, with a passkey if there is one."""
    page = await who.get(path)
    sent = {"token": token_in(page), **more}
    if key is not None:
        asked = asked_of_the_passkey(page)
        sent |= {"assertion": key.sign(asked["get"])} if "get" in asked else {}
        sent |= {"registration": key.register(asked["create"])} if "create" in asked else {}
    return await who.client.post(path, data=sent)


async def begin_enrolment(who: Reviewer, **more: str) -> httpx.Response:
    page = await who.get("/passkeys")
    return await who.client.post("/passkeys", data={"token": token_in(page), "what": "enrol", "name": "Laptop", **more})


async def enrol(who: Reviewer, key: SoftwarePasskey) -> None:
    """Enrol a first passkey, with a fresh login."""
    begun = await begin_enrolment(who)
    assert begun.status_code == 303, text_of(begun)
    path = begun.headers["location"]
    assert "This needs a fresh login" in text_of(await who.get(path))
    await log_in_again(who, path)
    done = await confirm(who, path, key)
    assert (done.status_code, done.headers.get("location")) == (303, "/passkeys"), text_of(done)


async def test_request_is_approved_with_a_passkey(
    store: Store, lease: Lease, bob: Reviewer, key: SoftwarePasskey
) -> None:
    await enrol(bob, key)
    assert "Laptop" in text_of(await bob.get("/passkeys"))
    request = await ask(store, lease, Proof.PASSKEY)
    answered = await bob.answer(f"/requests/{request.id}", "approve")
    path = answered.headers["location"]
    assert path.startswith("/confirm/")
    assert await status(store, request) is Status.PENDING
    assert "Refund 20.00 EUR for order 17" in text_of(await bob.get(path))
    assert (await confirm(bob, path, key)).headers["location"] == f"/requests/{request.id}"
    assert await status(store, request) is Status.APPROVED
    (decided,) = [one for one in await events(store) if one.type is EventType.REQUEST_DECIDED]
    assert json.loads(decided.data["proved"])["by"] == "passkey"


async def test_confirmation_shows_everything_that_is_signed(
    store: Store, lease: Lease, bob: Reviewer, key: SoftwarePasskey
) -> None:
    """R13: the content of each row; nobody signs for a title, or for a content that has changed since."""
    await enrol(bob, key)
    await configure(store, proof=Proof.PASSKEY)
    wanted = [replace(call(order=n, amount=5), asked=n, content=f"Refund order {n}: 5 EUR") for n in (41, 42)]
    rows = [await usecases.ask(store, lease, one) for one in wanted]
    await update_lists(store)
    page = await bob.get(f"/runs/{lease.run}")
    path = (await bob.client.post(f"/runs/{lease.run}", data=form_in(page.text, "approve"))).headers["location"]
    shown = text_of(await bob.get(path))
    assert [number in shown for number in ("order 41: 5 EUR", "order 42: 5 EUR")] == [True, True]
    assert "Approve 2" in shown and "Reviewers:" in shown
    seen = await store.request(rows[0].id)
    assert seen is not None
    changed = replace(seen.value, question=replace(seen.value.question, title="Refund 9,000 EUR"))
    await store.commit(Change(requests=(Put(changed, seen.version),)))
    assert changed.digest != rows[0].digest
    assert "has changed since you saw it" in text_of(await bob.get(path))


async def test_edit_is_covered_by_the_passkey(store: Store, lease: Lease, bob: Reviewer, key: SoftwarePasskey) -> None:
    """R18, R28: what was entered counts as it was confirmed, to the last character."""
    await enrol(bob, key)
    await configure(store, proof=Proof.PASSKEY)
    request = await usecases.ask(store, lease, editable())
    answered = await bob.answer(f"/requests/{request.id}", "edit", edit__field_1="19", edit__why="less")
    path = answered.headers["location"]
    assert "less" in text_of(await bob.get(path))
    await confirm(bob, path, key)
    seen = await store.request(request.id)
    assert seen is not None and seen.value.decision is not None
    assert json.loads(seen.value.decision.arguments)["amount"] == 19


async def test_rejection_needs_no_proof(store: Store, lease: Lease, bob: Reviewer) -> None:
    request = await ask(store, lease, Proof.PASSKEY)
    assert (await bob.answer(f"/requests/{request.id}", "reject")).headers["location"] == f"/requests/{request.id}"
    assert await status(store, request) is Status.REJECTED


async def test_session_without_a_passkey_approves_nothing(store: Store, lease: Lease, bob: Reviewer) -> None:
    request = await ask(store, lease, Proof.PASSKEY)
    answered = await bob.answer(f"/requests/{request.id}", "approve")
    assert answered.status_code == 409
    assert "you have none that can approve yet" in text_of(answered)
    assert await status(store, request) is Status.PENDING
    assert await refusals(store) == ["needs_passkey"]


async def test_fresh_login_approves(store: Store, lease: Lease, bob: Reviewer) -> None:
    """The return from the provider decides nothing: no GET decides."""
    request = await ask(store, lease, Proof.OIDC)
    path = (await bob.answer(f"/requests/{request.id}", "approve")).headers["location"]
    assert "This needs a fresh login" in text_of(await bob.get(path))
    await log_in_again(bob, path)
    assert await status(store, request) is Status.PENDING
    await confirm(bob, path)
    assert await status(store, request) is Status.APPROVED


async def test_login_as_another_person_proves_nothing(store: Store, lease: Lease, bob: Reviewer, login: Login) -> None:
    request = await ask(store, lease, Proof.OIDC)
    path = (await bob.answer(f"/requests/{request.id}", "approve")).headers["location"]
    away = await bob.get(f"{path}/sign-in")
    back = login.answer_to("carol", dict(parse_qsl(urlsplit(away.headers["location"]).query)))
    assert "You signed in as somebody else" in text_of(await bob.get(back))
    assert await status(store, request) is Status.PENDING


async def test_login_for_one_request_proves_no_other(store: Store, lease: Lease, bob: Reviewer) -> None:
    """R18: the browser keeps where the sign-in goes on, and whoever changes that changes no proof."""
    seen = await ask(store, lease, Proof.OIDC)
    other = await usecases.ask(store, await new_run(store, "rother"), call(order=18))
    await update_lists(store)
    path = (await bob.answer(f"/requests/{seen.id}", "approve")).headers["location"]
    elsewhere = (await bob.answer(f"/requests/{other.id}", "approve")).headers["location"]
    back = await bob.authorize(f"{path}/sign-in")
    [cookie] = [one for one in bob.client.cookies.jar if one.name.endswith("sign-in")]
    kept = json.loads(bytes.fromhex(cookie.value or ""))
    cookie.value = json.dumps(kept | {"then": elsewhere}).encode().hex()
    assert "couldn't be verified" in text_of(await bob.get(back))
    assert "This needs a fresh login" in text_of(await bob.get(elsewhere))


async def test_login_in_another_browser_proves_nothing(
    store: Store, lease: Lease, bob: Reviewer, visitors: dict[str, Reviewer], key: SoftwarePasskey
) -> None:
    """R9: a thief of a session could send its owner to the provider, and then confirm."""
    request = await ask(store, lease, Proof.OIDC)
    thief = Reviewer(visitors["bob"].pages, bob.login, "bob")
    for cookie in bob.client.cookies.jar:
        thief.client.cookies.jar.set_cookie(cookie)
    path = (await thief.answer(f"/requests/{request.id}", "approve")).headers["location"]
    enrolment = (await begin_enrolment(thief)).headers["location"]
    for begun in (path, enrolment):
        await log_in_again(bob, begun)
    assert "in this browser" in text_of(await confirm(thief, path))
    assert "in this browser" in text_of(await confirm(thief, enrolment, key))
    assert await status(store, request) is Status.PENDING
    assert (await passkeys.of(store, HERE, BOB)).value.valid == ()
    await thief.client.aclose()


async def test_session_alone_is_logged_as_a_click(store: Store, lease: Lease, bob: Reviewer) -> None:
    """R25: it showed no login, and a permission given with it covers nothing that needs one."""
    request = await ask(store, lease, Proof.SLACK)
    await bob.answer(f"/requests/{request.id}", "approve")
    seen = await store.request(request.id)
    assert seen is not None and seen.value.decision is not None
    assert (seen.value.status, seen.value.decision.proof) == (Status.APPROVED, Proof.SLACK)


async def test_silent_login_proves_nothing(store: Store, lease: Lease, bob: Reviewer, login: Login) -> None:
    """A live session at the provider that passes without a password (gitlab #438758)."""
    request = await ask(store, lease, Proof.OIDC)
    path = (await bob.answer(f"/requests/{request.id}", "approve")).headers["location"]
    real = login.claims
    login.claims = lambda person, query, at: real(person, query, at - 3600)  # type: ignore[method-assign]
    refused = await bob.get(await bob.authorize(f"{path}/sign-in"))
    assert "didn't confirm that you signed in just now" in text_of(refused)
    assert "This needs a fresh login" in text_of(await bob.get(path))
    assert await status(store, request) is Status.PENDING


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "foreign key": ({"id": b"x" * 32}, "isn't a passkey of yours", "passkey_unknown"),
    "another origin": ({"origin": "https://evil.example"}, "couldn't be verified", "proof_wrong"),
    "another site": ({"rp_id": "evil.example"}, "couldn't be verified", "proof_wrong"),
    "nobody verified": ({"verifies": False}, "couldn't be verified", "proof_wrong"),
    "counter back": ({"count": -1, "counts": False}, "counter went back", "passkey_copied"),
}


async def test_wrong_assertion_is_refused_and_logged(
    store: Store, lease: Lease, bob: Reviewer, key: SoftwarePasskey, subtests: pytest.Subtests
) -> None:
    """R7, R25: each gets its sentence, changes nothing, and is in the audit log."""
    await enrol(bob, key)
    request = await ask(store, lease, Proof.PASSKEY)
    kept = await bob.answer(f"/requests/{request.id}", "approve")
    await confirm_as(bob, kept, key, changes={}, replay=True)
    request = await ask(store, await new_run(store, "rsecond"), Proof.PASSKEY)
    for name, (changes, said, refusal) in WRONG.items():
        with subtests.test(name):
            answered = await bob.answer(f"/requests/{request.id}", "approve")
            answer = await confirm_as(bob, answered, key, changes)
            assert answer.status_code == 409
            assert said in text_of(answer)
            assert (await refusals(store))[-1] == refusal
            assert await status(store, request) is Status.PENDING


async def confirm_as(
    bob: Reviewer, answered: httpx.Response, key: SoftwarePasskey, changes: dict[str, Any], *, replay: bool = False
) -> httpx.Response:
    """Confirm with a passkey that differs a little."""
    before = {name: getattr(key, name) for name in changes}
    for name, value in changes.items():
        setattr(key, name, 0 if name == "count" else value)
    path = answered.headers["location"]
    page = await bob.get(path)
    sent = {"token": token_in(page), "assertion": key.sign(asked_of_the_passkey(page)["get"])}
    for name, value in before.items():
        setattr(key, name, value)
    answer = await bob.client.post(path, data=sent)
    if replay:
        assert "came after its five minutes, or was used before" in text_of(await bob.client.post(path, data=sent))
    return answer


async def test_assertion_for_another_request_is_refused(
    store: Store, lease: Lease, bob: Reviewer, key: SoftwarePasskey
) -> None:
    await enrol(bob, key)
    first = await ask(store, lease, Proof.PASSKEY)
    second = await ask(store, await new_run(store, "rsecond"), Proof.PASSKEY)
    paths = [(await bob.answer(f"/requests/{one.id}", "approve")).headers["location"] for one in (first, second)]
    pages = [await bob.get(path) for path in paths]
    sent = {"token": token_in(pages[1]), "assertion": key.sign(asked_of_the_passkey(pages[0])["get"])}
    assert (await bob.client.post(paths[1], data=sent)).status_code == 409
    assert await status(store, second) is Status.PENDING


async def test_confirmation_belongs_to_one_session(
    store: Store, lease: Lease, bob: Reviewer, key: SoftwarePasskey, visitors: dict[str, Reviewer]
) -> None:
    """A forwarded link, and a second session of the same person."""
    await enrol(bob, key)
    request = await ask(store, lease, Proof.PASSKEY)
    path = (await bob.answer(f"/requests/{request.id}", "approve")).headers["location"]
    await visitors["carol"].sign_in()
    assert "begun by somebody else" in text_of(await visitors["carol"].get(path))
    await bob.sign_in()
    assert "begun by somebody else" in text_of(await bob.get(path))


async def test_rows_are_approved_with_one_assertion(
    store: Store, lease: Lease, bob: Reviewer, key: SoftwarePasskey
) -> None:
    await enrol(bob, key)
    await configure(store, proof=Proof.PASSKEY)
    wanted = [replace(call(order=number, amount=5), asked=number) for number in range(3)]
    rows = [await usecases.ask(store, lease, one) for one in wanted]
    await update_lists(store)
    page = await bob.get(f"/runs/{lease.run}")
    assert text_of(page).count("Answer this one alone") == 3
    answered = await bob.client.post(f"/runs/{lease.run}", data=form_in(page.text, "approve"))
    await confirm(bob, answered.headers["location"], key)
    assert [await status(store, row) for row in rows] == [Status.APPROVED] * 3


async def test_second_passkey_needs_the_first(store: Store, bob: Reviewer, key: SoftwarePasskey) -> None:
    """A session alone, and a login alone, enrol no further key."""
    await enrol(bob, key)
    second = SoftwarePasskey(origin=PUBLIC, rp_id="localhost")
    path = (await begin_enrolment(bob)).headers["location"]
    page = await bob.get(path)
    stolen = {"token": token_in(page), "registration": second.register(asked_of_the_passkey(page)["create"])}
    assert "isn't a passkey of yours" in text_of(await bob.client.post(path, data=stolen))
    path = (await begin_enrolment(bob)).headers["location"]
    asked = asked_of_the_passkey(await bob.get(path))
    sent = {
        "token": token_in(await bob.get(path)),
        "assertion": key.sign(asked["get"]),
        "registration": second.register(asked["create"]),
    }
    assert (await bob.client.post(path, data=sent)).headers["location"] == "/passkeys"
    assert len((await passkeys.of(store, HERE, BOB)).value.valid) == 2


async def test_new_passkey_cannot_approve_during_its_cooling_period(
    store: Store, lease: Lease, bob: Reviewer, key: SoftwarePasskey, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages._proofs, "_cooling_off", COOLING_OFF)
    await enrol(bob, key)
    assert "It can approve from" in text_of(await bob.get("/passkeys"))
    request = await ask(store, lease, Proof.PASSKEY)
    answered = await bob.answer(f"/requests/{request.id}", "approve")
    assert "you have none that can approve yet" in text_of(answered)


async def test_passkey_is_renamed_and_revoked(store: Store, bob: Reviewer, key: SoftwarePasskey) -> None:
    await enrol(bob, key)
    about = {"token": token_in(await bob.get("/passkeys")), "passkey": key.credential}
    await bob.client.post("/passkeys", data={**about, "what": "rename", "name": "Phone <b>"})
    assert "Phone <b>" in text_of(await bob.get("/passkeys")).replace("&lt;", "<")
    await bob.client.post("/passkeys", data={**about, "what": "revoke"})
    assert "All your passkeys were revoked." in text_of(await bob.get("/passkeys"))
    assert (await passkeys.of(store, HERE, BOB)).value.valid == ()


async def test_only_admins_see_everybodys_passkeys(
    bob: Reviewer, visitors: dict[str, Reviewer], key: SoftwarePasskey, bot: Services
) -> None:
    await enrol(bob, key)
    refused = await bob.get("/people")
    assert "Only workspace admins" in text_of(refused)
    dave = visitors["dave"]
    await dave.sign_in()
    assert "Laptop" in text_of(await dave.get("/people"))


async def test_admin_hands_over_an_enrolment_code(
    store: Store, bob: Reviewer, visitors: dict[str, Reviewer], key: SoftwarePasskey
) -> None:
    dave, his = visitors["dave"], SoftwarePasskey(origin=PUBLIC, rp_id="localhost")
    await dave.sign_in()
    await enrol(dave, his)
    about = {"token": token_in(await dave.get("/people")), "what": "code", "user": "U0BOB"}
    begun = await dave.client.post("/people", data=about)
    assert "@bob (U0BOB)" in text_of(await dave.get(begun.headers["location"]))
    shown = await confirm(dave, begun.headers["location"], his)
    code = re.search(r"([a-z0-9]{4}-){4}[a-z0-9]{4}", text_of(shown))
    assert code is not None, text_of(shown)
    wrong = await begin_enrolment(bob, code="aaaa-aaaa-aaaa-aaaa-aaaa")
    assert "A code is wrong" in text_of(await confirm(bob, wrong.headers["location"], key))
    begun = await begin_enrolment(bob, code=code[0])
    await confirm(bob, begun.headers["location"], key)
    assert [one.enrolled_by for one in (await passkeys.of(store, HERE, BOB)).value.valid] == ["code"]


async def test_form_of_another_session_enrols_nothing(bob: Reviewer, store: Store) -> None:
    refused = await bob.client.post("/passkeys", data={"token": "x", "what": "enrol", "name": "Laptop"})
    assert "made for somebody else, or in another session" in text_of(refused)
    assert (await refusals(store)) == ["form_not_yours"]
