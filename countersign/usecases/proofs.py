"""Begin and check a proof: a signature of a passkey, or a fresh login.

A page does it in two steps. `begin` judges the attempt, so that nobody signs in vain, and stores the statement to sign.
The page passes `Challenge.raw` to the passkey, or `Challenge.oidc_nonce` to the identity provider. `prove` or
`prove_login` accepts the answer once, and returns the proof or the reason of its refusal. Either goes into the attempt,
and `decisions.decide` compares it with the needed proof:

    challenge = await proofs.begin(store, shown, attempt, session)
    ...
    proved = await passkeys.prove(store, site, user, session, nonce, answer)     # bot.passkeys, or prove_login below
    for request, digest in shown:
        await decide(store, queue, request, replace(attempt, id=…, digest=digest, proved=proved))
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, NamedTuple

from countersign.domain import decision_attempts, filled_sentences, passkeys
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.decision_attempts import Attempt
from countersign.domain.eligibility import refusal_event
from countersign.domain.errors import NotFound, Refused
from countersign.domain.ids import Digest, RequestId, UserId
from countersign.domain.passkeys import Passkey
from countersign.domain.proof import Assertion, Challenge, OidcLogin, Proof, Proved, Statement, new_nonce
from countersign.domain.requests import Request
from countersign.usecases.compare_and_set import Keep, Swap, update
from countersign.usecases.ports import Change, Put, Store

Check = Callable[[Challenge, Passkey, Assertion], int | Refusal]
"""Verifies an assertion over a challenge: the passkey's new counter, or why it is refused."""
CLOCKS_DIFFER: Final = timedelta(seconds=5)
"""Largest accepted difference between our clock and the identity provider's, for the time of a login.

The provider reports whole seconds. A login that precedes the question by less than this also counts, so the value is
only as large as synchronized clocks need.
"""


class Shown(NamedTuple):
    """A request, and the digest of the content that the page showed."""

    request: RequestId
    digest: Digest


async def begin(store: Store, shown: Sequence[Shown], attempt: Attempt, session: Digest) -> Challenge:
    """Keep the statement of this attempt on all of these requests.

    The attempt's own digest is ignored. Refused, with an event for the audit log, if one of them would be refused
    whatever the proof; NotFound if one does not exist.
    """
    rows = list[Request]()
    for request, digest in shown:
        seen = await store.request(request)
        if seen is None:
            raise NotFound(Refusal.UNKNOWN.value)
        judged = replace(attempt, digest=digest)
        refusal = decision_attempts.why_not_apart_from_proof(seen.value, judged, seen.now)
        if refusal is not None:
            event = refusal_event(seen.value, attempt.actor, attempt.verb, refusal, seen.now, attempt.words)
            await store.commit(Change(events=(event,), once=attempt.id))
            raise Refused(refusal, filled_sentences.sentence(refusal, seen.value))
        rows.append(seen.value)
    return await begin_statement(store, decision_attempts.statement(rows, attempt, new_nonce()), session)


async def begin_statement(store: Store, statement: Statement, session: Digest) -> Challenge:
    """Keep a statement that this session's user is to sign.

    Enrolments and changes of settings use it too; the statement needs a `new_nonce`.
    """
    if not statement.nonce:
        raise ValueError("a statement without a nonce is good more than once")
    challenge = Challenge(statement.write(), statement.user, session, await store.now())
    await store.keep_challenge(challenge)
    return challenge


async def prove(
    store: Store, check: Check, *, nonce: str, user: UserId, session: Digest, assertion: Assertion
) -> Proved:
    """Take the challenge of this nonce, and verify the passkey's answer to it.

    A wrong answer raises nothing: the reason is returned as `Proved.wrong`, and refuses the attempt.
    """
    challenge = await take(store, nonce, user, session)
    if isinstance(challenge, Refusal):
        return Proved(Proof.PASSKEY, wrong=challenge)

    async def propose() -> Keep[Proved] | Swap[Proved]:
        seen = await store.passkeys(user)
        key = None if seen is None else seen.value.get(assertion.credential)
        wrong = Proved(Proof.PASSKEY, challenge.statement, assertion=assertion)
        if seen is None or key is None:
            return Keep(_because(wrong, Refusal.PASSKEY_UNKNOWN))
        if key.revoked_at is not None:
            return Keep(_because(wrong, Refusal.PASSKEY_REVOKED))
        count = check(challenge, key, assertion)
        if isinstance(count, Refusal):
            return Keep(_because(wrong, count))
        if count <= key.sign_count and (count or key.sign_count):
            return Keep(_because(wrong, Refusal.PASSKEY_COPIED))
        after = passkeys.used(seen.value, key.id, count, seen.now)
        proved = Proved(Proof.PASSKEY, challenge.statement, assertion=assertion, key=key.signing_key())
        return Swap(Change(passkeys=(Put(after, seen.version),)), proved)

    return (await update(store, propose)).value


async def prove_login(store: Store, *, nonce: str, user: UserId, session: Digest, login: OidcLogin) -> Proved:
    """Take the challenge of this nonce for a login that was made for it.

    The caller has verified the ID token: its signature, `iss`, `aud`, and that its `nonce` is the challenge's
    `oidc_nonce`; and has mapped `iss` and `sub` to this user. This function checks that the person signed in after the
    challenge was made, so that an existing session proves nothing, however recent it is.
    """
    challenge = await take(store, nonce, user, session)
    if isinstance(challenge, Refusal):
        return Proved(Proof.OIDC, wrong=challenge)
    fresh = login.at >= challenge.made_at - CLOCKS_DIFFER
    return Proved(Proof.OIDC, challenge.statement, login, wrong=None if fresh else Refusal.LOGIN_NOT_FRESH)


async def take(store: Store, nonce: str, user: UserId, session: Digest) -> Challenge | Refusal:
    """Take the challenge of this nonce for this session, once; or return why not.

    For the registration of a new passkey; answers to assertions are taken by `prove`.
    """
    challenge = await store.take_challenge(nonce)
    if challenge is None:
        return Refusal.PROOF_LATE
    return challenge.why_not(user, session, await store.now()) or challenge


def _because(proved: Proved, refusal: Refusal) -> Proved:
    return Proved(proved.by, proved.statement, assertion=proved.assertion, wrong=refusal)
