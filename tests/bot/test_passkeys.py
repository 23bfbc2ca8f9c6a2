"""Proofs on a real store, with real signatures: enrol, sign, decide, and everything that must not count."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot import passkeys as webauthn
from bot.passkeys import Site
from bot.workspace import proof_problem
from countersign import usecases
from countersign.domain.actions import Action
from countersign.domain.attempt_refusals import Refusal, Sentence
from countersign.domain.channel_settings import ChannelSettings, OnTimeout
from countersign.domain.errors import InvalidInput, Refused
from countersign.domain.events import EventType
from countersign.domain.ids import AttemptId, UserId, digest_of
from countersign.domain.passkeys import code_statement, enrolment_statement
from countersign.domain.people import Actor
from countersign.domain.proof import Challenge, OidcLogin, Proof, Proved, new_nonce
from countersign.domain.request_endings import approved_by_timeout
from countersign.domain.requests import Request, Scope, Status, Verb
from countersign.domain.standing_permissions import Permission, PermissionChoice, Span
from countersign.policy import loosening
from countersign.policy.evaluation import Clause, Rulebook
from countersign.policy.loosening import NeedsProof, SettingsProposal
from countersign.store.store import Store
from countersign.usecases import passkeys, permission_use, proofs
from countersign.usecases.ports import Change, Lease, Put
from countersign.usecases.proofs import CLOCKS_DIFFER, Shown
from tests.sample_requests import ALICE, BOB, CAROL, DAVE, GENERAL, HERE, attempt, call, question
from tests.software_passkey import ORIGIN, SoftwarePasskey
from tests.store_fixtures import NoQueue, change_settings
from tests.usecases.test_usecases import events, kinds

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


async def none_wrong(_: object) -> list[Sentence]:
    return []


ADMIN = person(CAROL, is_admin=True)


async def asked(store: Store, lease: Lease, proof: Proof = Proof.PASSKEY, **changes: Any) -> Request:
    await change_settings(store, ADMIN, lambda own: replace(own, proof=proof, **changes))
    return await usecases.ask(store, lease, call())


def shown(*rows: Request) -> list[Shown]:
    return [Shown(row.id, row.digest) for row in rows]


async def test_signed_approval_counts_and_is_logged(store: Store, lease: Lease) -> None:
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


async def test_click_is_refused_where_a_passkey_is_needed(store: Store, lease: Lease) -> None:
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


async def loosen(store: Store, actor: Actor = ADMIN, **changes: Any) -> Any:
    edit = {"proof": Proof.SLACK, **changes}
    return await usecases.configure(store, GENERAL, actor, frozenset(), lambda own: replace(own, **edit), none_wrong)


async def confirm(store: Store, proposal: SettingsProposal, proved: Proved, actor: Actor = ADMIN) -> Any:
    return await usecases.configure(
        store,
        GENERAL,
        actor,
        frozenset(),
        lambda _: proposal.wanted,
        none_wrong,
        confirms=proposal,
        proposer=actor,
        proved=proved,
    )


async def test_loosening_needs_the_proof_that_the_rules_need(store: Store) -> None:
    """R33: not even an admin's click removes the proof; their passkey does."""
    key = await enrolled(store, CAROL)
    await change_settings(store, ADMIN, lambda own: replace(own, proof=Proof.PASSKEY))
    for changes in ({}, {"proof": Proof.OIDC}, {"proof": Proof.PASSKEY, "own_requests": True}):
        with pytest.raises(NeedsProof) as proposed:
            await loosen(store, **changes)
    with pytest.raises(NeedsProof) as proposed:
        await loosen(store)
    proposal = await store.proposal(proposed.value.proposal.id)
    assert proposal == proposed.value.proposal
    with pytest.raises(InvalidInput, match="a click proves too little"):
        await confirm(store, proposal, Proved())
    said = loosening.statement(HERE, CAROL, proposal, new_nonce())
    challenge = await proofs.begin_statement(store, said, SESSION)
    proved = await signed(store, key, challenge, CAROL)
    bob = await signed_by_bob(store, proposal)
    with pytest.raises(InvalidInput, match="by an admin"):
        await confirm(store, proposal, bob, person(BOB))
    assert (await usecases.rules_of(store, GENERAL)).proof is Proof.PASSKEY
    await confirm(store, proposal, proved)
    assert (await usecases.rules_of(store, GENERAL)).proof is Proof.SLACK
    told = [one for one in await events(store) if one.type is EventType.SETTINGS_CHANGED][-1]
    assert json.loads(told.data["proved"])["statement"] == challenge.statement


