"""`countersign passkeys`: what the operator does on the server."""

import asyncio

import pytest

from bot import passkeys_cli
from countersign.store.store import Store
from countersign.usecases import passkeys
from tests.bot.test_passkeys import enrol
from tests.sample_requests import BOB, HERE


@pytest.mark.usefixtures("store")
async def test_operator_makes_codes_and_revokes_passkeys(
    store: Store, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("NAMESPACE", namespace)
    monkeypatch.setenv("COLUMNS", "200")

    async def said(*words: str) -> str:
        assert await asyncio.to_thread(passkeys_cli.main, [*words]) == 0
        return capsys.readouterr().out

    await store.set_workspace(HERE)
    key = await enrol(store, BOB, codes=[(await said("code", BOB)).strip()])
    assert key.credential in await said("list")
    assert "Revoked the passkey" in await said("revoke", BOB, key.credential[:8])
    mine = (await passkeys.of(store, HERE, BOB)).value
    assert (mine.valid, mine.keys[0].vouched_by[0].split(" ")[0]) == ((), "operator")
    assert await asyncio.to_thread(passkeys_cli.main, ["revoke", BOB, "nonsense"]) == 2
    assert "has no passkeys whose id begins so" in capsys.readouterr().err
