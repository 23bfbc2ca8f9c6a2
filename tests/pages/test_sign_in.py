"""Sign-in with OpenID Connect: what counts, and each answer of a provider that does not."""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
import yaml
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.requests import Request
from starlette.responses import Response

from bot.pages.people_file import PeopleFile, plain_email
from bot.pages.providers import OidcIdentity, Provider, SignIn, SignInProblem, read_providers
from bot.pages.sessions import SignedIn
from countersign.domain.errors import WrongSettings
from countersign.store.sign_ins import SignIns
from countersign.store.store import Store
from demo.login import CLIENT, Login
from tests.pages.reviewer import PUBLIC, Reviewer, text_of
from tests.sample_requests import BOB, HERE

Claims = dict[str, Any]


async def test_person_signs_in_and_returns(visitors: dict[str, Reviewer]) -> None:
    bob = visitors["bob"]
    away = await bob.get("/requests/q1")
    assert (away.status_code, away.headers["location"]) == (303, "/sign-in?then=/requests/q1")
    back = await bob.sign_in("/requests/q1")
    assert (back.status_code, back.headers["location"]) == (303, "/requests/q1")
    assert "Waiting for you" in text_of(await bob.get("/"))


async def test_sign_in_gives_a_new_session_id(visitors: dict[str, Reviewer]) -> None:
    """A cookie that somebody planted, or that another person used before, is worth nothing after it (fixation)."""
    bob, alice = visitors["bob"], visitors["alice"]
    bob.client.cookies.set("countersign", "planted", domain="localhost.local", path="/")
    await bob.sign_in()
    first = dict(bob.client.cookies)["countersign"]
    await bob.sign_in()
    second = dict(bob.client.cookies)["countersign"]
    assert len({"planted", first, second}) == 3
    for old in ("planted", first):
        answer = await alice.client.get("/", headers={"Cookie": f"countersign={old}"})
        assert answer.status_code == 303


async def test_sign_out_ends_the_session(bob: Reviewer) -> None:
    cookie = dict(bob.client.cookies)["countersign"]
    page = (await bob.get("/")).text
    token = page.split('name="token" value="')[1].split('"')[0]
    assert (await bob.client.post("/sign-out", data={"token": "x"})).headers["location"] == "/"
    assert (await bob.get("/")).status_code == 200
    assert (await bob.client.post("/sign-out", data={"token": token})).headers["location"] == "/sign-in?signed-out"
    assert (await bob.client.get("/", headers={"Cookie": f"countersign={cookie}"})).status_code == 303


async def test_cookies_are_hidden_from_scripts_and_other_sites(store: Store, people_file: Path) -> None:
    signed_in, answer = SignedIn(SignIns(store), PeopleFile(people_file, ()), secure=True), Response()
    await signed_in.begin(
        Request({"type": "http", "headers": []}), answer, HERE, BOB, OidcIdentity(issuer="i", subject="s")
    )
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert name.startswith("__Host-countersign=")
    assert {*attributes} == {"HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=43200"}


def changed(**claims: Any) -> Callable[[Claims], Claims]:
    return lambda before: {name: value for name, value in {**before, **claims}.items() if value is not None}


FOREIGN: dict[str, tuple[Callable[[Claims], Claims], str]] = {
    "nonce": (changed(nonce="another"), "isn't for this sign-in (nonce)"),
    "no nonce": (changed(nonce=None), "isn't for this sign-in (nonce)"),
    "issuer": (changed(iss="https://evil.example"), "isn't for this sign-in (iss)"),
    "audience": (changed(aud="another-app"), "isn't for this sign-in (aud)"),
    "among audiences": (changed(aud=[CLIENT, "another-app"], azp="another-app"), "isn't for this sign-in (azp)"),
    "expired": (changed(exp=int(time.time()) - 3600), "has expired"),
    "clock ahead": (changed(iat=int(time.time()) + 3600), "Is a clock wrong?"),
    "not before": (changed(nbf=int(time.time()) + 3600), "Is a clock wrong?"),
    "no subject": (changed(sub=None), "isn't for this sign-in (sub)"),
    "odd subject": (changed(sub=["demo-bob"]), "isn't for this sign-in (sub)"),
    "never expires": (changed(exp=None), "Is a clock wrong?"),
}


