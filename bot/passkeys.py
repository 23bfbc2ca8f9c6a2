"""WebAuthn: what the browser is asked, and what its passkey answered.

py_webauthn verifies. This module sets the requirements: the exact origin and RP id, a verified user, a counter that
only grows, and single use of each answer. Options are for `navigator.credentials` after `parse…OptionsFromJSON`,
answers are what `PublicKeyCredential.toJSON()` returns.
"""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import webauthn
from webauthn.helpers import base64url_to_bytes, structs

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import Digest, UserId
from countersign.domain.passkeys import NewCredential, Passkey, Passkeys
from countersign.domain.proof import Assertion, Challenge, Proved, challenge_of, encoded
from countersign.usecases import proofs
from countersign.usecases.ports import Store

LARGEST_ANSWER: Final = 16_384
"""Characters of a browser's answer; one of a passkey has about 700, a registration about 1,500."""
_NOT_A_PASSKEY: Final = "The browser's answer isn't a passkey that can be used here. Nothing was enrolled; try again."


@dataclass(frozen=True, slots=True)
class Site:
    """The pages' address, as browsers know it, like `https://approve.example.com`."""

    origin: str
    rp_id: str
    name: str = "Countersign"

    @classmethod
    def at(cls, public_url: str) -> "Site":
        """Return the site of PUBLIC_URL."""
        url = urlsplit(public_url)
        return cls(f"{url.scheme}://{url.netloc}", url.hostname or "")


def assertion_options(site: Site, challenge: Challenge, passkeys: Passkeys) -> dict[str, Any]:
    """Return the options of `navigator.credentials.get`, for this person's passkeys."""
    options = webauthn.generate_authentication_options(
        rp_id=site.rp_id,
        challenge=challenge.raw,
        allow_credentials=[structs.PublicKeyCredentialDescriptor(id=base64url_to_bytes(k.id)) for k in passkeys.valid],
        user_verification=structs.UserVerificationRequirement.REQUIRED,
        timeout=300_000,
    )
    return _plain(webauthn.options_to_json(options))


def registration_options(site: Site, challenge: Challenge, passkeys: Passkeys, name: str) -> dict[str, Any]:
    """Return the options of `navigator.credentials.create`; `name` is the person's."""
    options = webauthn.generate_registration_options(
        rp_id=site.rp_id,
        rp_name=site.name,
        user_name=name or str(passkeys.user),
        user_id=f"{passkeys.workspace}/{passkeys.user}".encode(),
        challenge=challenge.raw,
        exclude_credentials=[
            structs.PublicKeyCredentialDescriptor(id=base64url_to_bytes(key.id)) for key in passkeys.valid
        ],
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.PREFERRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        timeout=300_000,
    )
    return _plain(webauthn.options_to_json(options))


def registered(site: Site, challenge: Challenge, answer: str) -> NewCredential:
    """Check a new passkey for a challenge that `proofs.take` returned.

    InvalidInput if it can't be used.
    """
    if len(answer) > LARGEST_ANSWER:
        raise InvalidInput(_NOT_A_PASSKEY)
    try:
        if _framed(json.loads(answer)["response"]["clientDataJSON"]):
            raise InvalidInput(_NOT_A_PASSKEY)
        made = webauthn.verify_registration_response(
            credential=answer,
            expected_challenge=challenge.raw,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except Exception:  # a made-up answer may raise anything in a parser
        raise InvalidInput(_NOT_A_PASSKEY) from None
    return NewCredential(
        encoded(made.credential_id),
        encoded(made.credential_public_key),
        made.sign_count,
        made.aaguid,
        made.credential_backed_up,
        site.rp_id,
    )


async def prove(store: Store, site: Site, user: UserId, session: Digest, nonce: str, answer: str) -> Proved:
    """Take the browser's answer to `assertion_options`, once.

    A fault of the answer is in `Proved.wrong`.
    """
    assertion = assertion_in(answer)
    return await proofs.prove(
        store, partial(_check, site), nonce=nonce, user=user, session=session, assertion=assertion
    )


def assertion_in(answer: str) -> Assertion:
    """Read the browser's answer; other text becomes one that never verifies."""
    try:
        if len(answer) > LARGEST_ANSWER:
            raise ValueError("too long")
        fields = json.loads(answer)
        response = fields["response"]
        parts = (fields["id"], response["clientDataJSON"], response["authenticatorData"], response["signature"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return Assertion("", "", "", "")
    return Assertion(*parts) if all(isinstance(part, str) for part in parts) else Assertion("", "", "", "")


def _check(site: Site, challenge: Challenge, key: Passkey, assertion: Assertion) -> int | Refusal:
    if key.rp_id != site.rp_id:
        return Refusal.PASSKEY_UNKNOWN
    count = signed(challenge.statement, assertion, key.public_key, site.rp_id, site.origin)
    return Refusal.PROOF_WRONG if count is None else count


def origin_of(assertion: Assertion) -> str:
    """Return the site of an assertion, as its browser says; "" if it does not say."""
    try:
        origin = json.loads(base64url_to_bytes(assertion.client_data))["origin"]
    except Exception:  # a made-up answer may raise anything in a parser
        return ""
    return origin if isinstance(origin, str) else ""


def signed(statement: str, assertion: Assertion, public_key: str, rp_id: str, origin: str) -> int | None:
    """Return the counter if this key signed the statement; None if not.

    It was signed on this site, with its user verified. The check needs no network and no store, so
    receipts are checked with it too.
    """
    try:
        if _framed(assertion.client_data):
            return None
        return webauthn.verify_authentication_response(
            credential={
                "id": assertion.credential,
                "rawId": assertion.credential,
                "type": "public-key",
                "response": {
                    "clientDataJSON": assertion.client_data,
                    "authenticatorData": assertion.authenticator_data,
                    "signature": assertion.signature,
                },
            },
            expected_challenge=challenge_of(statement),
            expected_rp_id=rp_id,
            expected_origin=origin,
            credential_public_key=base64url_to_bytes(public_key),
            credential_current_sign_count=0,  # the caller compares counters
            require_user_verification=True,
        ).new_sign_count
    except Exception:  # a made-up answer may raise anything in a parser
        return None


def _framed(client_data: str) -> bool:
    """Tell whether another site framed the page; py_webauthn does not look."""
    return json.loads(base64url_to_bytes(client_data)).get("crossOrigin") not in (None, False)


def _plain(options: str) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(options)
    return plain
