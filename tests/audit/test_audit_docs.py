"""What docs/audit.md says to type works as it stands."""

import asyncio
import re
import shlex
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature

from bot.audit import cli
from bot.audit.auditor import Auditor
from countersign import usecases
from countersign.domain.decision_attempts import statement
from countersign.domain.events import Event, EventType
from countersign.domain.hash_chain import SCHEMA
from countersign.domain.proof import OidcLogin, Proof, Proved
from countersign.store.audit_log import Ledger
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease
from tests.sample_requests import BOB, attempt, question
from tests.store_fixtures import NoQueue

HERE = Path(__file__).resolve().parent.parent.parent
DOC = (HERE / "docs" / "audit.md").read_text()


@pytest.mark.slow
async def test_every_command_in_the_audit_page_works(
    store: Store,
    lease: Lease,
    redis_url: str,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = await usecases.ask(store, lease, question())
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    await Auditor(store, "web").catch_up()
    head = str((await Ledger(store).position()).head)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("NAMESPACE", namespace)
    monkeypatch.chdir(tmp_path)
    for name in ("approvals.yaml", "suggested.yaml"):
        (tmp_path / name).write_text("version: 1\nrules:\n  - {name: all, then: allow}\n")
    commands = re.findall(r"^\$ countersign audit (.*)$", DOC, re.M)
    assert len(commands) >= 10
    said = ""
    for command in commands:
        words, _, file = (
            command.replace("<request>", asked.id).replace("<head>", head).replace(" >> ", " > ").partition(" > ")
        )
        assert await asyncio.to_thread(cli.main, shlex.split(words)) == 0, command
        out, err = capsys.readouterr()
        assert err == "", command
        if file:
            (tmp_path / file).write_text(out)
        else:
            said += out
    assert said.count("nothing changed, removed or moved") == 3
    assert "2 entries, as they were written" in said
    assert f"approved by {BOB}" in said
    assert (tmp_path / ".data" / "audit-key.pem").exists()
    (by_hand,) = re.findall(r"^```python\n(.*?)^```", DOC, re.M | re.S)
    exec(by_hand, {})
    receipt = tmp_path / "receipt.json"
    receipt.write_text(receipt.read_text().replace(BOB, "U0EVE"))
    with pytest.raises(InvalidSignature):
        exec(by_hand, {})


async def test_audit_page_names_every_field_of_an_entry(store: Store, lease: Lease) -> None:
    asked = await usecases.ask(store, lease, question())
    login = OidcLogin("https://idp.example.com", "bob", await store.now())
    proved = Proved(Proof.OIDC, statement([asked], attempt(asked, BOB), "nonce").write(), login)
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB, proved=proved))
    passed = Event(EventType.CALL_PASSED, await store.now(), workspace=asked.workspace, data={"tool": "look"})
    await store.commit(Change(events=(passed,)))
    await Auditor(store, "web").catch_up()
    fields = {name async for _, kept in Ledger(store).all() for name in kept.fields()}
    named = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", DOC, re.M))))
    assert named == fields
    assert f"version of this format ({SCHEMA})" in DOC
