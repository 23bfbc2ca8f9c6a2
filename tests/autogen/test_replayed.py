"""`countersign audit replay`: what another policy would have done to what really passed the gate and is on record."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.audit import cli
from bot.audit.auditor import Auditor
from countersign.domain.requests import Verb
from countersign.store.audit_log import Ledger
from tests.autogen.harness import CHANNEL, House
from tests.autogen.test_approval_gate import Till
from tests.autogen.test_gate_policy import policy
from tests.autogen.test_gated_tools import call, life

pytest_plugins = ["tests.redis_server"]
Replay = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def replay(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Replay:
    monkeypatch.setenv("REDIS_URL", house.url)
    monkeypatch.setenv("NAMESPACE", house.namespace)
    file = tmp_path / "new.yaml"

    async def run(text: str, *words: object) -> tuple[int, str, str]:
        file.write_text(text)
        more = [str(word) for word in words]
        status = await asyncio.to_thread(cli.main, ["replay", "--policy", str(file), *more])
        return (status, *capsys.readouterr())

    return run


def rules(*written: str) -> str:
    return "version: 1\nrules:\n" + "".join(f"  - {{{rule}}}\n" for rule in written)


NEW = rules(
    "name: small, tool: refund, if: amount <= 20, then: allow", "name: r, then: ask, timeout: 2h, if: order == 1"
)


async def recorded(house: House) -> None:
    """A refund that people approved by a rule with terms, one that passed, one that was refused; a secret in each."""
    await house.start()
    till = Till()
    async with life(house) as run:
        tools = run.tools("clerk", [till.refund], ask=None)
        await policy(house, "then: ask, timeout: 15m")
        asked = asyncio.create_task(call(tools, "refund", order=1, amount=50, password="hunter2!hunter2!"))
        await house.decide(await house.asked(), Verb.APPROVE)
        await asked
        for order, then in ((2, "allow"), (3, "deny")):
            await policy(house, f"then: {then}")
            await call(tools, "refund", order=order, amount=20, password="hunter2!hunter2!")
    await Auditor(house.store, "web").catch_up()


async def test_policy_replay_reports_a_month_in_a_table(house: House, replay: Replay) -> None:
    """R25: what the gate records is enough to tell what another policy would have done."""
    await recorded(house)
    status, out, err = await replay(NEW)
    assert (status, err) == (0, "")
    head, *lines = out.splitlines()
    assert head.startswith("3 actions on record from ")
    assert lines[:4] == ["refused → passes now: 1", "asked → asks otherwise: 1", "as before: 1", ""]
    assert lines[4].split() == ["time", "run", "team", "agent", "tool", "was", "→", "would", "be", "rule", "how"]
    assert lines[5].endswith("asked → asks otherwise  r      timeout: 15 min → 2 h")
    assert lines[6].endswith("  r1   email  clerk  refund  refused → passes now    small")
    assert len(lines) == 7
    _, out, _ = await replay(rules("name: all, then: allow"), "--all")
    assert [line.split()[-1] for line in out.splitlines()[-3:]] == ["all"] * 3


async def test_policy_replay_cannot_judge_by_a_secret(house: House, replay: Replay) -> None:
    """R15: secrets are not in the record, so nothing is guessed about them."""
    await recorded(house)
    status, out, _ = await replay(rules("name: weak, if: password like 'hunter*', then: deny"), "--format", "jsonl")
    assert status == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["was"]["then"] for one in found] == ["ask", "allow", "deny"]
    assert [one["outcome"] for one in found] == ["untold", "untold", "untold"]
    assert {one["how"] for one in found} == {"rule “weak”: the record does not hold “password”"}
    assert {(one["team"], one["channel"], one["tool"]) for one in found} == {("email", CHANNEL, "refund")}


async def test_policy_replay_reads_an_exported_file(house: House, replay: Replay, tmp_path: Path) -> None:
    await recorded(house)
    file = tmp_path / "record.jsonl"
    file.write_text("".join([kept.line() + "\n" async for _, kept in Ledger(house.store).all()]))
    new = rules("name: none, then: deny")
    status, out, err = await replay(new, "--format", "jsonl")
    assert len(out.splitlines()) == 3
    assert (status, out, err) == await replay(new, "--format", "jsonl", "--file", file)
    assert "No actions on record" in (await replay(new, "--until", "2026-01-01", "--file", file))[1]
    file.write_text("n,at\n1,2026\n")
    status, out, err = await replay(new, "--file", file)
    assert (status, err) == (2, "2 entries can't be read, so left out. `audit verify` names them.\n")


async def test_policy_replay_explains_empty_logs_and_invalid_policies(house: House, replay: Replay) -> None:
    """Invalid policies with each problem's line."""
    status, out, err = await replay(rules("name: all, then: allow"))
    assert (status, err) == (0, "")
    assert out.endswith(" to now: nothing to replay.\n")
    status, out, err = await replay(rules("name: a, then: pas", "name: b, then: allow, quorum: 2"))
    assert (status, out) == (2, "")
    assert ["line 3" in line for line in err.splitlines()] == [True]
    status, out, err = await replay("version: 1\nrulez: []\nrules:\n  - {name: b, then: what}\n")
    assert [line.split("new.yaml, ")[1].split(":")[0] for line in err.splitlines()] == ["line 2", "line 4"]