async def test_foreign_id_token_is_refused(
    visitors: dict[str, Reviewer], login: Login, subtests: pytest.Subtests
) -> None:
    real = login.claims
    for name, (change, said) in FOREIGN.items():
        with subtests.test(name):
            login.claims = lambda *given, change=change: change(real(*given))  # type: ignore[method-assign]
            back = await visitors["bob"].sign_in()
            assert back.status_code == 403
            assert said in text_of(back), text_of(back)
            assert (await visitors["bob"].get("/")).status_code == 303


def unsigned(claims: Claims) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def shared_secret(claims: Claims) -> str:
    key = OctKey.import_key("not-a-secret-at-all-but-long-enough")
    return jwt.encode({"alg": "HS256"}, claims, key, ["HS256"])


def of_another_key(claims: Claims) -> str:
    key = Login.new_key()
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key, ["ES256"])


async def test_token_without_the_providers_signature_is_refused(
    visitors: dict[str, Reviewer], login: Login, subtests: pytest.Subtests
) -> None:
    """`alg: none`, a secret that we share, a key that the provider does not publish."""
    for sign in (unsigned, shared_secret, of_another_key, lambda _: "a.b.c", lambda _: ""):
        with subtests.test(str(sign)):
            login.id_token = sign  # type: ignore[method-assign]
            assert (await visitors["bob"].sign_in()).status_code == 403
            assert (await visitors["bob"].get("/")).status_code == 303


async def test_rotated_provider_key_is_looked_up(
    visitors: dict[str, Reviewer], login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await visitors["bob"].sign_in()).status_code == 303
    login.keys.insert(0, login.new_key())
    monkeypatch.setattr("bot.pages.providers._KEYS_AGAIN", 0.0)
    assert (await visitors["alice"].sign_in()).status_code == 303
    withdrawn = login.keys.pop(0)
    login.id_token = lambda claims: jwt.encode(  # type: ignore[method-assign]
        {"alg": "ES256", "kid": withdrawn.kid}, claims, withdrawn, ["ES256"]
    )
    monkeypatch.setattr("bot.pages.providers._KEPT", 0.0)
    assert (await visitors["carol"].sign_in()).status_code == 403


async def test_wrong_sign_in_state_is_refused(visitors: dict[str, Reviewer]) -> None:
    """The answer to another person's sign-in signs nobody in here."""
    bob, dave = visitors["bob"], visitors["dave"]
    await bob.authorize()
    back = await bob.get(await dave.authorize())
    assert back.status_code == 403
    assert "started in another window or by somebody else" in text_of(back)
    nobody = await visitors["carol"].get(await dave.authorize())
    assert "started no sign-in" in text_of(nobody)


async def test_authorization_code_is_valid_once(visitors: dict[str, Reviewer]) -> None:
    bob = visitors["bob"]
    back = await bob.authorize()
    assert (await bob.get(back)).status_code == 303
    assert "started no sign-in" in text_of(await bob.get(back))


async def test_response_of_another_provider_is_refused(visitors: dict[str, Reviewer]) -> None:
    """The mix-up of RFC 9207."""
    bob = visitors["bob"]
    back = urlsplit(await bob.authorize())
    query = {**dict(parse_qsl(back.query)), "iss": "https://evil.example"}
    answer = await bob.get(urlunsplit(back._replace(query=urlencode(query))))
    assert "Another provider" in text_of(answer)


async def test_provider_error_is_reported(visitors: dict[str, Reviewer], login: Login) -> None:
    bob = visitors["bob"]
    state = dict(parse_qsl(urlsplit(await bob.authorize()).query))["state"]
    query = urlencode({"state": state, "iss": login.issuer, "error": "access_denied<script>"})
    answer = await bob.get(f"/sign-in/callback?{query}")
    assert "didn't sign you in (access_deniedscript)" in text_of(answer)


