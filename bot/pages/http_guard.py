"""Guard of all pages: host, origin and size of a request, headers of an answer.

A browser enforces most of it: no script or style but our files, no frame around a page, no request from another site.
"""

import asyncio
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from countersign.domain.errors import InvalidInput

LARGEST: Final = 2 * 2**20
"""Bytes of a form: the longest content that can be edited, escaped."""
MOST_FIELDS: Final = 500
_WITHIN: Final = 10.0
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_WRONG_HOST: Final = "This address isn't the one of these pages."


class Guard:
    """The ASGI app of all pages, behind the checks that every request must pass."""

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self._app = app
        self._host = urlsplit(public_url).netloc
        self._headers = {
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), "
            "microphone=(), geolocation=()",
        }
        if public_url.startswith("https://"):
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer requests for our own host only.

        `X-Forwarded-Host` and similar headers are ignored.
        """
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if Headers(scope=scope).getlist("host") != [self._host]:
            await PlainTextResponse(_WRONG_HOST, 421)(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


def is_ours(request: Request, public_url: str) -> bool:
    """Tell whether a form was sent by a page of ours, as far as the browser says."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    return origin in (None, public_url) and site in (None, "same-origin")


async def read_form(request: Request) -> dict[str, list[str]]:
    """Read a form. InvalidInput if it is too large, too slow, or no form."""
    body = bytearray()
    try:
        async with asyncio.timeout(_WITHIN):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST:
                    raise InvalidInput("This form is too large. Nothing was decided.")
        sent = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
        for name, text in sent:
            (name + text).encode()  # no half of a surrogate pair
    except TimeoutError:
        raise InvalidInput("This form took too long to arrive. Nothing was decided; please try again.") from None
    except ValueError as wrong:
        if isinstance(wrong, InvalidInput):
            raise
        raise InvalidInput("This isn't a form of these pages. Nothing was decided.") from None
    fields: dict[str, list[str]] = {}
    for name, text in sent:
        fields.setdefault(name, []).append(text)
    return fields
