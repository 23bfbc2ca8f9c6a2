"""Receipts of decisions that passkeys signed: anybody checks them off-line, and notices each change."""

import base64
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot.audit import receipts, signatures
from bot.audit.auditor import Auditor
from countersign import usecases
from countersign.domain.hash_chain import hash_of, write
from countersign.domain.ids import AttemptId
from countersign.domain.people import Actor
from countersign.domain.proof import OidcLogin, Proof
from countersign.domain.requests import Request, Verb
from countersign.store.store import Store
from countersign.usecases import proofs
from countersign.usecases.ports import Lease
from tests.audit.conftest import Audit
from tests.bot.test_passkeys import SESSION, asked, enrolled, person, shown, signed
from tests.sample_requests import BOB, CAROL, attempt, call
from tests.store_fixtures import NoQueue

Json = dict[str, Any]


@pytest.fixture
async def of(store: Store, lease: Lease) -> Request:
    """Bob edited a call, and signed it with his passkey."""
    key, of = await enrolled(store), await asked(store, lease)
    wish = attempt(of, verb=Verb.EDIT, arguments='{"amount":5,"order":17}', words="Five is enough.")
    proved = await signed(store, key, await proofs.begin(store, shown(of), wish, SESSION))
    await usecases.decide(store, NoQueue(), of.id, replace(wish, proved=proved))
    await Auditor(store, "web").catch_up()
    return of


async def test_receipt_alone_shows_the_signature(audit: Audit, of: Request, tmp_path: Path) -> None:
    """Without Redis, Slack, a network or a key: which passkey signed what, and what that does not prove."""
    receipt = tmp_path / "receipt.json"
    receipt.write_text((await audit("receipt", of.id)).out)
    checked = await audit("check", receipt)
    assert checked.status == 0
    assert f"request_decided: edited by {BOB}" in checked.out
    assert f"{BOB}'s passkey " in checked.out
    assert "enrolled 20" in checked.out and "by a code of operator root (entry " in checked.out
    assert "signed exactly this content, answer and rules on https://approve.example.com" in checked.out
    assert "Not proved by this signature: that the passkey was in that person's hands" in checked.out
    assert "compare it with the one that the service publishes" in checked.out
    public = tmp_path / "public.pem"
    public.write_text((await audit("key")).out)
    assert (await audit("check", receipt, "--key", public)).status == 0


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, name))
    yield path


def other(value: Any) -> Any:
    """Another value of the same kind, where there is one."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            at = len(value) // 2  # the last character of base64 may have bits that nobody reads
            return value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :] if value else "more"
        case list():
            return value[:-1] if value else ["more"]
        case dict():
            return dict(list(value.items())[:-1]) if value else {"more": 1}
    return "more"


def mutated(receipt: Json, path: tuple[str | int, ...], change: Callable[[Any], Any] = other) -> Json:
    copy: Any = deepcopy(receipt)
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = change(place[path[-1]])
    return dict(copy)


async def test_every_changed_byte_of_a_receipt_is_noticed(audit: Audit, of: Request, tmp_path: Path) -> None:
    """Every value of the receipt, one after another; every character of both keys; added and removed parts."""
    whole = json.loads((await audit("receipt", of.id)).out)
    public = (await audit("key")).out.encode()
    assert receipts.check(json.dumps(whole), public)[1] is None
    changed = [mutated(whole, path) for path in leaves(whole) if path]
    changed += [mutated(whole, path, lambda _: {}) for path in leaves(whole) if path]
    changed += [{name: value for name, value in whole.items() if name != gone} for gone in whole]
    changed += [{**whole, "entries": whole["entries"][:at] + whole["entries"][at + 1 :]} for at in range(3)]
    changed += [{**whole, "more": 1}, {**whole, "entries": whole["entries"] * 2}]
    changed = [receipt for receipt in changed if receipt != whole]
    assert len(changed) >= 300
    for receipt in changed:
        for key in (public, None):
            text, problem = json.dumps(receipt), None
            _, problem = receipts.check(text, key)
            assert problem is not None, receipt
    keys = [public[:at] + bytes([public[at] ^ 1]) + public[at + 1 :] for at in range(30, len(public) - 30)]
    assert [key for key in keys if receipts.check(json.dumps(whole), key)[1] is None] == []


def signed_again(receipt: Json, key: Ed25519PrivateKey) -> Json:
    """Fit the hashes and the signature, as the owner of the service's key can."""
    for part in [*receipt["entries"], *receipt["enrolments"]]:
        part["hash"] = hash_of(write(part["entry"]))
    body = {name: value for name, value in receipt.items() if name != "signature"}
    return {**body, "signature": base64.b64encode(key.sign(write(body).encode())).decode()}


