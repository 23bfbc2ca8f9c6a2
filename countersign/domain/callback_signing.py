"""Signatures of callbacks, as Standard Webhooks 1.0 describes them.

The receiver checks `webhook-signature` with the secret of its key: an HMAC with SHA-256 over id, timestamp and body.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from datetime import datetime
from secrets import token_bytes
from typing import Final

_PREFIX: Final = "whsec_"
_BYTES: Final = 32
"""Bytes of a secret; the specification takes 24 to 64."""


def new_secret() -> str:
    """Make a secret in the format that the receiver's library reads."""
    return _PREFIX + base64.b64encode(token_bytes(_BYTES)).decode()


def headers(secrets: list[str], message: str, now: datetime, body: bytes) -> dict[str, str]:
    """Make the three headers of one attempt, with a signature by each of the secrets.

    `message` stays the same in a retry. `secrets` is a list because a single string would also pass as a sequence.
    """
    at = str(int(now.timestamp()))
    signed = b".".join((message.encode(), at.encode(), body))
    return {
        "webhook-id": message,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(_signature(secret, signed) for secret in secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
