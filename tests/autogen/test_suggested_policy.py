"""A suggested rule, from what people approved to the call that nobody is asked about any more."""

import asyncio
from pathlib import Path

import pytest

from bot.audit.auditor import Auditor
from countersign.__main__ import main
from countersign.domain.requests import Verb
from countersign.policy import file
from tests.autogen.harness import House
from tests.autogen.test_approval_gate import Till, count
from tests.autogen.test_gated_tools import call, life

pytest_plugins = ["tests.redis_server"]
APPROVED = 5


async def test_always_approved_calls_become_a_working_policy_rule(
    house: House, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """R23, R25: record, suggestion, what-if, and the policy at the gate of a real run; nothing beyond passes."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("NAMESPACE", house.store.keys.namespace)

    async def command(*words: str) -> str:
        assert await asyncio.to_thread(main, list(words)) == 0
        return capsys.readouterr().out

    policy, suggested = tmp_path / "approvals.yaml", tmp_path / "suggested.yaml"
    policy.write_text("version: 1\nrules: []\n")
    await house.start()
    till = Till()
    async with life(house) as run:
        tools, before = run.tools("clerk", [till.refund]), None
        for number in range(APPROVED):
            job = asyncio.create_task(call(tools, "refund", f"c{number}", order=17, amount=20 + 2 * number))
            before = await house.asked(not_this=before)
            await house.decide(before, Verb.APPROVE)
            await job
        await Auditor(house.store, "web").catch_up()

        said = await command("policy", "suggest", str(policy), "--least", str(APPROVED), "-o", str(suggested))
        assert f"countersign audit replay --policy {suggested}" in said
        assert "amount >= 20 and amount <= 28" in suggested.read_text()
        assert f"asked → passes now: {APPROVED}" in await command("audit", "replay", "--policy", str(suggested))
        assert policy.read_text() == "version: 1\nrules: []\n", "nothing is applied by itself"

        await house.store.set_rulebook(file.read(suggested))
        assert await call(tools, "refund", "c8", order=17, amount=21) == ("paid 21", False)
        assert (await count(house, "call_passed"), await count(house, "request_asked")) == (1, APPROVED)
        job = asyncio.create_task(call(tools, "refund", "c9", order=17, amount=29))
        beyond = await house.asked(not_this=before)
        await house.decide(beyond, Verb.REJECT)
        await job
    assert till.paid == [(17, amount) for amount in (20, 22, 24, 26, 28, 21)]