async def test_unreachable_provider_is_reported(visitors: dict[str, Reviewer], login: Login) -> None:
    await login.stop()
    answer = await visitors["bob"].get("/sign-in/0")
    assert answer.status_code == 502
    assert "Demo doesn't answer just now." in text_of(answer)


@pytest.mark.parametrize(
    "then",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "/requests/q1/../../x", "/%2F%2Fevil.example"],
)
async def test_sign_in_redirects_only_within_the_site(visitors: dict[str, Reviewer], then: str) -> None:
    """No open redirect, neither by the link nor by the cookie."""
    bob = visitors["bob"]
    asked = await bob.client.get("/sign-in/0", params={"then": then})
    back = bob.login.answer_to("bob", dict(parse_qsl(urlsplit(asked.headers["location"]).query)))
    assert (await bob.get(back)).headers["location"] == "/"
    away = await bob.client.get("/sign-in", params={"then": then})
    assert away.headers["location"] == "/sign-in/0?then=/"


def take_out(file: Path, user: str) -> None:
    entries = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump([one for one in entries if one["user"] != user]))


async def test_unknown_person_is_told_what_to_send(
    visitors: dict[str, Reviewer], people_file: Path, login: Login
) -> None:
    take_out(people_file, "U0BOB")
    back = await visitors["bob"].sign_in()
    assert back.status_code == 403
    assert f"issuer: {login.issuer}" in text_of(back) and 'subject: "demo-bob"' in text_of(back)
    assert (await visitors["bob"].get("/")).status_code == 303


def by_email(file: Path, login: Login, address: str) -> None:
    file.write_text(yaml.safe_dump([{"issuer": login.issuer, "email": address, "user": "U0BOB"}]))


@pytest.mark.parametrize(
    ("switched_on", "verified", "address", "known"),
    [
        (True, True, "Bob@Example.com", True),
        (False, True, "bob@example.com", False),
        (True, False, "bob@example.com", False),
        (True, None, "bob@example.com", False),
        (True, "true", "bob@example.com", False),
        (True, True, "bob@example.com.evil.example", False),
        (True, True, "bоb@example.com", False),  # a Cyrillic о
        (
            True,
            True,
            "bob@exampleK.com".replace("K", "\u212a"),
            False,
        ),  # the Kelvin sign, which is a k in small letters
    ],
)
async def test_email_counts_if_verified_and_enabled(
    login: Login, tmp_path: Path, switched_on: bool, verified: Any, address: str, known: bool
) -> None:
    """Addresses that differ in case are one, and addresses that differ in Unicode count for nobody."""
    provider = Provider(name="Demo", issuer=login.issuer, client_id=CLIENT, verified_email=switched_on)
    file = tmp_path / "people.yaml"
    by_email(file, login, "bob@example.com" if "\u212a" not in address else "bob@examplek.com")
    real = login.claims
    login.claims = lambda *given: {**real(*given), "email": address, "email_verified": verified}  # type: ignore[method-assign]
    sign_in = SignIn(provider, 0, login.redirect_uri)
    url, pending = await sign_in.begin("/")
    back = login.answer_to("bob", dict(parse_qsl(urlsplit(url).query)))
    identity = await sign_in.finish(pending, dict(parse_qsl(urlsplit(back).query)), datetime.now(UTC))
    assert (PeopleFile(file, (provider,)).person(identity) is not None) is known


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"issuer": "x", "email": "bоb@example.com", "user": "U0BOB"}], "plain ASCII"),
        ([{"issuer": "x", "user": "U0BOB"}], "either the `subject` or the `email`"),
        ([{"issuer": "x", "subject": "1", "user": "bob"}], "user"),
        ([{"issuer": "x", "subject": 1, "user": "U0BOB"}], "subject"),
        ([{"issuer": "x", "subject": "1", "user": "U0BOB", "admin": True}], "admin"),
        ([{"issuer": "x", "email": e, "user": "U0BOB"} for e in ("b@e.com", "B@E.com")], "twice"),
        ("just a text", "list"),
    ],
)
def test_invalid_people_file_ends_the_start(tmp_path: Path, entries: Any, said: str) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(yaml.safe_dump(entries))
    with pytest.raises(WrongSettings, match=said):
        PeopleFile(file, ())


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "at least one"),
        ([{"name": "A", "issuer": "http://login.example", "client_id": "c"}], "https"),
        ([{"name": "A", "issuer": "https://a.example?x=1", "client_id": "c"}], "query"),
        ([{"name": "A", "issuer": "https://a.example", "client_id": "c", "secret": "s"}], "secret"),
        ([{"name": "A", "issuer": "https://a.example", "client_id": "c", "client_secret_file": "/no/file"}], "read"),
        ([{"name": n, "issuer": "https://a.example", "client_id": "c"} for n in "AB"], "each issuer once"),
    ],
)
def test_invalid_provider_file_ends_the_start(tmp_path: Path, entries: Any, said: str) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text(yaml.safe_dump(entries))
    with pytest.raises(WrongSettings, match=said):
        read_providers(file)


