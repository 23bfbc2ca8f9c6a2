"""`countersign audit`: what somebody outside can find out about the record."""

import asyncio
import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.audit import export_formats, receipts
from bot.audit.auditor import Auditor, Retention
from bot.slack.views import approval_card
from countersign import usecases
from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import Rules
from countersign.domain.events import Event, EventType
from countersign.domain.hash_chain import START, seal
from countersign.domain.ids import digest_of
from countersign.domain.people import Actor
from countersign.domain.requests import Kind, Question, Request, Scope, Verb, digest, request_id
from countersign.domain.standing_permissions import Permission, PermissionChoice, Span
from countersign.store.audit_log import Ledger
from countersign.store.codec import compress, decompress
from countersign.store.store import Store
from countersign.usecases import permission_use
from countersign.usecases.ports import Change, Lease
from tests.audit.conftest import Audit, Said
from tests.sample_requests import BOB, HERE, attempt, call, question
from tests.store_fixtures import NoQueue


@pytest.fixture
async def decided(store: Store, lease: Lease) -> Request:
    """A run, a request and its decision, recorded."""
    asked = await usecases.ask(store, lease, question("=cmd|' /C calc'!A0"))
    answer = await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB, words="+1 from me"))
    await Auditor(store, "web").catch_up()
    return answer


async def test_export_is_verified_and_each_damage_is_named(audit: Audit, decided: Request, tmp_path: Path) -> None:
    """R25: in the file that somebody keeps elsewhere."""
    exported = await audit("export")
    lines = exported.out.splitlines(keepends=True)
    assert [json.loads(line)["entry"]["n"] for line in lines] == [1, 2, 3, 4]
    file = tmp_path / "record.jsonl"

    async def verified(text: str, *more: object) -> Said:
        file.write_text(text)
        return await audit("verify", file, *more)

    whole = await verified(exported.out)
    assert (whole.status, "4 entries, nothing changed, removed or moved" in whole.out) == (0, True)
    assert "give a head noted elsewhere" in whole.out
    head = f"4:{json.loads(lines[-1])['hash']}"
    assert (await verified(exported.out, "--head", head)).status == 0
    changed = await verified(exported.out.replace("approved", "rejected"))
    assert (changed.status, "entry 4: was changed" in changed.out) == (1, True)
    removed = await verified("".join([*lines[:1], *lines[2:]]))
    assert (removed.status, "entry 2: is missing." in removed.out) == (1, True)
    swapped = await verified("".join([lines[1], lines[0], *lines[2:]]))
    assert "entry 1: is where entry 2 should be." in swapped.out
    assert "entry 2: is where entry 1 should be." in swapped.out
    assert (await verified("".join(lines[:3]))).status == 0
    cut = await verified("".join(lines[:3]), "--head", head)
    assert (cut.status, "entry 4: is missing at the end: head 4 was noted." in cut.out) == (1, True)


async def test_stored_audit_log_is_verified_against_its_head(audit: Audit, decided: Request, store: Store) -> None:
    """R25: changed, removed at the end, added behind the head, the head itself."""
    assert "4 entries, nothing changed" in (await audit("verify")).out
    key, events = store.keys.audit, store.keys.audit_head
    await store.client.xadd(key, {"entry": "{}"}, id="5-0")
    added = await audit("verify")
    assert (added.status, "entry 5: comes after the head" in added.out) == (1, True)
    await store.client.xdel(key, "5-0", "4-0")
    removed = await audit("verify")
    assert (removed.status, "entry 4: is missing at the end" in removed.out) == (1, True)
    await store.client.hset(events, "hash", "0" * 63)
    damaged = await audit("verify")
    assert (damaged.status, "The head of the record was changed" in damaged.out) == (1, True)