def problem_of(receipt: Json, public: bytes) -> str | None:
    read, problem = receipts.check(json.dumps(receipt), public)
    return problem or next((one.problem for one in signatures.verdicts(read) if one.problem), None)


_TOLD: tuple[tuple[str, ...], ...] = (
    ("decision", "at"),
    ("decision", "attempt"),
    ("decision", "names"),
    ("decision", "votes"),
    ("decision", "instead_of"),
    ("data",),
    ("event",),
    ("at",),
    ("n",),
    ("previous",),
    ("run",),
    ("schema",),
)
"""Parts of an entry that no passkey signs: when and in which place of the log it stands, names, and repeats."""


async def test_service_key_forges_no_signed_decision(audit: Audit, of: Request, tmp_path: Path) -> None:
    """The owner of AUDIT_KEY changes content, rules, answer, person, proof or enrolment: each is noticed."""
    whole = json.loads((await audit("receipt", of.id)).out)
    key = receipts.private_key(tmp_path / "keys" / "audit.pem")
    public = receipts.public_pem(key).encode()
    assert problem_of(signed_again(whole, key), public) is None
    decided = len(whole["entries"]) - 1
    assert whole["entries"][decided]["entry"]["type"] == "request_decided"
    entry = whole["entries"][decided]["entry"]
    paths = [
        ("entries", decided, "entry", *path)
        for path in leaves(entry)
        if path and not any(path[: len(told)] == told for told in _TOLD)
    ]
    paths += [("content", *path) for path in leaves(whole["content"]) if path]
    enrolment = whole["enrolments"][0]["entry"]["data"]
    signs = ("passkey", "public_key", "holder", "enrolled_at", "usable_at", "enrolled_by", "vouched_by", "rp_id")
    paths += [("enrolments", 0, "entry", "data", name) for name in signs]
    assert enrolment.keys() >= set(signs)
    missed = [path for path in paths if problem_of(signed_again(mutated(whole, path), key), public) is None]
    assert missed == [], missed
    assert len(paths) >= 60
    proof = ("entries", decided, "entry", "proved")
    letters = [
        ((*proof, *where), at)
        for where in (("assertion", "signature"), ("assertion", "authenticator_data"), ("key", "public_key"))
        for at in range(len(entry["proved"][where[0]][where[1]]) - 1)
    ]
    assert len(letters) >= 200
    for path, at in letters:

        def flip(text: str, at: int = at) -> str:
            raw = bytearray(text.encode())
            raw[at] = ord("A") if raw[at] != ord("A") else ord("B")
            return raw.decode()

        forged = mutated(whole, path, flip)
        assert problem_of(signed_again(forged, key), public) is not None, (path, at)
    for gone in ("enrolments", "entries"):
        emptied = {**whole, gone: [part for part in whole[gone] if part["entry"]["type"] != "passkey_enrolled"]}
        if gone == "entries":
            del emptied["entries"][decided]["entry"]["proved"]
        assert problem_of(signed_again(emptied, key), public) is not None