async def test_click_loosens_nothing_that_the_policy_protects(store: Store) -> None:
    """R33: a rule that names a proof inherits quorum and reviewers, which two clicks lowered."""
    await change_settings(store, ADMIN, lambda own: replace(own, quorum=2))
    signs = Clause("pay", Action.ASK, 1, tool="pay*", terms=ChannelSettings(proof=Proof.PASSKEY))
    await store.set_rulebook(Rulebook((signs,)))
    with pytest.raises(InvalidInput, match="a click proves too little"):
        await change_settings(store, ADMIN, lambda own: replace(own, quorum=1))  # and confirms it by a click
    assert (await usecases.rules_of(store, GENERAL)).quorum == 2


async def signed_by_bob(store: Store, proposal: SettingsProposal) -> Proved:
    key = await enrolled(store, BOB)
    said = loosening.statement(HERE, BOB, proposal, new_nonce())
    return await signed(store, key, await proofs.begin_statement(store, said, SESSION), BOB)


async def test_wrong_assertions_are_refused_with_their_reason(store: Store, lease: Lease, subtests: Any) -> None:
    """R7, R25: replayed, late, foreign, cross-origin, unverified, copied; each is in the audit log."""
    key, of = await enrolled(store), await asked(store, lease)
    wish = attempt(of)

    async def begun() -> Challenge:
        return await proofs.begin(store, shown(of), wish, SESSION)

    async def sign_as(other: SoftwarePasskey) -> Proved:
        return await signed(store, other, await begun())

    async def replayed() -> Proved:
        challenge = await begun()
        await signed(store, key, challenge)
        return await signed(store, key, challenge)

    async def too_late() -> Proved:
        challenge = await begun()
        await store.client.delete(store.keys.challenge(digest_of(challenge.nonce)))
        return await signed(store, key, challenge)

    async def other_session() -> Proved:
        return await signed(store, key, await begun(), session=digest_of("another session"))

    async def other_person() -> Proved:
        dave = await enrolled(store, DAVE)
        return await signed(store, dave, await begun())

    async def counter_went_back() -> Proved:
        challenge = await begun()
        before, key.count = key.count, 0
        proved = await signed(store, key, challenge)
        key.count = before
        return proved

    async def of_other_verb() -> Proved:
        rejection = replace(wish, verb=Verb.REJECT)
        return await signed(store, key, await proofs.begin(store, shown(of), rejection, SESSION))

    async def of_other_request() -> Proved:
        other = await usecases.ask(store, lease, question())
        challenge = await proofs.begin(store, shown(other), attempt(other, name="other"), SESSION)
        return await signed(store, key, challenge)

    async def nothing() -> Proved:
        challenge = await begun()
        return await webauthn.prove(store, SITE, BOB, SESSION, challenge.nonce, "nonsense")

    async def of_other_challenge() -> Proved:
        challenge, other = await begun(), await begun()
        mine = (await passkeys.of(store, HERE, BOB)).value
        answer = key.sign(webauthn.assertion_options(SITE, other, mine))
        return await webauthn.prove(store, SITE, BOB, SESSION, challenge.nonce, answer)

    wrong = {
        "replayed": (replayed, Refusal.PROOF_LATE),
        "too late": (too_late, Refusal.PROOF_LATE),
        "another session": (other_session, Refusal.PROOF_NOT_YOURS),
        "another person's passkey": (other_person, Refusal.PASSKEY_UNKNOWN),
        "cross-origin": (lambda: sign_as(replace(key, origin="https://evil.example", count=90)), Refusal.PROOF_WRONG),
        "a subdomain": (lambda: sign_as(replace(key, origin="https://a.approve.example.com")), Refusal.PROOF_WRONG),
        "http": (lambda: sign_as(replace(key, origin="http://approve.example.com")), Refusal.PROOF_WRONG),
        "in a frame of another site": (lambda: sign_as(replace(key, framed=True)), Refusal.PROOF_WRONG),
        "another RP id": (lambda: sign_as(replace(key, rp_id="example.com")), Refusal.PROOF_WRONG),
        "user not verified": (lambda: sign_as(replace(key, verifies=False)), Refusal.PROOF_WRONG),
        "another key": (lambda: sign_as(replace(SoftwarePasskey(), id=key.id)), Refusal.PROOF_WRONG),
        "counter went back": (counter_went_back, Refusal.PASSKEY_COPIED),
        "another verb": (of_other_verb, Refusal.PROOF_OF_OTHER),
        "another request": (of_other_request, Refusal.PROOF_OF_OTHER),
        "another challenge": (of_other_challenge, Refusal.PROOF_WRONG),
        "nothing": (nothing, Refusal.PASSKEY_UNKNOWN),
    }
    for number, (name, (prove, refusal)) in enumerate(wrong.items()):
        with subtests.test(name):
            proved = await prove()
            with pytest.raises(Refused) as refused:
                await usecases.decide(store, NoQueue(), of.id, replace(wish, proved=proved, id=AttemptId(f"a{number}")))
            assert refused.value.refusal is refusal
            last = [one for one in await events(store) if one.type is EventType.ATTEMPT_REFUSED][-1]
            assert last.data["refusal"] == refusal.name.lower()
    seen = await store.request(of.id)
    assert seen is not None and seen.value.status is Status.PENDING


