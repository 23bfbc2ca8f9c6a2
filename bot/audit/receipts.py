"""Signed receipts of one request's entries, which others can check off-line.

The signature is Ed25519 (RFC 8032) over the canonical JSON of the receipt without its `signature`. Each entry has its
hash, so it can be found in an export, and the head says how far the chain went when the receipt was written.
"""

import base64
import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from countersign.domain.errors import WrongSettings
from countersign.domain.hash_chain import Head, Kept, hash_of, write

SCHEMA: Final = 2
_READ: Final = (1, SCHEMA)
"""Schema 1 had no public key, no enrolments and no content."""
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----\n?", re.DOTALL)
_log = logging.getLogger(__name__)


def private_key(path: Path) -> Ed25519PrivateKey:
    """Return the key that signs, the first in the file.

    If the file is missing, make it with a new key, readable by its owner alone. WrongSettings if it cannot be used.
    """
    try:
        if not path.exists():
            _make(path)
        key = serialization.load_pem_private_key(_parts(path.read_bytes())[0], None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as wrong:
        raise WrongSettings([f"AUDIT_KEY: {path} can't be used as a key ({wrong})."]) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise WrongSettings([f"AUDIT_KEY: {path} isn't an Ed25519 key. Make one: openssl genpkey -algorithm ed25519"])
    return key


def public_pem(key: Ed25519PrivateKey) -> str:
    """Return the public half as PEM, for verifying receipts."""
    public = key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def public_pems(path: Path) -> str:
    """Return the public half of each key in the file as PEM.

    The first is of the key that signs, the others of keys that signed before it. WrongSettings if one cannot be used.
    """
    signing = public_pem(private_key(path))
    return signing + "".join(_public_half(part, path) for part in _parts(path.read_bytes())[1:])


def public_if_made(path: Path) -> str:
    """Return what `public_pems` does.

    "" if there is no usable key yet.
    """
    try:
        return public_pems(path) if path.exists() else ""
    except (OSError, WrongSettings) as wrong:
        _log.warning("The public key of receipts is not shown: %s", wrong)
        return ""


def receipt(
    request: str,
    entries: Sequence[Kept],
    head: Head,
    now: datetime,
    key: Ed25519PrivateKey,
    *,
    enrolments: Sequence[Kept] = (),
    content: Mapping[str, Any] | None = None,
) -> str:
    """Write the signed receipt as JSON for people's eyes.

    `enrolments` are the entries of the passkeys that signed. `content` is all that the digest is made of, if nothing of
    it is hidden (`signatures.content_of`).
    """
    body = {
        "countersign": "decision receipt",
        "schema": SCHEMA,
        "request": request,
        "written": now.isoformat(),
        "head": str(head),
        "entries": [{"entry": kept.fields(), "hash": kept.hash} for kept in entries],
        "enrolments": [{"entry": kept.fields(), "hash": kept.hash} for kept in enrolments],
        "content": content,
        "public_key": public_pem(key),
    }
    signature = base64.b64encode(key.sign(write(body).encode())).decode()
    return json.dumps({**body, "signature": signature}, indent=2, ensure_ascii=True, sort_keys=True)


def check(text: str, public: bytes | None = None) -> tuple[dict[str, Any], str | None]:
    """Read a receipt, and say why it must not be believed; None if it may.

    `public` is the PEM of the key; without it, the receipt's own key counts, which its author may have made.
    """
    try:
        if public is None:
            public = _own_key(text)
        key = serialization.load_pem_public_key(public)
    except (ValueError, UnsupportedAlgorithm):
        return {}, "The key isn't a public key in PEM form."
    if not isinstance(key, Ed25519PublicKey):
        return {}, "The key isn't an Ed25519 key."
    try:
        signed = json.loads(text, object_pairs_hook=_once)
        body = {name: value for name, value in signed.items() if name != "signature"}
        key.verify(base64.b64decode(signed["signature"], validate=True), write(body).encode())
    except InvalidSignature:
        return {}, "The signature doesn't match: the receipt was changed, or another key signed it."
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, "This isn't a receipt."
    if signed.get("countersign") != "decision receipt" or signed.get("schema") not in _READ:
        return {}, f"This program can't read this receipt; it reads schemas 1 and {SCHEMA}."
    try:
        for part in [*signed["entries"], *signed.get("enrolments", ())]:
            about = part["entry"].get("request")
            mine = about == signed["request"] if part in signed["entries"] else about is None
            if hash_of(write(part["entry"])) != part["hash"] or not mine:
                return signed, f"Entry {part['entry'].get('n')} doesn't match its hash, or belongs to another request."
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}, "This isn't a receipt."
    return signed, None


def fingerprint(public: bytes) -> str:
    """Write the SHA-256 of a public key, in hex, as people compare it."""
    key = serialization.load_pem_public_key(public)
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _own_key(text: str) -> bytes:
    """Return the public key in a receipt, or an invalid key if it has none."""
    try:
        return str(json.loads(text)["public_key"]).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        return b""


def signer(text: str, public: bytes) -> bytes:
    """Choose, of several public keys in PEM, the one that signed a receipt.

    The first, if none did.
    """
    parts = _parts(public)
    return next((part for part in parts if check(text, part)[0]), parts[0])


def _parts(content: bytes) -> list[bytes]:
    """Split a file into its keys; as a whole if it has none."""
    return [found[0] for found in _PEM.finditer(content)] or [content]


def _public_half(part: bytes, path: Path) -> str:
    """Return the public half of a private or a public key in PEM."""
    try:
        private = serialization.load_pem_private_key(part, None) if b"PRIVATE KEY" in part else None
        public = private.public_key() if private else serialization.load_pem_public_key(part)
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm) as wrong:
        raise WrongSettings([f"AUDIT_KEY: a later key in {path} can't be used ({wrong})."]) from None
    return pem.decode()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name appears twice")
    return fields


def _make(path: Path) -> None:
    """Write the key whole or not at all, and never over one of another process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".audit-key-") as made:  # 0600
        made.write(pem)
        made.flush()
        os.fsync(made.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(made.name, path)