async def test_undecompressable_entry_is_reported_as_changed(audit: Audit, decided: Request, store: Store) -> None:
    """R25: by name, as whatever else was done to it."""
    entries = await store.client.xrange(store.keys.audit)
    await store.client.delete(store.keys.audit)
    for id, fields in entries:
        broken = {**fields, b"entry": fields[b"entry"][:-2]} if id == entries[2][0] else fields
        await store.client.xadd(store.keys.audit, broken, id=id)
    changed = await audit("verify")
    assert (changed.status, "entry 3: was changed" in changed.out) == (1, True)


async def test_changed_entry_does_not_fit_the_next(audit: Audit, decided: Request, store: Store) -> None:
    """R25: Redis keeps no hash beside an entry; the next entry, or the head, says what it was."""
    entries = await store.client.xrange(store.keys.audit)
    for number, problem in ((2, "entry 3: does not follow entry 2"), (4, "entry 4: was replaced")):
        await store.client.delete(store.keys.audit)
        for n, (id, fields) in enumerate(entries, 1):
            text = decompress(fields[b"entry"]).replace(b'"type":"', b'"type":"un')
            await store.client.xadd(store.keys.audit, {b"entry": compress(text)} if n == number else fields, id=id)
        changed = await audit("verify")
        assert (changed.status, problem in changed.out) == (1, True), changed.out


async def test_export_of_a_trimmed_audit_log_names_its_checkpoint(
    audit: Audit, decided: Request, store: Store, tmp_path: Path
) -> None:
    """R25: the export is verified from there with `--after`."""
    whole = [kept async for _, kept in Ledger(store).all()]
    await Auditor(store, "web", keep=Retention(entries=timedelta(0))).trim()
    assert "1 entry after 3:" in (await audit("verify")).out
    heads = [f"{kept.fields()['n']}:{kept.hash}" for kept in whole]
    early = await audit("verify", "--head", heads[0], "--head", heads[2])
    assert (early.status, early.out.splitlines()[0]) == (
        0,
        "Head 1 can't be compared: the record begins after entry 3.",
    )
    forged = await audit("verify", "--head", "3:" + "0" * 64)
    assert (forged.status, "entry 3: was replaced" in forged.out) == (1, True)
    exported = await audit("export")
    checkpoint = str((await Ledger(store).position()).checkpoint)
    assert exported.err.endswith(f"verify it with --after {checkpoint}\n")
    file = tmp_path / "record.jsonl"
    file.write_text(exported.out)
    assert (await audit("verify", file, "--after", checkpoint)).status == 0
    assert "entry 1: is missing, with all up to entry 3." in (await audit("verify", file)).out


async def test_extract_holds_only_the_requested_entries(
    audit: Audit, decided: Request, store: Store, tmp_path: Path
) -> None:
    await store.commit(Change(events=(Event(EventType.CALL_PASSED, await store.now(), workspace=HERE),)))
    await Auditor(store, "web").catch_up()
    file = tmp_path / "extract.jsonl"
    file.write_text((await audit("export", "--request", decided.id)).out)
    assert [json.loads(line)["entry"]["n"] for line in file.read_text().splitlines()] == [3, 4]
    assert (await audit("verify", file)).status == 1
    assert "2 entries, as they were written" in (await audit("verify", file, "--extract")).out
    assert len((await audit("export", "--run", "rtest")).out.splitlines()) == 4
    now = await store.now()
    assert len((await audit("export", "--since", now - timedelta(hours=1))).out.splitlines()) == 5
    assert (await audit("export", "--since", (now + timedelta(hours=1)).isoformat())).out == ""
    assert (await audit("export", "--until", "2026-01-01")).out == ""
    assert len((await audit("export", "--since", "2026-01-01", "--until", now.isoformat())).out.splitlines()) == 5


@pytest.mark.parametrize("before", ["", " ", "\u00a0", "\ufeff", "\u200b", "\x0b"])
def test_prefix_before_a_formula_does_not_disarm_escaping(before: str) -> None:
    """R15: a spreadsheet may leave out what stands there."""
    fields = {"data": {"words": f"{before}=1+1"}}
    (row,) = csv.DictReader([export_formats.heading(), export_formats.row(seal(START, fields))])
    assert row["words"] == f"'{before}=1+1"


