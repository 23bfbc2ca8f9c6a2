"""HTTP for the clients, on httpcore: the service's address and single requests.

httpcore is the lower layer of httpx. A program that asks needs only this layer, which keeps its dependencies and
imports small. The environment's proxies (HTTPS_PROXY, NO_PROXY …), SSL_CERT_FILE and the system's certificates are
used.
"""

import json
import logging
import math
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote, urlsplit

from countersign.client import terminal_notes
from countersign.client.exchange import LONG_POLL, UNREACHABLE, Send, ServiceRefused, ServiceReply
from countersign.domain.errors import PROBLEM, InvalidInput
from countersign.secret_files import read_secret

if TYPE_CHECKING:
    import httpcore

_PATIENCE: Final = LONG_POLL + 25.0
"""Seconds for one answer: a long poll and the network's delay."""
_CONNECTING: Final = 15.0
_FIRST_CONNECTING: Final = 1.5
"""Seconds for the first try, after which the program reports that the service does not answer; later tries have
more."""
SILENCE: Final = 1.8
"""Seconds after which a program reports that the service accepts connections but does not answer."""

_LEAST: Final = 0.01
"""Fewest seconds for the last try."""
_PROXY_BUSY: Final = (408, 425, 429)
"""Statuses below 500 with which proxies ask to retry."""
_HERE: Final = ("localhost", "127.0.0.1", "::1")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """The service's address, the program's key, and how long to try to reach it."""

    url: str
    key: str
    timeout: float | None = None
    """Seconds that the service may be away before ServiceRefused; None waits for as long as it takes."""

    @classmethod
    def of(cls, url: str | None, key: str | None, timeout: float | None = None) -> Self:
        """Take missing values from `connect`, or else from the environment.

        InvalidInput if a value is missing or malformed.
        """
        if _connected is not None:
            timeout = _connected.timeout if timeout is None else timeout
            return cls.read(url or _connected.url, key or _connected.key, timeout)
        return cls.read(url or os.environ.get("COUNTERSIGN_URL"), key or read_secret("COUNTERSIGN_KEY"), timeout)

    @classmethod
    def read(cls, url: str | None, key: str | None, timeout: float | None = None) -> Self:
        """Check an address and a key. InvalidInput if one is missing or malformed."""
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
        if timeout is not None and not timeout > 0:
            raise InvalidInput("`timeout` must be a number of seconds above 0. Nobody was asked.")
        return cls(url, key, timeout)

    def arguments(self, step: Send, connecting: float, reading: float) -> dict[str, Any]:
        """Build the arguments of httpcore's `request`.

        `connecting`, `reading`: seconds for a connection, and for an answer.
        """
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
            "extensions": {"timeout": {"connect": connecting, "read": reading, "write": reading}},
        }

    def pool(self) -> dict[str, Any]:
        """Build the arguments of a pool, through the environment's proxy if it has one."""
        proxy = proxy_for(self.url)
        return {"max_connections": None} if proxy is None else {"max_connections": None, "proxy": proxy}


def proxy_for(url: str) -> "httpcore.Proxy | None":
    """Return the environment's proxy for this address; None for this machine."""
    from urllib.request import getproxies, proxy_bypass  # neither is needed before the first question

    import httpcore

    parts = urlsplit(url)
    proxies = getproxies()
    named = proxies.get(parts.scheme) or proxies.get("all")
    if not named or parts.hostname in _HERE or proxy_bypass(parts.hostname or ""):
        return None
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    plain = f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}"
    auth = (unquote(proxy.username), unquote(proxy.password or "")) if proxy.username else None
    return httpcore.Proxy(plain, auth=auth)


_connected: Address | None = None