async def test_signature_covers_only_the_rows_it_names(store: Store, lease: Lease) -> None:
    """A batch is one assertion; a row that it does not name stays undecided."""
    key, first = await enrolled(store), await asked(store, lease)
    second, third = [await usecases.ask(store, lease, replace(call(order=n), asked=n)) for n in (1, 2)]
    wish = attempt(first)
    proved = await signed(store, key, await proofs.begin(store, shown(first, second), wish, SESSION))
    for number, row in enumerate((first, second)):
        mine = replace(wish, id=AttemptId(f"row{number}"), digest=row.digest, proved=proved)
        assert (await usecases.decide(store, NoQueue(), row.id, mine)).status is Status.APPROVED
    with pytest.raises(Refused) as refused:
        mine = replace(wish, id=AttemptId("row3"), digest=third.digest, proved=proved)
        await usecases.decide(store, NoQueue(), third.id, mine)
    assert refused.value.refusal is Refusal.PROOF_OF_OTHER


async def test_quorum_of_two_needs_two_passkeys(store: Store, lease: Lease) -> None:
    """A vote by a click does not count beside a signed vote."""
    of = await asked(store, lease, quorum=2)
    for user, status in ((BOB, Status.PENDING), (CAROL, Status.APPROVED)):
        key = await enrolled(store, user)
        wish = attempt(of, user)

        async def voters(_: Request) -> tuple[Actor, ...]:
            return (person(BOB), person(CAROL))

        with pytest.raises(Refused):
            await usecases.decide(store, NoQueue(), of.id, replace(wish, id=AttemptId(f"{user}-click")), voters=voters)
        proved = await signed(store, key, await proofs.begin(store, shown(of), wish, SESSION), user)
        done = await usecases.decide(store, NoQueue(), of.id, replace(wish, proved=proved), voters=voters)
        assert done.status is status
    assert done.decision is not None and done.decision.proof is Proof.PASSKEY
    told = [one for one in await events(store) if "proved" in one.data]
    assert [one.type for one in told] == [EventType.VOTE_CAST, EventType.REQUEST_DECIDED]


async def test_rules_changed_after_signing_refuse_the_decision(store: Store, lease: Lease) -> None:
    """The page is older than an escalation that let others decide too."""
    key, of = await enrolled(store), await asked(store, lease)
    wish = attempt(of)
    proved = await signed(store, key, await proofs.begin(store, shown(of), wish, SESSION))
    seen = await store.request(of.id)
    assert seen is not None
    changed = replace(seen.value, rules=replace(seen.value.rules, quorum=2))
    await store.commit(Change(requests=(Put(changed, seen.version),)))
    with pytest.raises(Refused) as refused:
        await usecases.decide(store, NoQueue(), of.id, replace(wish, proved=proved))
    assert refused.value.refusal is Refusal.PROOF_OF_OTHER


