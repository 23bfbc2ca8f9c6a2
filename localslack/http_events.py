"""Signed HTTP: the app's request URLs, one for each replica.

Several replicas stand in for what a load balancer would hide.
"""

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientError, ClientSession, ClientTimeout

from .errors import Ack, Json


def sign(secret: str, timestamp: int, body: str) -> str:
    """Slack's v0 signature.

    See https://docs.slack.dev/authentication/verifying-requests-from-slack
    """
    digest = hmac.new(secret.encode(), f"v0:{timestamp}:{body}".encode(), hashlib.sha256)
    return f"v0={digest.hexdigest()}"


class HttpEvents:
    """Posts to the replicas in turn.

    Without `failover` a dead replica is an error for the person, as in Slack.
    """

    def __init__(self, urls: list[str], secret: str, ack_seconds: float, failover: bool) -> None:
        self.urls = urls
        self._secret = secret
        self._timeout = ClientTimeout(total=ack_seconds)
        self._failover = failover
        self._turn = 0
        self._session: ClientSession | None = None

    async def send(self, kind: str, payload: Json, attempt: int = 0, reason: str = "") -> Ack:
        """One payload; kind is `interactive`, `slash_commands` or `events_api`."""
        if kind == "events_api":
            body, content_type = json.dumps(payload), "application/json"
        else:
            fields = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
            body, content_type = urlencode(fields), "application/x-www-form-urlencoded"
        headers = {"Content-Type": content_type}
        if attempt:
            headers |= {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": reason}
        ack = Ack.failed("dispatch_failed", "connection_failed")
        for _ in self.urls if self._failover else self.urls[:1]:
            self._turn += 1
            ack = await self.post(self.urls[self._turn % len(self.urls)], body, headers)
            if ack.error != "dispatch_failed":
                break
        return ack

    async def post(self, url: str, body: str, headers: dict[str, str], timestamp: int | None = None) -> Ack:
        """One signed request."""
        timestamp = timestamp or int(time.time())
        signed = {
            **headers,
            "X-Slack-Request-Timestamp": str(timestamp),
            "X-Slack-Signature": sign(self._secret, timestamp, body),
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        }
        if self._session is None:
            self._session = ClientSession()
        try:
            async with self._session.post(url, data=body.encode(), headers=signed, timeout=self._timeout) as response:
                text = await response.text()
                if response.status != 200:
                    return Ack.failed("http_service_error", "http_error")
                return Ack(True, _read(text, response.content_type))
        except TimeoutError:
            return Ack.failed("operation_timeout", "timeout")
        except (ClientError, OSError):
            return Ack.failed("dispatch_failed", "connection_failed")

    async def verify(self) -> list[bool]:
        """Ask every URL for its challenge, as Slack does when an address is saved.

        True for each that knew it.
        """
        challenge = hashlib.sha256(str(time.time_ns()).encode()).hexdigest()
        body = json.dumps({"token": "local", "challenge": challenge, "type": "url_verification"})
        answers = [await self.post(url, body, {"Content-Type": "application/json"}) for url in self.urls]
        return [challenge in str(ack.body) for ack in answers]

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _read(text: str, content_type: str) -> Any:
    if not text:
        return None
    if content_type == "application/json":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
