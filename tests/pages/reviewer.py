"""Somebody at a browser, without the browser: cookies, links and forms."""

import html
import re
from urllib.parse import parse_qsl, urlsplit

import httpx

from bot.pages.site import Pages
from countersign.domain.requests import Request, Status
from countersign.store.store import Store
from demo.login import Login
from tests.longest_wait import PATIENCE

PUBLIC = "http://localhost:3001"


class Reviewer:
    """Somebody at a browser, without the browser: cookies, links and forms."""

    def __init__(self, pages: Pages, login: Login, name: str) -> None:
        self.pages = pages
        self.name = name
        self.login = login
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=pages), base_url=PUBLIC, timeout=PATIENCE, verify=False
        )

    async def authorize(self, path: str = "/sign-in/0") -> str:
        """Go to the provider and log in there; return the address to which the browser is sent."""
        away = await self.client.get(path)
        assert away.status_code == 303, away.text
        return self.login.answer_to(self.name, dict(parse_qsl(urlsplit(away.headers["location"]).query)))

    async def sign_in(self, then: str = "/") -> httpx.Response:
        """Sign in; return the answer of the page to which the provider sends the browser."""
        return await self.client.get(await self.authorize(f"/sign-in/0?then={then}"))

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def form(self, path: str, answer: str) -> dict[str, str]:
        """Return what a form of a page sends if nobody enters anything."""
        page = await self.client.get(path)
        assert page.status_code == 200, page.text
        return form_in(page.text, answer)

    async def answer(self, path: str, answer: str, **entered: str) -> httpx.Response:
        """Send a form of a page, with what is entered; names of inputs have `__` for a dot."""
        changes = {name.replace("__", "."): text for name, text in entered.items()}
        return await self.client.post(path, data={**await self.form(path, answer), **changes})


def form_in(page: str, answer: str) -> dict[str, str]:
    """Read the form of an answer in a page: its inputs with their values."""
    forms = re.findall(r"<form.*?</form>", page, re.S)
    form = next(one for one in forms if f'name="answer" value="{answer}"' in one)
    values = {}
    for tag in re.findall(r"<input[^>]*>", form):
        found = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if found.get("type") not in ("radio", "checkbox") or " checked" in tag:
            values[found["name"]] = html.unescape(found.get("value", ""))
    for name, text in re.findall(r'<textarea[^>]* name="([^"]*)"[^>]*>\n?(.*?)</textarea>', form, re.S):
        values[name] = html.unescape(text)
    for name, options in re.findall(r'<select[^>]* name="([^"]*)"[^>]*>(.*?)</select>', form, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options)
        values[name] = html.unescape(chosen[1]) if chosen else ""
    return values


def text_of(page: httpx.Response) -> str:
    """Return what people read on a page."""
    main = re.sub(r"(?s).*<main[^>]*>|</main>.*", "", page.text)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", main)).split())


async def status(store: Store, request: Request) -> Status:
    seen = await store.request(request.id)
    assert seen is not None
    return seen.value.status