async def test_refused_attempts_are_not_offered_for_signing(store: Store, lease: Lease) -> None:
    """R25: strangers learn it before the passkey is asked, and the audit log has it."""
    of = await asked(store, lease)
    with pytest.raises(Refused) as refused:
        await proofs.begin(store, shown(of), attempt(of, DAVE), SESSION)
    assert refused.value.refusal is Refusal.NOT_A_REVIEWER
    assert (await kinds(store))[-1] is EventType.ATTEMPT_REFUSED
    other = [Shown(of.id, digest_of("other"))]
    with pytest.raises(Refused) as refused:
        await proofs.begin(store, other, attempt(of), SESSION)
    assert refused.value.refusal is Refusal.OTHER_CONTENT


async def test_permission_given_by_click_covers_nothing_signed(store: Store, lease: Lease) -> None:
    """R24: a permission approves nothing that needs a stronger proof than it was given with."""
    of = await usecases.ask(store, lease, call())
    hour = PermissionChoice(Scope.ARGUMENTS, Span.HOUR)
    await usecases.decide(store, NoQueue(), of.id, attempt(of, permission=hour))
    await asked(store, lease)
    again = await usecases.ask(store, lease, replace(call(), asked=1))

    async def whose(permission: Permission, _: object) -> Actor:
        return person(permission.by)

    assert await permission_use.allow(store, NoQueue(), again.id, whose) is None
    key, wish = await enrolled(store), attempt(again, permission=hour, name="signed")
    proved = await signed(store, key, await proofs.begin(store, shown(again), wish, SESSION))
    await usecases.decide(store, NoQueue(), again.id, replace(wish, proved=proved))
    third = await usecases.ask(store, lease, replace(call(), asked=2))
    done = await permission_use.allow(store, NoQueue(), third.id, whose)
    assert done is not None and done.decision is not None and done.decision.proof is Proof.PASSKEY


async def test_fresh_login_proves_and_an_old_login_does_not(store: Store, lease: Lease) -> None:
    """gitlab #438758: a live session that the provider passes silently proves nothing, however young it is."""
    of = await asked(store, lease, Proof.OIDC)
    wish = attempt(of)
    old = [(age, Refusal.LOGIN_NOT_FRESH) for age in (timedelta(hours=1), CLOCKS_DIFFER + timedelta(seconds=1))]
    for age, refusal in (*old, (AT_ONCE, None)):
        challenge = await proofs.begin(store, shown(of), wish, SESSION)
        login = OidcLogin("https://idp.example.com", "bob", challenge.made_at - age, amr=("pwd", "otp"))
        proved = await proofs.prove_login(store, nonce=challenge.nonce, user=BOB, session=SESSION, login=login)
        assert proved.wrong is refusal
        if refusal is None:
            done = await usecases.decide(store, NoQueue(), of.id, replace(wish, proved=proved))
            assert done.status is Status.APPROVED
        else:
            with pytest.raises(Refused):
                await usecases.decide(
                    store, NoQueue(), of.id, replace(wish, proved=proved, id=AttemptId(f"old{age.seconds}"))
                )


async def test_enrolment_needs_more_than_a_session(store: Store) -> None:
    """Neither Slack nor a page's session enrols; a wrong, used or foreign code does not either."""
    said = enrolment_statement(HERE, BOB, new_nonce())
    challenge = await proofs.begin_statement(store, said, SESSION)
    stale = OidcLogin("https://idp.example.com", "bob", await store.now() - timedelta(hours=2))
    old = await proofs.prove_login(store, nonce=challenge.nonce, user=BOB, session=SESSION, login=stale)
    carols = await passkeys.make_code_by_operator(store, HERE, CAROL, "root")
    for how in ({}, {"proved": Proved(Proof.OIDC)}, {"proved": old}, {"codes": ["nonsense"]}, {"codes": [carols]}):
        with pytest.raises(InvalidInput):
            await enrol(store, BOB, **how)
        assert (await kinds(store))[-1] is EventType.ENROLMENT_REFUSED
    code = await passkeys.make_code_by_operator(store, HERE, BOB, "root")
    await enrol(store, BOB, codes=[code.upper().replace("-", " ")])
    with pytest.raises(InvalidInput, match="a passkey that you have"):
        await enrol(store, BOB, codes=[code])
    assert await store.passkey_holders() == [BOB, CAROL]


