"""HTTP for the clients: where the service is, and one request to it, on httpcore.

httpcore is what httpx is made of. A program that asks needs no more of it, so what it installs and imports stays small.
The proxies of the environment count (HTTPS_PROXY, NO_PROXY …), and so do SSL_CERT_FILE and the system's certificates.
"""

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote, urlsplit

from countersign.client.exchange import LONG_POLL, Send, ServiceReply
from countersign.domain.errors import InvalidInput

if TYPE_CHECKING:
    import httpcore

_PATIENCE: Final = LONG_POLL + 25.0
"""Seconds for one answer: a long poll, and what the network takes."""
_CONNECTING: Final = 15.0


@dataclass(frozen=True, slots=True)
class Address:
    """The service's address, and the program's key."""

    url: str
    key: str

    @classmethod
    def of(cls, url: str | None, key: str | None) -> Self:
        """Take what `connect` got, or else the environment, where one is not given.

        InvalidInput if there is none, or it cannot be one.
        """
        known = (os.environ.get("COUNTERSIGN_URL"), os.environ.get("COUNTERSIGN_KEY"))
        if _connected is not None:
            known = (_connected.url, _connected.key)
        return cls.read(url or known[0], key or known[1])

    @classmethod
    def read(cls, url: str | None, key: str | None) -> Self:
        """Check an address and a key. InvalidInput if one is missing or cannot be one."""
        if not url or not key:
            raise InvalidInput(
                "Set COUNTERSIGN_URL and COUNTERSIGN_KEY, or give both to `connect`. Nobody was asked. "
                "`countersign demo` starts a service on this machine and prints both, and `countersign keys create` "
                "makes a key for yours."
            )
        url, key = url.strip().rstrip("/"), key.strip()
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(
                f"COUNTERSIGN_URL must be an address like https://host, not “{url[:80]}”. Nobody was asked."
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise InvalidInput("COUNTERSIGN_KEY must be a key that begins with csk_. Nobody was asked.")
        return cls(url, key)

    def arguments(self, step: Send) -> dict[str, Any]:
        """Build the arguments of httpcore's `request`."""
        headers = {"authorization": f"Bearer {self.key}", "accept": "application/json", **step.headers}
        content = None
        if step.body is not None:
            headers["content-type"] = "application/json"
            content = json.dumps(step.body, ensure_ascii=False, separators=(",", ":")).encode()
        return {
            "method": step.method,
            "url": self.url + step.path,
            "headers": headers,
            "content": content,
            "extensions": {"timeout": {"connect": _CONNECTING, "read": _PATIENCE, "write": _PATIENCE}},
        }

    def pool(self) -> dict[str, Any]:
        """Build the arguments of a pool, through the environment's proxy if it has one."""
        from urllib.request import getproxies, proxy_bypass  # neither is needed before somebody asks

        import httpcore

        parts = urlsplit(self.url)
        proxies = getproxies()
        named = proxies.get(parts.scheme) or proxies.get("all")
        if not named or proxy_bypass(parts.hostname or ""):
            return {"max_connections": None}
        proxy = urlsplit(named if "://" in named else f"http://{named}")
        plain = f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}"
        auth = (unquote(proxy.username), unquote(proxy.password or "")) if proxy.username else None
        return {"max_connections": None, "proxy": httpcore.Proxy(plain, auth=auth)}


_connected: Address | None = None


def connect(*, url: str, key: str) -> None:
    """Set the service's address and the program's key for this process.

    All that asks afterwards takes them: `ask`, `slack_input`, `requires_approval`, the clients and the adapters, in
    every thread. They count more than COUNTERSIGN_URL and COUNTERSIGN_KEY; a process that is started by this one knows
    only those. InvalidInput if one cannot be what it should; nothing is changed then. Nobody is reached.
    """
    global _connected
    _connected = Address.read(url, key)


def failures() -> tuple[type[Exception], ...]:
    """Name what a lost connection raises; the request is sent again."""
    import httpcore

    return httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError, OSError


def read_reply(response: "httpcore.Response") -> ServiceReply:
    """Read an answer.

    A refusal that is no JSON object has an empty body. A success that is none was cut off, or is a proxy's: no answer.
    """
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if not isinstance(body, dict) and 200 <= response.status < 300:
        return ServiceReply(0)
    after = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"").decode("latin-1")
    return ServiceReply(
        response.status, body if isinstance(body, dict) else {}, float(after) if after.isdecimal() else 0.0
    )
