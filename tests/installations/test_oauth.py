"""OAuth as an attacker would have it: states, codes, and what an installer's browser brings."""

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.fernet import Fernet

from countersign.domain.ids import WorkspaceId
from countersign.store.store import Store
from tests.installations.office import KEY, PUBLIC, Browser, Office

HERE = WorkspaceId("T0LOCAL")


def state_of(address: str) -> str:
    return parse_qs(urlsplit(address).query)["state"][0]


async def installed(office: Office) -> set[str]:
    async with office.records() as records:
        return {str(name) for name in await records.all()}


async def test_oauth_state_is_valid_once_for_its_browser(office: Office) -> None:
    """R9: nobody makes an admin's browser install something, and no link works twice."""
    async with office.web() as port:
        mine = Browser(port)
        at_slack = await mine.begin()
        back = office.first.allow(at_slack)
        state = state_of(at_slack)

        # In another browser, with no cookie or with that of another installation.
        other = Browser(port)
        await other.begin()
        for browser in (Browser(port), other):
            status, page = await browser.end(back)
            assert (status, "not opened by the browser" in page) == (400, True)

        # Made by somebody else, though the browser brings it: without our key, changed, and too old.
        old = Fernet(KEY).encrypt_at_time(b"state", 1).decode()
        forged = Fernet(Fernet.generate_key()).encrypt(b"state").decode()
        for bad in (forged, old, state[:-4] + "AAA=", "x"):
            browser = Browser(port, f"slack-app-oauth-state={bad}")
            status, page = await browser.end(office.first.allow(at_slack.replace(state, bad)))
            assert (status, "is older than ten minutes" in page) == (401, True)
        assert await installed(office) == set()

        # The real one, twice.
        assert (await mine.end(back))[0] == 200
        status, page = await mine.end(office.first.allow(at_slack))
        assert (status, "not opened by the browser" in page) == (400, True)
        assert await installed(office) == {"T0LOCAL"}


async def test_foreign_oauth_code_installs_nothing(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """A code of another app, one that was used, and a browser in which somebody said no."""
    redirect = f"{PUBLIC}/slack/oauth_redirect"
    async with office.web() as port:
        code = office.first.platform.oauth.code_of_another_app(office.first.platform, redirect)
        for query in (f"code={code}", "code=123", ""):
            browser = Browser(port)
            state = state_of(await browser.begin())
            status, page = await browser.end(f"{redirect}?{query}&state={state}")
            assert (status, "Nothing was changed" in page) == (401, True), query
        status, page = await Browser(port).end(f"{redirect}?error=access_denied&state=x")
        assert (status, "cancelled" in page) == (200, True)
        status, page = await Browser(port).end(f"{redirect}?error=%3Cscript%3E%0AERROR%20forged&state=x")
        assert "<script>" not in page
        lines = [line for line in caplog.messages if "forged" in line]
        assert lines and not any("\n" in line for line in lines)
        browser = Browser(port)
        state = state_of(await browser.begin())
        await browser.end(f"{redirect}?code=forged-code%0AERROR%20forged%20-%20error%3A%20&state={state}")
        assert any("Slack refused the code" in line and "invalid_code" in line for line in caplog.messages)
        assert not any("forged-code" in line or "\nERROR" in line for line in caplog.messages)
        assert await installed(office) == set()


async def test_incomplete_installation_is_refused_with_a_sentence(office: Office) -> None:
    """An installation without all scopes, and one of which Slack says nothing."""
    async with office.web() as port:
        browser = Browser(port)
        back = office.first.allow((await browser.begin()).replace("chat:write,", ""))
        status, page = await browser.end(back)
        assert (status, "was not given chat:write" in page) == (500, True)
        office.first.faults.add("server_error", on="oauth.v2.access", times=None)
        status, page = await office.install(office.first, invite=False)
        assert (status, "Nothing was changed" in page) == (401, True)
        assert await installed(office) == set()


async def test_repeated_install_pages_store_nothing_more(office: Office, redis_url: str) -> None:
    async with office.web() as port, office.store(office.first) as store:
        before = len(await store.client.keys(f"*{office.namespace}*"))
        await asyncio.gather(*(Browser(port).begin() for _ in range(20)))
        assert len(await store.client.keys(f"*{office.namespace}*")) <= before + 1


@pytest.mark.parametrize("path", ["/slack/install", "/slack/oauth_redirect"])
async def test_single_token_setup_has_no_oauth_pages(store: Store, path: str) -> None:
    """Off by default."""
    import aiohttp

    from bot.slack import http

    async with (
        http.serving(http.http(None), "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as page,
    ):
        assert page.status == 404