async def test_first_passkey_needs_a_login_and_later_a_passkey(store: Store) -> None:
    said = enrolment_statement(HERE, BOB, new_nonce())
    challenge = await proofs.begin_statement(store, said, SESSION)
    login = OidcLogin("https://idp.example.com", "bob", await store.now())
    fresh = await proofs.prove_login(store, nonce=challenge.nonce, user=BOB, session=SESSION, login=login)
    first = await enrol(store, BOB, proved=fresh)
    with pytest.raises(InvalidInput):
        await enrol(store, BOB, proved=fresh)
    challenge = await proofs.begin_statement(store, replace(said, nonce=new_nonce()), SESSION)
    await enrol(store, BOB, proved=await signed(store, first, challenge))
    mine = (await passkeys.of(store, HERE, BOB)).value
    assert [key.enrolled_by for key in mine.keys] == ["login", "passkey"]
    assert mine.keys[0].login == login


async def test_new_passkey_cannot_approve_during_its_cooling_period(store: Store, lease: Lease) -> None:
    key, of = await enrolled(store, cooling_off=timedelta(hours=24)), await asked(store, lease)
    wish = attempt(of)
    proved = await signed(store, key, await proofs.begin(store, shown(of), wish, SESSION))
    with pytest.raises(Refused) as refused:
        await usecases.decide(store, NoQueue(), of.id, replace(wish, proved=proved))
    assert refused.value.refusal is Refusal.PASSKEY_TOO_NEW


async def test_recovery_needs_the_codes_of_two_admins(store: Store, lease: Lease) -> None:
    key, of = await enrolled(store), await asked(store, lease)
    with pytest.raises(InvalidInput, match="owner and admins"):
        await passkeys.revoke(store, BOB, key.credential, person(DAVE), frozenset())
    await passkeys.revoke(store, BOB, key.credential, ADMIN, frozenset())
    wish = attempt(of)
    proved = await signed(store, key, await proofs.begin(store, shown(of), wish, SESSION))
    assert proved.wrong is Refusal.PASSKEY_REVOKED
    code = await passkeys.make_code_by_operator(store, HERE, BOB, "root")
    with pytest.raises(InvalidInput, match="two different admins"):
        await enrol(store, BOB, codes=[code])
    again = await passkeys.make_code_by_operator(store, HERE, BOB, "root")
    with pytest.raises(InvalidInput):
        await enrol(store, BOB, codes=[code, again])
    carols = await code_by(store, CAROL)
    await enrol(store, BOB, codes=[again, carols])
    mine = (await passkeys.of(store, HERE, BOB)).value
    assert (mine.keys[1].vouched_by, mine.codes) == ((CAROL, "operator root"), ())


async def code_by(store: Store, admin: UserId, user: UserId = BOB) -> str:
    """A code by an admin who signs with a passkey."""
    key = await enrolled(store, admin)
    said = code_statement(HERE, admin, user, new_nonce())
    proved = await signed(store, key, await proofs.begin_statement(store, said, SESSION), admin)
    return await passkeys.make_code(store, person(admin, is_admin=True), frozenset(), user, proved)


async def test_only_admins_with_a_passkey_make_codes(store: Store) -> None:
    """Not by a click, not by others, and not for oneself."""
    for actor, user, why in (
        (ADMIN, BOB, "needs your passkey"),
        (person(DAVE), BOB, "Only workspace admins"),
        (ADMIN, CAROL, "for yourself"),
    ):
        with pytest.raises(InvalidInput, match=why):
            await passkeys.make_code(store, actor, frozenset(), user, Proved(Proof.OIDC))
        assert (await kinds(store))[-1] is EventType.ENROLMENT_REFUSED
    assert len(await code_by(store, CAROL)) == 24