async def test_receipt_of_a_click_says_its_limits(audit: Audit, store: Store, lease: Lease, tmp_path: Path) -> None:
    of = await usecases.ask(store, lease, call())
    await usecases.decide(store, NoQueue(), of.id, attempt(of))
    await Auditor(store, "web").catch_up()
    receipt = tmp_path / "receipt.json"
    receipt.write_text((await audit("receipt", of.id)).out)
    checked = await audit("check", receipt)
    assert (checked.status, f"{BOB} clicked in Slack" in checked.out) == (0, True)
    assert "no key of theirs signed it" in checked.out


async def test_receipt_of_a_quorum_shows_each_signature(
    audit: Audit, store: Store, lease: Lease, tmp_path: Path
) -> None:
    of = await asked(store, lease, quorum=2)

    async def voters(_: Request) -> tuple[Actor, ...]:
        return (person(BOB), person(CAROL))

    for user in (BOB, CAROL):
        key, wish = await enrolled(store, user), attempt(of, user)
        proved = await signed(store, key, await proofs.begin(store, shown(of), wish, SESSION), user)
        await usecases.decide(store, NoQueue(), of.id, replace(wish, proved=proved), voters=voters)
    await Auditor(store, "web").catch_up()
    receipt = tmp_path / "receipt.json"
    receipt.write_text((await audit("receipt", of.id)).out)
    checked = await audit("check", receipt)
    assert checked.status == 0
    assert (f"{BOB}'s passkey" in checked.out, f"{CAROL}'s passkey" in checked.out) == (True, True)
    whole = json.loads(receipt.read_text())
    key_of_service = receipts.private_key(tmp_path / "keys" / "audit.pem")
    without_bob = [part for part in whole["entries"] if part["entry"]["type"] != "vote_cast"]
    forged = signed_again({**whole, "entries": without_bob}, key_of_service)
    assert BOB in (problem_of(forged, receipts.public_pem(key_of_service).encode()) or "")


async def test_receipt_with_hidden_parts_shows_a_signed_digest(
    audit: Audit, store: Store, lease: Lease, tmp_path: Path
) -> None:
    """R15: what is hidden stays hidden, and its salt too."""
    await asked(store, lease)
    of = await usecases.ask(store, lease, replace(call(order=17, password="hunter2hunter2"), asked=1))
    key, wish = await enrolled(store), attempt(of)
    proved = await signed(store, key, await proofs.begin(store, shown(of), wish, SESSION))
    await usecases.decide(store, NoQueue(), of.id, replace(wish, proved=proved))
    await Auditor(store, "web").catch_up()
    receipt = tmp_path / "receipt.json"
    receipt.write_text((await audit("receipt", of.id)).out)
    assert json.loads(receipt.read_text())["content"] is None
    assert (of.question.salt or "hunter2") not in receipt.read_text()
    checked = await audit("check", receipt)
    assert (checked.status, "of which parts are hidden here" in checked.out) == (0, True)


async def test_receipt_of_a_login_says_who_vouches(audit: Audit, store: Store, lease: Lease, tmp_path: Path) -> None:
    of = await asked(store, lease, Proof.OIDC)
    wish = attempt(of)
    challenge = await proofs.begin(store, shown(of), wish, SESSION)
    login = OidcLogin("https://idp.example.com", "bob", await store.now())
    proved = await proofs.prove_login(store, nonce=challenge.nonce, user=BOB, session=SESSION, login=login)
    await usecases.decide(store, NoQueue(), of.id, replace(wish, proved=proved, id=AttemptId("in")))
    await Auditor(store, "web").catch_up()
    receipt = tmp_path / "receipt.json"
    receipt.write_text((await audit("receipt", of.id)).out)
    checked = await audit("check", receipt)
    assert checked.status == 0
    assert f"{BOB} signed in at https://idp.example.com as bob" in checked.out
    assert "no key of the person's signed it" in checked.out