def spoil(file: Path) -> None:
    file.write_text("- broken: yes")


@pytest.mark.parametrize("change", [lambda file: take_out(file, "U0BOB"), spoil])
async def test_person_removed_from_the_file_is_signed_out(
    bob: Reviewer, people_file: Path, change: Callable[[Path], None]
) -> None:
    """A broken file lets nobody in either: somebody may have been taken out of it."""
    assert (await bob.get("/")).status_code == 200
    change(people_file)
    assert (await bob.get("/")).status_code == 303


async def proving(login: Login, provider: Provider) -> Any:
    """Log in to prove a decision; return the identity."""
    sign_in = SignIn(provider, 0, login.redirect_uri)
    url, pending = await sign_in.begin("/confirm/x", proves="the-challenge")
    query = dict(parse_qsl(urlsplit(url).query))
    assert (query["prompt"], query["max_age"], query["nonce"]) == ("login", "0", "the-challenge")
    back = dict(parse_qsl(urlsplit(login.answer_to("bob", query)).query))
    return await sign_in.finish(pending, back, datetime.now(UTC))


async def test_fresh_login_proves_the_decider(login: Login, provider: Provider) -> None:
    identity = await proving(login, provider)
    assert (identity.subject, identity.acr, identity.amr) == ("demo-bob", "demo", ("pick",))


@pytest.mark.parametrize("age", [3600, None, -3600, -50])
async def test_old_login_proves_nothing(login: Login, provider: Provider, age: int | None) -> None:
    """A provider that answers from a live session, whatever it was asked for (gitlab #438758)."""
    real = login.claims
    at = None if age is None else int(time.time()) - age
    login.claims = lambda *given: changed(auth_time=at)(real(*given))  # type: ignore[method-assign]
    with pytest.raises(SignInProblem, match="didn't confirm that you signed in just now"):
        await proving(login, provider)


async def test_login_weaker_than_required_proves_nothing(login: Login, provider: Provider) -> None:
    strong = provider.model_copy(update={"acr_values": ("phr",)})
    with pytest.raises(SignInProblem, match="with less than this needs"):
        await proving(login, strong)


async def test_discovery_document_of_another_issuer_is_refused(login: Login) -> None:
    issuer = f"http://127.0.0.1:{login.port}"
    provider = Provider(name="Demo", issuer=issuer, client_id=CLIENT)
    with pytest.raises(SignInProblem):
        await SignIn(provider, 0, f"{PUBLIC}/x").begin("/")


def test_email_is_compared_in_lower_case() -> None:
    assert plain_email("A@B.com") == "a@b.com"
    assert plain_email("a b@c.com") is None
