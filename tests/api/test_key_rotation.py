"""A program's key gets new secrets, and everything that belonged to it stays (R48)."""

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from countersign.domain import api_keys
from countersign.domain.api_keys import ApiKey
from countersign.domain.callback_signing import headers
from countersign.domain.errors import Conflict, InvalidInput
from countersign.domain.ids import ChannelId
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from countersign.usecases import program_keys
from localslack import LocalSlack
from tests.api.test_requests import REFUND, ask
from tests.sample_requests import NOW
from tests.slack.socket_bot import events

HOUR = timedelta(hours=1)


@pytest.fixture
async def key(store: Store, token: str) -> ApiKey:
    parts = api_keys.parts_of(token)
    found = await ApiKeys(store).get(parts[0]) if parts else None
    assert found is not None
    return found


def with_token(program: httpx.AsyncClient, token: str) -> None:
    program.headers["authorization"] = f"Bearer {token}"


async def test_rotated_key_keeps_requests_and_idempotency_keys(
    store: Store, program: httpx.AsyncClient, key: ApiKey
) -> None:
    """R48: the same question under the new secret is the same request."""
    first = (await ask(program, "deploy-2.1")).json()["id"]
    issued = await program_keys.rotate(store, key.id, timedelta(0), "op")
    with_token(program, issued.token)
    again = await ask(program, "deploy-2.1")
    assert (again.status_code, again.json()["id"]) == (200, first)
    assert [one["id"] for one in (await program.get("/v1/requests")).json()["requests"]] == [first]
    begun = await program.post(f"/v1/requests/{first}/withdraw", json={})
    assert begun.json()["status"] == "withdrawn"


async def test_old_secret_ends_immediately_or_after_the_overlap(
    store: Store, program: httpx.AsyncClient, key: ApiKey, token: str
) -> None:
    """R48"""
    await program_keys.rotate(store, key.id, HOUR, "op")
    assert (await ask(program)).status_code == 201
    issued = await program_keys.rotate(store, key.id, timedelta(0), "op")
    refused = await ask(program)
    assert (refused.status_code, "replaced by a new one" in refused.json()["detail"]) == (401, True)
    with_token(program, issued.token)
    assert (await ask(program)).status_code == 200
    now = await store.now()
    late = replace(issued.key, secrets=tuple(replace(secret, ends_at=now) for secret in issued.key.secrets))
    await ApiKeys(store).put(late)
    assert (await ask(program)).status_code == 401


async def test_revoked_key_is_restored_by_rotation(store: Store, program: httpx.AsyncClient, key: ApiKey) -> None:
    """R48: after a leak, the program continues with its earlier decisions."""
    name = (await ask(program)).json()["id"]
    await program_keys.revoke(store, key.id, "op")
    assert (await ask(program)).status_code == 401
    issued = await program_keys.rotate(store, key.id, timedelta(0), "op")
    with_token(program, issued.token)
    assert (await ask(program)).json()["id"] == name


async def test_revocation_is_revealed_only_to_the_right_secret(
    store: Store, url: str, key: ApiKey, token: str, program: httpx.AsyncClient
) -> None:
    """R9: a guess is answered alike, whether the key was revoked, is valid or does not exist."""

    async def told(text: str) -> str:
        with_token(program, text)
        answer = await ask(program)
        assert answer.status_code == 401
        return str(answer.json()["detail"])

    wrong = f"csk_{key.id}_{'x' * 43}"
    before = await told(wrong)
    assert before == await told(f"csk_{api_keys.id_of('nobody')}_{'x' * 43}") == await told("nothing")
    await program_keys.revoke(store, key.id, "op")
    assert await told(wrong) == before
    assert await told(token) != before and "was revoked" in await told(token)


async def test_key_operations_are_logged_once(store: Store) -> None:
    """R25: with who ran the command, and no secret."""
    now = await store.now()
    issued = api_keys.issue("nightly", ("C0GENERAL",), now)
    await program_keys.create(store, issued, "root")
    with pytest.raises(Conflict, match="keys rotate nightly"):
        await program_keys.create(store, api_keys.issue("nightly", ("C0GENERAL",), now), "root")
    await program_keys.rotate(store, issued.key.id, HOUR, "root")
    for _ in range(2):
        await program_keys.revoke(store, issued.key.id, "eve")
    await program_keys.rotate(store, issued.key.id, timedelta(0), "root")
    about = {"key": issued.key.id, "name": "nightly"}
    limits = {"most_open": "100", "per_minute": "60", "most_waiting": "1000"}
    recorded = await events(store)
    assert [(str(event.type), event.data) for event in recorded] == [
        ("key_created", {**about, "operator": "root", "channels": "C0GENERAL", **limits}),
        ("key_rotated", {**about, "operator": "root", "overlap": "3600"}),
        ("key_revoked", {**about, "operator": "eve"}),
        ("key_rotated", {**about, "operator": "root", "overlap": "0", "was": "revoked"}),
    ]


async def test_key_keeps_its_channel_when_names_change(slack: LocalSlack, program: httpx.AsyncClient) -> None:
    """R43: the key keeps its channel, and gets no channel that takes the earlier name."""
    general, other = slack.channel("#general"), slack.add_channel("other", ("alice",))
    slack.invite(slack.workspace.bot_user, "#other")
    general.name, other.name = "renamed", "general"
    refused = await ask(program, "one", **REFUND, channel="#general")
    assert (refused.status_code, refused.json()["detail"]) == (403, "This key can ask in #renamed, not in #general.")
    asked = await ask(program, "two", **REFUND)
    assert (asked.status_code, asked.json()["channel"]) == (201, ChannelId("C0GENERAL"))


def test_overlapping_secrets_both_sign_callbacks() -> None:
    """R48: a receiver that still checks with the old secret is not cut off."""
    first = api_keys.issue("ci", ("C0GENERAL",), NOW).key
    second = api_keys.rotate(first, NOW, HOUR).key
    made = headers(second.callback_secrets(NOW), "msg_1", NOW, b"{}")
    signed = f"msg_1.{int(NOW.timestamp())}.{{}}".encode()
    by = []
    for secret in reversed(second.secrets):
        raw = base64.b64decode(secret.callback_secret.removeprefix("whsec_"))
        by.append("v1," + base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode())
    assert made["webhook-signature"] == " ".join(by)
    assert second.callback_secrets(NOW + HOUR) == [second.secrets[-1].callback_secret]
    assert api_keys.revoke(second, NOW).callback_secrets(NOW) == []


def test_rotation_never_prolongs_an_earlier_secret() -> None:
    first = api_keys.issue("ci", ("C0GENERAL",), NOW).key
    twice = api_keys.rotate(api_keys.rotate(first, NOW, HOUR).key, NOW, 5 * HOUR).key
    assert [secret.ends_at for secret in twice.secrets] == [NOW + HOUR, NOW + 5 * HOUR, None]
    for wrong in (timedelta(days=91), -HOUR):
        with pytest.raises(InvalidInput):
            api_keys.rotate(first, NOW, wrong)
