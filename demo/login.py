"""A small OpenID Connect provider on loopback, for the demo and the tests.

    python -m demo.login --port 4007 --client http://localhost:4008/sign-in/callback

It asks for no password, so it is good for nothing else. Everything around that is real: codes that are good once, PKCE,
signed ID tokens, published keys.
"""

import argparse
import asyncio
import hmac
import html
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import ECKey

LOOPBACK: Final = "localhost"
CLIENT: Final = "countersign-demo"
PEOPLE: Final = {"alice": "U0ALICE", "bob": "U0BOB", "carol": "U0CAROL", "dave": "U0DAVE"}
"""The people of the local Slack, by their names here."""
_ALGORITHM: Final = "ES256"
_CODE_LASTS: Final = 60.0
_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Demo login</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="/style.css"></head><body><main>
<h1>Demo login</h1><p>In place of your company's login. Who do you want to be?</p>
<form method="post">{buttons}</form></main></body></html>"""
_STYLE: Final = """body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 24rem; padding: 0 1rem; }
button { display: block; width: 100%; font: inherit; padding: .7rem; margin: .5rem 0; }"""


@dataclass(frozen=True, slots=True)
class _Code:
    """Somebody who has just logged in, on their way back to the client."""

    person: str
    query: dict[str, str]
    at: float


class Login:
    """The provider. `redirect_uri` is the only address to which it sends people back."""

    def __init__(self, redirect_uri: str, port: int = 0) -> None:
        """Port 0 takes a free one; after `start` the attribute holds it."""
        self.port = port
        self.redirect_uri = redirect_uri
        self.keys = [self.new_key()]
        """The newest first; it signs."""
        self._codes: dict[str, _Code] = {}
        self._web: web.AppRunner | None = None

    @property
    def issuer(self) -> str:
        """The address that names it."""
        return f"http://{LOOPBACK}:{self.port}"

    @staticmethod
    def new_key() -> ECKey:
        """Make a key with an id of its own."""
        return ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "use": "sig"})

    async def start(self) -> None:
        """Listen. OSError if the port is taken."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._describe),
                web.get("/keys", self._show_keys),
                web.get("/style.css", self._style),
                web.get("/authorize", self._ask_who),
                web.post("/authorize", self._log_in),
                web.post("/token", self._give_token),
            ]
        )
        self._web = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._web.setup()
        site = web.TCPSite(self._web, LOOPBACK, self.port)
        await site.start()
        self.port = self._web.addresses[0][1]

    async def stop(self) -> None:
        """Close it."""
        if self._web is not None:
            await self._web.cleanup()
            self._web = None

    def claims(self, person: str, query: dict[str, str], at: float) -> dict[str, Any]:
        """Return what the ID token says about somebody who logged in at that moment."""
        now = int(time.time())
        return {
            "iss": self.issuer,
            "sub": f"demo-{person}",
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "auth_time": int(at),
            "nonce": query.get("nonce", ""),
            "name": person.capitalize(),
            "email": f"{person}@example.com",
            "email_verified": True,
            "groups": ["reviewers"] if person in ("bob", "carol") else [],
            "acr": "demo",
            "amr": ["pick"],
        }

    def id_token(self, claims: dict[str, Any]) -> str:
        """Sign the claims."""
        return jwt.encode({"alg": _ALGORITHM, "kid": self.keys[0].kid}, claims, self.keys[0], [_ALGORITHM])

    def answer_to(self, person: str, query: dict[str, str]) -> str:
        """Log somebody in; return the address to which their browser goes."""
        code = secrets.token_urlsafe(24)
        self._codes[code] = _Code(person, query, time.time())
        back = {"code": code, "state": query.get("state", ""), "iss": self.issuer}
        return f"{self.redirect_uri}?{urlencode(back)}"

    async def _describe(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [_ALGORITHM],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _show_keys(self, request: web.Request) -> web.Response:
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys]})

    async def _style(self, request: web.Request) -> web.Response:
        return web.Response(text=_STYLE, content_type="text/css")

    async def _ask_who(self, request: web.Request) -> web.Response:
        if (wrong := self._why_not(dict(request.query))) is not None:
            raise web.HTTPBadRequest(text=wrong)
        buttons = "".join(
            f'<button name="person" value="{html.escape(name)}">{html.escape(name.capitalize())}</button>'
            for name in PEOPLE
        )
        headers = {
            "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
            "Cache-Control": "no-store",
        }
        return web.Response(text=_PAGE.format(buttons=buttons), content_type="text/html", headers=headers)

    async def _log_in(self, request: web.Request) -> web.Response:
        query, person = dict(request.query), str((await request.post()).get("person"))
        if (wrong := self._why_not(query)) is not None or person not in PEOPLE:
            raise web.HTTPBadRequest(text=wrong or "There is no such person.")
        raise web.HTTPSeeOther(self.answer_to(person, query))

    def _why_not(self, query: dict[str, str]) -> str | None:
        wanted = {"client_id": CLIENT, "redirect_uri": self.redirect_uri, "response_type": "code"}
        wanted["code_challenge_method"] = "S256"
        wrong = [name for name, value in wanted.items() if query.get(name) != value]
        return f"Wrong: {', '.join(wrong)}." if wrong or not query.get("code_challenge") else None

    async def _give_token(self, request: web.Request) -> web.Response:
        form = await request.post()
        code = self._codes.pop(str(form.get("code")), None)  # it is good once
        challenge = create_s256_code_challenge(str(form.get("code_verifier")))
        good = (
            code is not None
            and time.time() - code.at < _CODE_LASTS
            and form.get("redirect_uri") == self.redirect_uri
            and hmac.compare_digest(challenge, code.query.get("code_challenge", ""))
        )
        if not good or code is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        token = self.id_token(self.claims(code.person, code.query, code.at))
        return web.json_response(
            {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": 60, "id_token": token},
            headers={"Cache-Control": "no-store"},
        )


async def serve(port: int, redirect_uri: str) -> int:
    """Run until SIGINT or SIGTERM; return the exit code."""
    login = Login(redirect_uri, port)
    try:
        await login.start()
    except OSError as failure:
        print(f"The login could not start: {failure}. Choose another port.", file=sys.stderr)
        return 1
    print(f"Login: {login.issuer}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await login.stop()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the provider as a process."""
    parser = argparse.ArgumentParser(prog="demo.login", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--client", required=True, help="the address to which people return")
    options = parser.parse_args(arguments)
    return asyncio.run(serve(options.port, options.client))


if __name__ == "__main__":
    sys.exit(main())