@pytest.mark.parametrize("separator", [";", "\t", "|", "\n", "\r", "\r\n", "\x0b", "\x85", "\u2028"])
def test_formula_after_any_separator_is_neutralised(separator: str) -> None:
    """R15: a spreadsheet may split cells at a separator of its own, and lines at each kind of line break."""
    fields = {"data": {"words": f"see{separator} =1+1"}}
    line = export_formats.row(seal(START, fields))
    assert "\r" not in line
    (row,) = csv.DictReader(io.StringIO(export_formats.heading() + line, newline=""))
    kept = "\n" if "\r" in separator else separator
    assert row["words"] == f"see{kept}' =1+1"
    for split in re.split(r"[;\t|\n\x0b\x85\u2028]", line):
        assert not split.lstrip(' "').startswith("=")


async def test_csv_cell_is_never_a_formula(audit: Audit, store: Store, lease: Lease) -> None:
    """R15: what models and people wrote is data, also in a spreadsheet."""
    evil = question("x", title='=HYPERLINK("http://evil.example","ok")')
    asked = await usecases.ask(store, lease, evil)
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB, words='\uff1d1, "yes"\n@all'))
    await Auditor(store, "web").catch_up()
    rows = list(csv.DictReader(io.StringIO((await audit("export", "--format", "csv")).out)))
    assert [row["n"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[2]["title"] == """'=HYPERLINK("http://evil.example","ok")"""
    assert rows[3]["words"] == """'\uff1d1, "yes"\n'@all"""
    assert (rows[3]["by"], rows[3]["how"], rows[3]["outcome"]) == (BOB, "reviewers", "approved")
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


async def test_receipt_is_verified_with_the_public_key_alone(audit: Audit, decided: Request, tmp_path: Path) -> None:
    """R25: by somebody who has neither Redis nor Slack."""
    receipt, key = tmp_path / "receipt.json", tmp_path / "public.pem"
    receipt.write_text((await audit("receipt", decided.id)).out)
    key.write_text((await audit("key")).out)
    private = tmp_path / "keys" / "audit.pem"
    assert private.stat().st_mode & 0o077 == 0
    believed = await audit("check", receipt, "--key", key)
    assert believed.status == 0
    assert f"Request {decided.id}, as signed at " in believed.out
    assert f"request_decided: approved by {BOB}" in believed.out
    text = receipt.read_text()
    for was, is_now in (("approved", "rejected"), (BOB, "U0MALLORY"), (decided.id, "qother"), ('"n": 3', '"n": 4')):
        receipt.write_text(text.replace(was, is_now))
        forged = await audit("check", receipt, "--key", key)
        assert (forged.status, forged.out) == (
            1,
            "Do not trust this receipt. The signature doesn't match: the receipt was changed, or another key "
            "signed it.\n",
        )
    receipt.write_text(text)
    other = receipts.private_key(tmp_path / "other.pem")
    key.write_text(receipts.public_pem(other))
    assert (await audit("check", receipt, "--key", key)).status == 1
    receipt.write_text("[]")
    assert "This isn't a receipt." in (await audit("check", receipt, "--key", key)).out


async def test_digests_in_the_audit_log_reveal_no_short_secret(audit: Audit, store: Store, lease: Lease) -> None:
    """R15: whoever has record, receipt and card, and knows all but the PIN, tries all PINs, also those of an edit, of a
    permission, and of a call that passed by policy.
    """

    def asked_with(pin: int) -> Question:
        return replace(call(), call=Call("unlock", canonical({"door": "main", "pin": f"{pin:04}"}), hidden=("pin",)))

    wish = PermissionChoice(Scope.CALL, Span.HOUR)
    first = await usecases.ask(store, lease, asked_with(4711))
    assert await usecases.ask(store, lease, asked_with(4711)) == first
    await usecases.decide(store, NoQueue(), first.id, attempt(first, BOB, permission=wish))
    second = await usecases.ask(store, lease, replace(asked_with(4711), asked=1))
    assert (
        await permission_use.allow(store, NoQueue(), second.id, giver) is not None
    )  # the same call, whatever its salt
    third = await usecases.ask(store, lease, replace(asked_with(1234), asked=2))
    edited = canonical({"door": "main", "pin": "0815"})
    await usecases.decide(store, NoQueue(), third.id, attempt(third, BOB, Verb.EDIT, arguments=edited))
    await Auditor(store, "web").catch_up()
    run = await store.run(lease.run)
    assert run is not None
    card = approval_card.card(third, run=run.value, run_link=None)
    shown = (await audit("export")).out + (await audit("receipt", first.id)).out + json.dumps(card.blocks)
    assert first.digest in shown and third.id in shown
    for pin in (4711, 815, 1234, 1):
        arguments = canonical({"door": "main", "pin": f"{pin:04}"})
        of_all = [asked_with(pin), replace(asked_with(pin), asked=1), replace(asked_with(pin), asked=2)]
        tried: set[str] = {digest_of(arguments), digest_of("", arguments), digest_of(Kind.TOOL, "unlock", arguments)}
        tried |= {digest(one) for one in of_all} | {request_id(lease.run, one) for one in of_all}
        assert not [one for one in tried if one in shown]
    assert run.value.salt and first.question.salt
    assert run.value.salt not in shown and first.question.salt not in shown


async def giver(permission: Permission, rules: Rules) -> Actor:
    return Actor(HERE, permission.by)


async def test_undecided_request_has_no_receipt(audit: Audit, store: Store, lease: Lease) -> None:
    asked = await usecases.ask(store, lease, question())
    await Auditor(store, "web").catch_up()
    refused = await audit("receipt", asked.id)
    assert (refused.status, refused.out) == (2, "")
    assert "has no decision" in refused.err


async def test_invalid_audit_key_is_reported(audit: Audit, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "audit.pem").write_text("secret")
    refused = await audit("key")
    assert refused.status == 2
    assert "AUDIT_KEY" in refused.err


async def test_earlier_receipts_verify_after_the_key_changed(audit: Audit, decided: Request, tmp_path: Path) -> None:
    """The new key signs; a public key that is left out makes its receipts count no more."""
    file, public = tmp_path / "keys" / "audit.pem", tmp_path / "public.pem"
    earlier, later = tmp_path / "earlier.json", tmp_path / "later.json"
    earlier.write_text((await audit("receipt", decided.id)).out)
    first = (await audit("key")).out
    receipts.private_key(tmp_path / "new.pem")
    new = (tmp_path / "new.pem").read_text()
    file.write_text(new + first)
    later.write_text((await audit("receipt", decided.id)).out)
    both = (await audit("key")).out
    assert both.endswith(first) and both.count("BEGIN PUBLIC KEY") == 2
    public.write_text(both)
    assert [(await audit("check", one, "--key", public)).status for one in (earlier, later)] == [0, 0]
    earlier_text = earlier.read_text()
    earlier.write_text(earlier_text.replace("approved", "rejected"))
    assert "another key signed it" in (await audit("check", earlier, "--key", public)).out
    earlier.write_text(earlier_text)
    public.write_text(both.removesuffix(first))
    assert [(await audit("check", one, "--key", public)).status for one in (earlier, later)] == [1, 0]

    for wrong in (first + new, new + "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n"):
        file.write_text(wrong)
        refused = await audit("key")
        assert refused.status == 2 and "AUDIT_KEY" in refused.err


async def test_simultaneous_creation_makes_one_audit_key(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.pem"
    made = await asyncio.gather(*(asyncio.to_thread(receipts.private_key, path) for _ in range(8)))
    assert len({receipts.public_pem(key) for key in made}) == 1
    assert [p.name for p in path.parent.iterdir()] == ["audit.pem"]


@pytest.mark.slow
def test_audit_command_needs_no_slack_token(redis_url: str, namespace: str) -> None:
    """`countersign audit` reads Redis alone."""
    done = subprocess.run(
        [sys.executable, "-m", "countersign", "audit", "verify"],
        env={"REDIS_URL": redis_url, "NAMESPACE": namespace},
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0 entries, nothing changed")


DAMAGED = {
    "no JSON": "nonsense",
    "nested too deep": "[" * 5000,
    "no object": "[]",
    "no fields": "{}",
    "fields of other kinds": (
        '{"at":5,"data":7,"decision":{"by":3},"event":[],"n":"x","rules":[],"run":{},"type":"request_asked"}'
    ),
    "no call": '{"at":"2026-03-06T17:00:00+00:00","n":1,"type":"call_passed","data":{"tool":"x","arguments":[1]}}',
    "a moment beyond all": '{"at":"9999-12-31T23:59:59-23:59","event":"99999999999999999999-0","type":"call_passed"}',
}
VERBS = {
    "export": ("export",),
    "export as CSV": ("export", "--format", "csv"),
    "export since": ("export", "--since", "2020-01-01"),
    "verify": ("verify",),
    "receipt": ("receipt", "q1"),
    "replay": ("replay", "--policy", "policy.yaml", "--since", "2020-01-01"),
    "replay as lines": ("replay", "--policy", "policy.yaml", "--format", "jsonl", "--since", "2020-01-01"),
}


@pytest.mark.parametrize("damage", DAMAGED)
async def test_damaged_entry_is_reported_without_a_traceback(
    audit: Audit, decided: Request, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """R25: who can write to Redis may write whatever they like; R4: and web goes on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    await store.client.xadd(store.keys.audit, {"entry": DAMAGED[damage]}, id="5-0")
    await store.client.hset(store.keys.audit_head, mapping={"n": "5", "hash": "0" * 64})
    for verb, words in VERBS.items():
        said = await audit(*words)
        assert said.status in ((1,) if verb == "verify" else (0, 2)), verb
        assert said.out + said.err
    await Auditor(store, "web", keep=Retention(entries=timedelta(0))).trim()


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "no-such-file"),
        ("verify", "."),
        ("verify", "noise", "--extract"),
        ("check", "noise", "--key", "noise"),
        ("check", ".", "--key", "noise"),
        ("check", "noise", "--key", "no-such-file"),
        ("replay", "--policy", "no-such-file"),
        ("replay", "--policy", "."),
        ("replay", "--policy", "noise"),
        ("replay", "--policy", "policy.yaml", "--file", "noise"),
        ("replay", "--policy", "policy.yaml", "--file", "."),
        ("replay", "--policy", "policy.yaml", "--until", "0001-01-01"),
        ("receipt", "\udcff"),
    ],
    ids=" ".join,
)
async def test_wrong_file_or_argument_is_reported_without_a_traceback(
    audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """The exit status is 1 or 2, and something is printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    said = await audit(*words)
    assert said.status in (1, 2)
    assert said.out + said.err


@pytest.mark.parametrize("words", [("export", "--since", "soon"), ("verify", "--head", "5"), ("replay",), ()])
async def test_unknown_audit_arguments_print_the_usage(audit: Audit, words: tuple[str, ...]) -> None:
    """With exit status 2."""
    refused = await audit(*words)
    assert (refused.status, "Usage: countersign audit" in refused.out + refused.err) == (2, True)


@pytest.mark.slow  # it tries to reach Redis once for each verb
async def test_every_audit_command_reports_redis_away(
    audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    for words in VERBS.values():
        said = await audit(*words)
        assert said.status == 2
        assert "The store (Redis) does not answer" in said.err


@pytest.mark.parametrize("verb", ["export", "receipt"])
async def test_damaged_head_is_reported_without_a_traceback(
    audit: Audit, decided: Request, store: Store, verb: str
) -> None:
    await store.client.hset(store.keys.audit_head, "hash", "nonsense")
    said = await audit(verb, *([decided.id] if verb == "receipt" else []))
    assert said.status in (1, 2)
    assert "is no head" in said.err
