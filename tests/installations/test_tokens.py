"""Tokens at rest, keys that change or are lost, and renewals that Slack refuses."""

import logging
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import aiohttp
import pytest
import redis
from cryptography.fernet import Fernet

from bot.installations import renewal
from bot.installations.records import Installation, Stored
from bot.slack import answer_check
from bot.slack.app import slack_clients
from bot.slack.ports import CannotPost
from bot.slack.slack_calls import GatedCalls
from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import WorkspaceId
from countersign.domain.requests import Status
from countersign.runs.area import Area
from countersign.store import acl
from countersign.store.redis.connection import connect
from countersign.usecases.ports import Change, Put
from localslack import LocalSlack
from localslack.workspace import Message
from tests.installations.office import KEY, Office, asked, card_of, fact

ONE, TWO = WorkspaceId("T0LOCAL"), WorkspaceId("T0SECOND")


async def test_tokens_are_encrypted_in_redis(office: Office) -> None:
    async with office.web(), office.store(office.first) as store:
        await office.install(office.first)
        await office.served(office.first)
        found = 0
        for key in await store.client.keys(f"*{office.namespace}*"):
            raw = await store.client.dump(key) or b""  # a lease may run out after its key was listed
            assert b"xox" not in raw, key
            if key.endswith(b":installations"):
                found += 1
                assert b"xox" not in b"".join((await store.client.hgetall(key)).values())
        assert found == 1


