"""`countersign audit`, as a test calls it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from bot.audit import cli


class Said(NamedTuple):
    status: int
    out: str
    err: str


Audit = Callable[..., Awaitable[Said]]


@pytest.fixture
def audit(
    redis_url: str,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Audit:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("NAMESPACE", namespace)
    monkeypatch.setenv("AUDIT_KEY", str(tmp_path / "keys" / "audit.pem"))

    async def run(*words: object) -> Said:
        status = await asyncio.to_thread(cli.main, [str(word) for word in words])
        return Said(status, *capsys.readouterr())

    return run