async def test_edit_into_a_rule_with_a_proof_is_refused(store: Store, lease: Lease) -> None:
    """R9, R19: 20 EUR by a click is not a way to 9,000 EUR, which need a passkey."""
    big = Clause("big", Action.ASK, 1, condition="amount > 500", terms=ChannelSettings(proof=Proof.PASSKEY))
    every = Clause("every", Action.ASK, 2, terms=ChannelSettings(quorum=1))
    await store.set_rulebook(Rulebook((every, big)))
    of = await usecases.ask(store, lease, call())
    assert (of.rules.clause, of.rules.proof) == ("every", Proof.SLACK)
    edit = attempt(of, verb=Verb.EDIT, arguments='{"amount":9000,"order":17}')
    with pytest.raises(Refused) as refused:
        await usecases.decide(store, NoQueue(), of.id, edit)
    assert refused.value.refusal is Refusal.EDIT_UNDER_ANOTHER_RULE
    strict = await usecases.ask(store, lease, replace(call(order=17, amount=9000), asked=1))
    assert strict.rules.proof is Proof.PASSKEY, "the strongest proof counts, whichever rule names it"
    small = attempt(of, verb=Verb.EDIT, arguments='{"amount":21,"order":17}', name="small")
    assert (await usecases.decide(store, NoQueue(), of.id, small)).status is Status.EDITED


async def test_silence_never_counts_as_proof(store: Store, lease: Lease) -> None:
    """R23: neither a channel's silence nor a rule's proof beside it approves by timeout."""
    silent = OnTimeout.APPROVE
    with pytest.raises(InvalidInput, match="silence proves nothing"):
        await change_settings(store, ADMIN, lambda own: replace(own, proof=Proof.PASSKEY, on_timeout=silent))
    await change_settings(store, ADMIN, lambda own: replace(own, on_timeout=silent))
    signs = Clause("signs", Action.ASK, 1, terms=ChannelSettings(proof=Proof.PASSKEY))
    await store.set_rulebook(Rulebook((signs,)))
    of = await usecases.ask(store, lease, call())
    assert (of.rules.on_timeout, approved_by_timeout(of)) == (OnTimeout.REJECT, False)
    assert not approved_by_timeout(replace(of, rules=replace(of.rules, on_timeout=silent)))


async def test_invalid_registrations_enrol_nothing(store: Store, subtests: Any) -> None:
    """Cross-origin, framed, of another RP id, without a verified user, and nonsense."""
    mine = (await passkeys.of(store, HERE, BOB)).value
    said = enrolment_statement(HERE, BOB, new_nonce())
    challenge = await proofs.begin_statement(store, said, SESSION)
    other = await proofs.begin_statement(store, replace(said, nonce=new_nonce()), SESSION)
    good = SoftwarePasskey()
    options = webauthn.registration_options(SITE, challenge, mine, "Bob")
    answers = {
        "cross-origin": replace(good, origin="https://evil.example").register(options),
        "framed": replace(good, framed=True).register(options),
        "another RP id": replace(good, rp_id="example.com").register(options),
        "user not verified": replace(good, verifies=False).register(options),
        "another challenge": good.register(webauthn.registration_options(SITE, other, mine, "Bob")),
        "an assertion": good.sign(options),
        "nonsense": "nonsense",
        "a list": "[]",
        "too long": "x" * (webauthn.LARGEST_ANSWER + 1),
    }
    for name, answer in answers.items():
        with subtests.test(name), pytest.raises(InvalidInput, match="Nothing was enrolled"):
            webauthn.registered(SITE, challenge, answer)
    assert webauthn.registered(SITE, challenge, good.register(options)).id == good.credential


def test_policy_with_a_proof_needs_pages() -> None:
    signs = Clause("signs", Action.ASK, 7, terms=ChannelSettings(proof=Proof.PASSKEY))
    assert proof_problem(Rulebook()) is None
    assert "“signs” (line 7)" in (proof_problem(Rulebook((signs,))) or "")
    assert "Set PUBLIC_URL" in (proof_problem(Rulebook((signs,))) or "")