async def test_encryption_key_can_change_and_its_loss_is_contained(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest key seals, older ones open; what no key opens is said once, and the others are served."""
    newer = Fernet.generate_key().decode()
    async with office.web():
        await office.install(office.first)
        await office.served(office.first)
    async with office.records(newer) as lost:
        assert await lost.all() == {}
        assert "no key of ENCRYPTION_KEYS opens it" in caplog.text
    async with office.web(encryption_keys=f"{newer},{KEY}"):
        await office.served(office.first)
    async with office.records(newer) as records:
        assert set(await records.all()) == {ONE}
        foreign = Installation(TWO, "Second", "xoxb-not-sealed-by-us")
        await records.stored.put(TWO, Fernet(Fernet.generate_key()).encrypt(b"{}"))
        assert set(await records.all()) == {ONE}
        await records.stored.put(TWO, records.vault.seal(replace(foreign, workspace=ONE)))
        assert set(await records.all()) == {ONE}, "a record of one workspace in another's place"
    async with office.web(encryption_keys=newer):
        await office.served(office.first)


async def test_one_process_renews_and_keeps_newer_installations(office: Office) -> None:
    """R48: a token that was installed meanwhile is not overwritten."""
    async with office.web():
        await office.install(office.first, invite=False)
    async with office.records() as records:
        stored = (await records.all())[ONE]
        await records.stored.end_turn(ONE)  # a web that ends in its turn leaves it to its time
        assert await records.stored.take_turn(ONE, renewal.TURN)
        assert not await records.stored.take_turn(ONE, renewal.TURN)
        await records.install(replace(stored.installation, token="xoxb-new"))
        assert await records.change(stored, replace(stored.installation, token="xoxb-late")) is None
        assert (await current(records.of(ONE))).installation.token == "xoxb-new"


async def current(look: object) -> Stored:
    found = await look  # type: ignore[misc]
    assert found is not None
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("code", ["invalid_refresh_token", "token_revoked", "internal_error"])
async def test_refused_renewal_is_retried_and_erases_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """R40, R46: until Slack renews it, the token works to its end; then the workspace waits."""
    monkeypatch.setattr(renewal, "BEFORE", timedelta(days=1))
    fault = office.first.faults.add("error", on="oauth.v2.access", error=code, times=None, skip=1)
    async with office.web(), office.records() as records:
        await office.install(office.first)
        await fact(
            lambda: reads(office.ops_ports[0], "/readyz", f"does not renew the token of workspace T0LOCAL ({code})")
        )
        await fact(lambda: reads(office.ops_ports[0], "/metrics", f'why="{code}",workspace="T0LOCAL renewal"}} 1.0'))
        await office.served(office.first)
        stored = await current(records.of(ONE))
        assert stored.installation.token and stored.installation.refresh_token
        now = await records.stored.now()
        assert await records.change(stored, replace(stored.installation, ends_at=now)) is not None

        async def gone() -> bool:
            reply = await office.first.user("alice").command("/agent status", channel="#general")
            return "The app is not ready in this workspace" in reply.text

        await fact(gone)
        fault.times = 0
        office.first.faults.clear()
        monkeypatch.setattr(renewal, "BEFORE", timedelta(hours=2))
        monkeypatch.setattr(renewal, "LONGEST_PAUSE", 0.0)
    async with office.web():  # its pauses begin again
        await office.served(office.first)
        assert not await reads(office.ops_ports[0], "/readyz", "does not renew")


async def reads(port: int, path: str, text: str) -> bool:
    """Whether a page of `web` says this."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as page:
        return text in await page.text()


@pytest.mark.parametrize("cause", ["address", "migration"])
async def test_temporary_refusal_erases_no_installation(
    office: Office, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    """R40, R46: Slack refuses a disallowed address with `invalid_auth`, which erased every installation."""
    monkeypatch.setattr(answer_check, "CHECK_EVERY", 0.05)
    monkeypatch.setattr("bot.slack.projector.projector.GRACE", 1)
    code = {"address": "invalid_auth", "migration": "org_login_required"}[cause]
    one, two = office.first, office.second
    async with office.web(), office.records() as records, office.store(one) as store:
        for slack in (one, two):
            await office.install(slack)
            await office.served(slack)
        before = {name: stored.installation for name, stored in (await records.all()).items()}
        if cause == "address":
            one.platform.allowed_addresses = ("203.0.113.7",)
        else:
            one.platform.migrating = True
        request = await asked(store, one, "rwaits", "drawn when Slack accepts the token")
        await fact(
            lambda: reads(office.ops_ports[0], "/readyz", f"Slack refuses the token of workspace T0LOCAL ({code})")
        )
        await fact(lambda: reads(office.ops_ports[0], "/metrics", f'why="{code}",workspace="T0LOCAL"}} 1.0'))
        assert await answers(office.ops_ports[0], 200), "it still answers people"
        asking = len(one.calls)
        await one.wait_for(lambda _: len(one.calls) > asking + 3)  # they look whether it is gone for good
        assert {name: stored.installation for name, stored in (await records.all()).items()} == before

    async with office.web(), office.records() as records, office.store(one) as store:  # started while refused
        await fact(lambda: reads(office.ops_ports[0], "/readyz", f"Slack refuses its token ({code})"))
        assert {name: stored.installation for name, stored in (await records.all()).items()} == before
        one.platform.allowed_addresses, one.platform.migrating = None, False
        await card_of(one, "drawn when Slack accepts the token")
        await fact(lambda: healthy(office.ops_ports[0]))
        assert not await reads(office.ops_ports[0], "/metrics", "countersign_slack_token_refused{")
        seen = await store.request(request.id)
        assert seen is not None and seen.value.decision is None


async def test_request_expires_while_slack_refuses_the_token(office: Office) -> None:
    """R20, R40: the deadlines of a workspace are kept whether or not it can be served."""
    one = office.first
    async with office.web():
        await office.install(one)
        await office.served(one)
    one.platform.migrating = True
    async with office.web(), office.store(one) as store:
        request = await asked(store, one, "rlate", "nobody can answer this")
        seen = await store.request(request.id)
        assert seen is not None
        await store.commit(Change(requests=(Put(replace(seen.value, deadline=seen.now), seen.version),)))

        async def expired() -> bool:
            now = await store.request(request.id)
            return now is not None and now.value.status is Status.EXPIRED

        await fact(expired)


async def answers(port: int, status: int) -> bool:
    """Whether `/readyz` has this status."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as page:
        return page.status == status


async def healthy(port: int) -> bool:
    return await answers(port, 200) and not await reads(port, "/readyz", "refuse")


async def test_click_naming_another_workspaces_request_does_nothing(office: Office) -> None:
    """R9: a card's button carries an id; whose it is, is not the sender's to say."""
    one, two = office.first, office.second
    async with office.web(), office.store(one) as first, office.store(two) as second:
        for slack in (one, two):
            await office.install(slack)
            await office.served(slack)
        theirs = await asked(second, two, "rtheirs", "a secret of the second")
        card: Message = await card_of(two, "a secret of the second")
        copy = one.workspace.post(one.channel("#approvals"), "U0BOT", blocks=card.blocks, text="x", from_app=True)
        copy = one.channel("#approvals").posts[copy.ts]
        await one.user("bob").click(copy, "Approve")
        ephemeral = await one.user("bob").wait_ephemeral()
        assert "secret" not in str(ephemeral)
        seen = await second.request(theirs.id)
        assert seen is not None
        assert seen.value.decision is None
        assert await first.request(theirs.id) is None


async def test_revocation_of_an_older_token_ends_nothing(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """Slack says `tokens_revoked` of the tokens before a new installation too, and in any order."""
    caplog.set_level(logging.INFO)
    async with office.web():
        await office.install(office.first)
        await office.served(office.first)
        for event in ("tokens_revoked", "app_uninstalled"):
            office.first.platform.event({"type": event, "tokens": {"bot": ["U0BOT"]}})
        asking = len(office.first.calls)

        async def looked_into() -> bool:
            return any(call.method == "auth.test" for call in office.first.calls[asking:])

        await fact(looked_into)
        await office.served(office.first)
        assert "has the app no more" not in caplog.text


async def test_unannounced_uninstallation_is_found_by_a_refused_call(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """R40: the log says so, and the waiting request survives until the app is back."""
    async with office.web(), office.store(office.first) as store:
        await office.install(office.first)
        await office.served(office.first)
        office.first.platform.oauth.revoke(office.first.platform, "account_inactive")
        request = await asked(store, office.first, "rlate", "nobody will see this")

        async def noticed() -> bool:
            return "Workspace T0LOCAL (Local) has the app no more" in caplog.text

        await fact(noticed)
        await office.install(office.first)
        await card_of(office.first, "nobody will see this")
        seen = await store.request(request.id)
        assert seen is not None
        assert seen.value.decision is None


async def test_redis_users_separate_workers_by_workspace(office: Office, redis_url: str, namespace: str) -> None:
    """Least privilege: with the users that `countersign acl --workspaces` prints."""
    if "default" in redis_url or "+" in redis_url:
        pytest.skip("The Redis that TEST_REDIS_URL names takes no users.")
    names = {}
    with redis.Redis.from_url(redis_url) as admin:
        try:
            for line in acl.written_for_workspaces(namespace, [ONE, TWO]).splitlines():
                user, *rules = line.split()[1:]
                if user.startswith(("web", "worker-")):
                    names[user] = f"{user}-{namespace}"
                    admin.execute_command("ACL SETUSER", names[user], "reset", ">secret", "on", *rules[2:])
            as_user = {
                user: urlsplit(redis_url)._replace(netloc=f"{name}:secret@{urlsplit(redis_url).netloc.split('@')[1]}")
                for user, name in names.items()
            }
            office.redis_url = as_user["web"].geturl()
            async with office.web(), connect(as_user[f"worker-{ONE}"].geturl()) as worker:
                await office.install(office.first)
                await office.served(office.first)
                address = await fact(Area(worker, f"{namespace}-{ONE}").address)
                assert address is not None and all(url.endswith(f"/workspaces/{ONE}") for url in address.urls)
                for key in (f"-{ONE}}}:request:q1", f"-{TWO}-work}}:journal:r1", "}:installations"):
                    with pytest.raises(StoreUnavailable, match="may not do this"):
                        await worker.get(f"{{{namespace}{key}")
        finally:
            admin.acl_deluser(*names.values())


async def test_token_error_does_not_give_up_a_message(slack: LocalSlack) -> None:
    """R21: a card is not given up because the app was out of the workspace when it was to be posted."""
    content = {"channel": "C0APPROVALS", "text": "a card"}
    async with slack_clients(slack.bot_token, slack.api_url) as clients:
        for code in ("token_expired", "token_revoked", "account_inactive", "invalid_auth"):
            slack.faults.add("error", on="chat.postMessage", error=code)
            assert await GatedCalls(clients.posts).call("chat.postMessage", content) is None
        slack.faults.add("error", on="chat.postMessage", error="msg_too_long")
        with pytest.raises(CannotPost):
            await GatedCalls(clients.posts).call("chat.postMessage", content)


async def test_socket_mode_serves_all_workspaces(office: Office) -> None:
    """With one app token."""
    async with office.web(slack_app_token=office.first.app_token, slack_signing_secret=None):
        await office.first.wait_connected(1)
        for slack in (office.first, office.second):
            await office.install(slack)
            await office.served(slack)
