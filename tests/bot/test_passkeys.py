"""Proofs on a real store, with real signatures: enrol, sign, decide, and everything that must not count."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot import passkeys as webauthn
from bot.passkeys import Site
from countersign import usecases
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.errors import Refused
from countersign.domain.events import EventType
from countersign.domain.ids import UserId, digest_of
from countersign.domain.passkeys import enrolment_statement
from countersign.domain.people import Actor
from countersign.domain.proof import Challenge, Proof, Proved, new_nonce
from countersign.domain.requests import Request, Status, Verb
from countersign.store.store import Store
from countersign.usecases import passkeys, proofs
from countersign.usecases.ports import Lease
from countersign.usecases.proofs import Shown
from tests.sample_requests import ALICE, BOB, CAROL, HERE, attempt, call
from tests.software_passkey import ORIGIN, SoftwarePasskey
from tests.store_fixtures import NoQueue, change_settings
from tests.usecases.test_usecases import events

SITE = Site.at(ORIGIN)
SESSION = digest_of("a session of Bob")
AT_ONCE = timedelta(0)


def person(user: UserId = BOB, **changes: Any) -> Actor:
    return replace(Actor(HERE, user), **changes)


async def enrolled(
    store: Store, user: UserId = BOB, *, cooling_off: timedelta = AT_ONCE, **how: Any
) -> SoftwarePasskey:
    """A passkey of this person, enrolled with a code of the operator."""
    code = await passkeys.make_code_by_operator(store, HERE, user, "root")
    return await enrol(store, user, codes=[code], cooling_off=cooling_off, **how)


async def enrol(store: Store, user: UserId = BOB, key: SoftwarePasskey | None = None, **how: Any) -> SoftwarePasskey:
    key = key or SoftwarePasskey()
    said = enrolment_statement(HERE, user, new_nonce())
    challenge = await proofs.begin_statement(store, said, SESSION)
    mine = (await passkeys.of(store, HERE, user)).value
    answer = key.register(webauthn.registration_options(SITE, challenge, mine, "Bob"))
    taken = await proofs.take(store, challenge.nonce, user, SESSION)
    assert isinstance(taken, Challenge)
    credential = webauthn.registered(SITE, taken, answer)
    await passkeys.enrol(store, person(user), credential, "Bob's phone", **{"cooling_off": AT_ONCE, **how})
    return key


async def signed(
    store: Store, key: SoftwarePasskey, challenge: Challenge, user: UserId = BOB, session: Any = SESSION
) -> Proved:
    mine = (await passkeys.of(store, HERE, user)).value
    answer = key.sign(webauthn.assertion_options(SITE, challenge, mine))
    return await webauthn.prove(store, SITE, user, session, challenge.nonce, answer)


async def asked(store: Store, lease: Lease, proof: Proof = Proof.PASSKEY, **changes: Any) -> Request:
    admin = person(CAROL, is_admin=True)
    await change_settings(store, admin, lambda own: replace(own, proof=proof, **changes))
    return await usecases.ask(store, lease, call())


def shown(*rows: Request) -> list[Shown]:
    return [Shown(row.id, row.digest) for row in rows]


async def test_a_signed_approval_counts_and_is_recorded(store: Store, lease: Lease) -> None:
    key, of = await enrolled(store), await asked(store, lease)
    wish = attempt(of)
    challenge = await proofs.begin(store, shown(of), wish, SESSION)
    proved = await signed(store, key, challenge)
    done = await usecases.decide(store, NoQueue(), of.id, replace(wish, proved=proved))
    assert done.status is Status.APPROVED and done.decision is not None
    assert (done.decision.proof, done.votes[0].proof) == (Proof.PASSKEY, Proof.PASSKEY)
    (event,) = [one for one in await events(store) if one.type is EventType.REQUEST_DECIDED]
    evidence = json.loads(event.data["proved"])
    assert (evidence["by"], evidence["statement"]) == ("passkey", challenge.statement)
    assert evidence["key"]["credential"] == key.credential


async def test_a_click_is_refused_where_a_passkey_is_needed(store: Store, lease: Lease) -> None:
    """Approve, edit and break-glass; rejecting needs no more than a click."""
    of = await asked(store, lease, break_glass=True)
    edit = attempt(of, verb=Verb.EDIT, arguments='{"amount":5,"order":17}')
    alone = attempt(of, ALICE, break_glass=True, words="The shop burns.", name="glass")
    for click in (attempt(of), edit, alone, attempt(of, proved=Proved(Proof.OIDC), name="page")):
        with pytest.raises(Refused) as refused:
            await usecases.decide(store, NoQueue(), of.id, click)
        assert refused.value.refusal is Refusal.NEEDS_PASSKEY
    done = await usecases.decide(store, NoQueue(), of.id, attempt(of, verb=Verb.REJECT))
    assert done.status is Status.REJECTED