class Reach:
    """One exchange's access to the service, with the time that it did not answer."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._sent = 0.0
        self._away_since: float | None = None

    def arguments(self, step: Send) -> dict[str, Any]:
        """Build the arguments of httpcore's `request` for sending now."""
        self._sent = time.monotonic()
        connecting = _FIRST_CONNECTING if self._away_since is None else _CONNECTING
        left = max(_LEAST, self._left(self._away_since or self._sent))
        return self._address.arguments(
            step, min(connecting, left), _PATIENCE if _is_poll(step) else min(_PATIENCE, left)
        )

    def note_silence(self, step: Send) -> None:
        """Log that the service does not answer, unless it waits for people or was away."""
        if self._away_since is None and not _is_poll(step):
            url = self._address.url
            _log.warning("The service at %s takes connections and does not answer. Trying %s.", url, self._how_long())

    def read(self, response: "httpcore.Response") -> ServiceReply:
        """Read an answer."""
        reply = read_reply(response, self._address.url)
        answers = reply.status and reply.status < 500
        if answers and self._away_since is not None:
            terminal_notes.note_recovery()
        self._away_since = None if answers else self._away_since or self._sent
        return reply

    def failed(self, wrong: Exception) -> ServiceReply:
        """Make the empty answer of a lost connection, with the reason."""
        self._away_since = self._away_since or self._sent
        why = f"Can't reach the service at {self._address.url}: {_reason(wrong)}. Is `web` running?"
        return ServiceReply(0, {"detail": why, "trying": f"Trying again {self._how_long()}."})

    def given_up(self, reply: ServiceReply) -> ServiceRefused | None:
        """Return the error with which the exchange ends; None to continue."""
        if self._away_since is None or self._left(self._away_since) > 0:
            return None
        return ServiceRefused(UNREACHABLE, str(reply.body.get("detail") or "The service isn't responding."))

    def pause(self, seconds: float) -> float:
        """Return how long to pause; the try after the timeout is the last one."""
        return seconds if self._away_since is None else min(seconds, max(0.0, self._left(self._away_since)))

    def _how_long(self) -> str:
        limit = self._address.timeout
        return "until it answers" if limit is None else f"for {limit:g} s"

    def _left(self, since: float) -> float:
        limit = self._address.timeout
        return math.inf if limit is None else since + limit - time.monotonic()


def _is_poll(step: Send) -> bool:
    """Tell whether the service may hold the answer until people decide."""
    return "?wait=" in step.path


def _reason(wrong: Exception) -> str:
    """Return the system's reason for a failed connection."""
    cause: BaseException | None = wrong
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            number = cause.errno if not isinstance(cause, socket.gaierror) else 0
            return os.strerror(number).lower() if number and number > 0 else cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return "no answer in time" if "Timeout" in type(wrong).__name__ else str(wrong) or type(wrong).__name__


def connect(*, url: str, key: str, timeout: float | None = None) -> None:
    """Set the service's address and the program's key for this process.

    All later questions use them: `ask`, `slack_input`, `requires_approval`, the clients and the adapters, in every
    thread. `timeout`: seconds that the service may be away before ServiceRefused; by default a program tries until it
    answers. They override COUNTERSIGN_URL and COUNTERSIGN_KEY, but child processes see only those variables.
    InvalidInput, with nothing changed, if a value is malformed. No connection is made.
    """
    global _connected
    _connected = Address.read(url, key, timeout)


def _not_ours(url: str, status: int) -> str:
    return (
        f"This is not Countersign: what answers at {url} said {status}. Set COUNTERSIGN_URL to the address of "
        "`web` with its API_PORT. Nobody was asked."
    )


def failures() -> tuple[type[Exception], ...]:
    """Return the exceptions of a lost connection; the request is then sent again."""
    import httpcore

    return httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError, OSError


def read_reply(response: "httpcore.Response", url: str) -> ServiceReply:
    """Read an answer.

    A success that is not a JSON object was cut off or comes from a proxy, so it does not count as an answer. A refusal
    in another format comes from another server.
    """
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if not isinstance(body, dict) and 200 <= response.status < 300:
        return ServiceReply(0, {"detail": f"What answers at {url} isn't Countersign, or was cut off."})
    ours = isinstance(body, dict) and str(body.get("type")).startswith(PROBLEM)
    if 400 <= response.status < 500 and response.status not in _PROXY_BUSY and not ours:
        body = {"type": f"{PROBLEM}not-countersign", "detail": _not_ours(url, response.status)}
    after = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"").decode("latin-1")
    return ServiceReply(
        response.status, body if isinstance(body, dict) else {}, float(after) if after.isdecimal() else 0.0
    )
