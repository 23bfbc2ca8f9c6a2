"""OpenID Connect providers: the file that names them, and a sign-in with one.

A sign-in goes out with state, nonce and PKCE, which the browser keeps in a cookie. What comes back counts only if all
of them fit, and the ID token is signed with a key of the provider, for us, now. Authlib checks the claims; what it
leaves to its callers (the audience, the time of the login after `max_age=0`, `acr`) is checked here.
"""

import asyncio
import json
import secrets
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
import yaml
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import ClaimError, ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, field_validator

from countersign.domain.errors import InvalidInput, WrongSettings
from countersign.usecases.proofs import CLOCKS_DIFFER

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA", "RS384", "RS512", "PS384", "PS512", "ES384", "ES512")
"""Signatures with a public key alone: `none`, and secrets that we share, prove nothing about who signed."""
LEEWAY: Final = 60
"""Seconds by which the provider's clock may differ from ours."""
FRESH_LOGIN: Final = 300
"""Seconds within which somebody must have authenticated to prove who they are."""
_KEPT: Final = 600.0
"""Seconds for which a provider's description and keys are cached, and so the longest life of a withdrawn key."""
_KEYS_AGAIN: Final = 10.0
"""Seconds between two look-ups because of an unknown key."""
_WITHIN: Final = 10.0
_LARGEST: Final = 1_000_000
"""Bytes of a provider's description or keys."""
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_TRY_AGAIN: Final = "Nothing was changed; please sign in again."


class SignInProblem(InvalidInput):
    """A sign-in that did not count; the sentence says why, and nobody is signed in."""


class Provider(BaseModel):
    """One provider, as the file names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=40)
    issuer: str
    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    client_secret_file: Path | None = None
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    groups_claim: str = "groups"
    acr_values: tuple[str, ...] = ()
    verified_email: bool = False

    @field_validator("issuer")
    @classmethod
    def _safe(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.query or parts.fragment or not _is_safe(value):
            raise ValueError("must be an https:// address without a query; only localhost needs no certificate")
        return value

    @property
    def secret(self) -> str | None:
        """Read the client's secret; None if it has none."""
        if self.client_secret_file is not None:
            return self.client_secret_file.read_text().strip()
        return None if self.client_secret is None else self.client_secret.get_secret_value()


def read_providers(file: Path) -> tuple[Provider, ...]:
    """Read the file of providers. WrongSettings says what is wrong with it."""
    try:
        written = yaml.safe_load(file.read_text())
        providers = TypeAdapter(tuple[Provider, ...]).validate_python(written)
        for one in providers:
            one.secret  # noqa: B018  (its file can be read)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as wrong:
        raise WrongSettings([f"OIDC_PROVIDERS: {file.name} can't be read ({wrong})."]) from None
    except ValidationError as wrong:
        problems = [f"OIDC_PROVIDERS: {'.'.join(map(str, one['loc']))}: {one['msg']}." for one in wrong.errors()]
        raise WrongSettings(problems) from None
    if not providers or len({one.issuer for one in providers}) < len(providers):
        raise WrongSettings(["OIDC_PROVIDERS: name at least one provider, and each issuer once."])
    return providers


class PendingSignIn(BaseModel):
    """A sign-in that went out, as the browser keeps it in a cookie."""

    model_config = ConfigDict(frozen=True)

    provider: int
    state: str
    nonce: str
    verifier: str
    then: str
    proves: bool = False
    """Whether it proves a decision, so that the person must authenticate now."""


class OidcIdentity(BaseModel):
    """Identity of a person as named by a provider."""

    model_config = ConfigDict(frozen=True)

    issuer: str
    subject: str
    name: str = ""
    email: str = ""
    """"" unless the provider verified it."""
    groups: tuple[str, ...] = ()
    authenticated_at: datetime | None = None
    acr: str = ""
    amr: tuple[str, ...] = ()

    @classmethod
    def of(cls, claims: Mapping[str, Any], groups_claim: str) -> Self:
        """Read the claims of an ID token that was checked."""
        groups, auth_time, amr = claims.get(groups_claim), claims.get("auth_time"), claims.get("amr")
        email = claims.get("email") if claims.get("email_verified") is True else ""
        return cls(
            issuer=claims["iss"],
            subject=claims["sub"],
            name=str(claims.get("name") or claims.get("preferred_username") or "")[:80],
            email=email if isinstance(email, str) else "",
            groups=tuple(g for g in groups if isinstance(g, str)) if isinstance(groups, list) else (),
            authenticated_at=datetime.fromtimestamp(auth_time, UTC) if isinstance(auth_time, int | float) else None,
            acr=claims["acr"] if isinstance(claims.get("acr"), str) else "",
            amr=tuple(m for m in amr if isinstance(m, str)) if isinstance(amr, list) else (),
        )


class SignIn:
    """Sign-ins with one provider."""

    def __init__(self, provider: Provider, number: int, redirect_uri: str) -> None:
        self.provider = provider
        self._number = number
        self._redirect_uri = redirect_uri
        self._described: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._turn = asyncio.Lock()

    async def begin(self, then: str, *, proves: str = "") -> tuple[str, PendingSignIn]:
        """Return the address at which a new sign-in begins, and what the browser keeps.

        `then` is the page that follows. `proves`: the nonce of a decision, for which the person must authenticate now,
        whatever session they have.
        """
        described = await self._description()
        pending = PendingSignIn(
            provider=self._number,
            state=secrets.token_urlsafe(32),
            nonce=proves or secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            then=then,
            proves=bool(proves),
        )
        more: dict[str, str] = {"prompt": "login", "max_age": "0"} if proves else {}
        if proves and self.provider.acr_values:
            more["acr_values"] = " ".join(self.provider.acr_values)
        url: str = prepare_grant_uri(
            described["authorization_endpoint"],
            self.provider.client_id,
            "code",
            redirect_uri=self._redirect_uri,
            scope=" ".join(self.provider.scopes),
            state=pending.state,
            nonce=pending.nonce,
            code_challenge=create_s256_code_challenge(pending.verifier),
            code_challenge_method="S256",
            **more,
        )
        return url, pending

    async def finish(self, pending: PendingSignIn, query: Mapping[str, str], now: datetime) -> OidcIdentity:
        """Return who signed in, by what the provider sent the browser back with.

        SignInProblem if any of it does not fit; nothing is tried twice with one code.
        """
        if not secrets.compare_digest(query.get("state", "").encode(), pending.state.encode()):
            raise SignInProblem(f"This sign-in was started in another window or by somebody else. {_TRY_AGAIN}")
        described = await self._description()
        issuer, named = self.provider.issuer, query.get("iss")
        if (named or described.get("authorization_response_iss_parameter_supported")) and named != issuer:
            raise SignInProblem(f"Another provider than {self.provider.name} answered. {_TRY_AGAIN}")
        if query.get("error"):
            raise SignInProblem(f"{self.provider.name} didn't sign you in ({_code(query['error'])}). {_TRY_AGAIN}")
        token = await self._token(described["token_endpoint"], pending, query.get("code", ""))
        claims = await self._claims(token, pending, now)
        identity = OidcIdentity.of(claims, self.provider.groups_claim)
        if pending.proves:
            self._check_login(identity, now)
        return identity

    def _check_login(self, identity: OidcIdentity, now: datetime) -> None:
        """Check that the person authenticated just now, and as strongly as is asked for.

        Authlib takes `max_age=0` for none given, and a provider may answer from a live session (gitlab #438758).
        """
        at, wanted = identity.authenticated_at, self.provider.acr_values
        ahead = CLOCKS_DIFFER.total_seconds()  # or an older login would look newer than the question
        if at is None or not -ahead <= (now - at).total_seconds() <= FRESH_LOGIN:
            why = f"{self.provider.name} didn't confirm that you signed in just now"
            raise SignInProblem(f"{why}, so this doesn't prove who you are. Nothing was decided; please sign in again.")
        if wanted and identity.acr not in wanted:
            why = f"{self.provider.name} signed you in with less than this needs"
            raise SignInProblem(f"{why} ({' or '.join(wanted)}). Nothing was decided; please sign in again.")

    async def _token(self, endpoint: str, pending: PendingSignIn, code: str) -> Mapping[str, Any]:
        if not code:
            raise SignInProblem(f"{self.provider.name} sent no code. {_TRY_AGAIN}")
        provider, secret = self.provider, self.provider.secret
        more = {"code": code, "code_verifier": pending.verifier} | ({} if secret else {"client_id": provider.client_id})
        body = prepare_token_request("authorization_code", redirect_uri=self._redirect_uri, **more)
        auth = httpx.BasicAuth(provider.client_id, secret) if secret else None
        token = await self._json("POST", endpoint, content=body, headers=_FORM, auth=auth, refusals=True)
        if "error" in token:
            said = _code(str(token["error"]))
            raise SignInProblem(f"{provider.name} refused the sign-in ({said}). {_TRY_AGAIN}")
        return token

    async def _claims(self, token: Mapping[str, Any], pending: PendingSignIn, now: datetime) -> CodeIDToken:
        """Return the claims of the ID token, once its signature and each of them was checked."""
        raw, provider = token.get("id_token"), self.provider
        if not isinstance(raw, str) or len(raw) > _LARGEST:
            raise SignInProblem(f"{provider.name} sent no ID token. {_TRY_AGAIN}")
        options: Any = {
            "iss": {"essential": True, "value": provider.issuer},
            "aud": {"essential": True, "value": provider.client_id},
            "sub": {"essential": True},
        }
        params = {"nonce": pending.nonce, "client_id": provider.client_id, "access_token": token.get("access_token")}
        try:
            signed = await self._verified(raw)
            claims = CodeIDToken(signed.claims, signed.header, options, params)
            claims.validate(now=int(now.timestamp()), leeway=LEEWAY)
        except ExpiredTokenError:
            raise SignInProblem(f"{provider.name}'s answer has expired. Is a clock wrong? {_TRY_AGAIN}") from None
        except ClaimError as wrong:
            if wrong.claim in ("exp", "iat", "nbf"):
                late = f"{provider.name}'s answer is not of this moment"
                raise SignInProblem(f"{late}. Is a clock wrong? {_TRY_AGAIN}") from None
            claim = _code(str(wrong.claim))
            raise SignInProblem(f"{provider.name}'s answer isn't for this sign-in ({claim}). {_TRY_AGAIN}") from None
        except (JoseError, ValueError, TypeError) as wrong:
            kind = type(wrong).__name__
            raise SignInProblem(f"{provider.name}'s answer isn't signed as it must be ({kind}). {_TRY_AGAIN}") from None
        if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
            raise SignInProblem(f"{provider.name} didn't say who you are. {_TRY_AGAIN}")
        return claims

    async def _verified(self, raw: str) -> jwt.Token:
        """Verify the signature; keys are looked up again if the provider has a new one."""
        described = await self._description()
        named = described.get("id_token_signing_alg_values_supported")
        allowed = [a for a in ALGORITHMS if a in named] if isinstance(named, list) else ["RS256"]
        registry = JWSRegistry(algorithms=allowed, strict_check_header=False)
        try:
            return jwt.decode(raw, key=await self._key_set(), registry=registry)
        except InvalidKeyIdError:
            return jwt.decode(raw, key=await self._key_set(again=True), registry=registry)

    async def _key_set(self, *, again: bool = False) -> KeySet:
        described = await self._description()
        async with self._turn:
            age = time.monotonic() - self._keys[0] if self._keys else None
            if self._keys is not None and age is not None and age < (_KEYS_AGAIN if again else _KEPT):
                return self._keys[1]
            keys = KeySet.import_key_set(await self._json("GET", described["jwks_uri"]))  # type: ignore[arg-type]
            self._keys = (time.monotonic(), keys)
            return keys

    async def _description(self) -> dict[str, Any]:
        """Return what the provider says about itself, as OpenID Connect Discovery has it."""
        if self._described is not None and time.monotonic() - self._described[0] < _KEPT:
            return self._described[1]
        issuer = self.provider.issuer
        described = await self._json("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        endpoints = [described.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if described.get("issuer") != issuer or not all(isinstance(e, str) and _is_safe(e) for e in endpoints):
            raise SignInProblem(
                f"What answers at the address of {self.provider.name} describes another provider. {_TRY_AGAIN}"
            )
        self._described = (time.monotonic(), described)
        return described

    async def _json(self, method: str, url: str, *, refusals: bool = False, **call: Any) -> dict[str, Any]:
        """Call the provider and read its JSON; with `refusals` also that of an answer that refuses."""
        try:
            async with (
                httpx.AsyncClient(timeout=_WITHIN, follow_redirects=False, verify=_certificates()) as client,
                client.stream(method, url, **call) as answer,
            ):
                if not (refusals and 400 <= answer.status_code < 500):
                    answer.raise_for_status()
                body = bytearray()
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > _LARGEST:
                        raise self._away()
                found = json.loads(body)
        except (httpx.HTTPError, ValueError, RecursionError):
            raise self._away() from None
        if not isinstance(found, dict):
            raise self._away()
        return found

    def _away(self) -> SignInProblem:
        return SignInProblem(
            f"{self.provider.name} doesn't answer just now. Nothing was changed; try again in a moment."
        )


@cache
def _certificates() -> ssl.SSLContext:
    """Load the trusted TLS certificates once: 20 ms, and a sign-in makes three calls."""
    return httpx.create_ssl_context()


def _is_safe(url: str) -> bool:
    """Tell whether traffic to this address is safe from eavesdroppers."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))


def _code(text: str) -> str:
    """Return a code of OAuth as it may be shown: a few plain letters."""
    return "".join(c for c in text[:60] if c.isascii() and (c.isalnum() or c in "_-")) or "no reason"
