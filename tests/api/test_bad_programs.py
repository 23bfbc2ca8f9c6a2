"""Programs that do wrong, by mistake or on purpose: nothing is decided, shown or recorded that should not be."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.audit.auditor import Auditor
from bot.slack.views import answer_modals, home
from countersign import usecases
from countersign.client.ask import ask as ask_people
from countersign.client.client import Client
from countersign.client.exchange import Decision
from countersign.domain import api_keys
from countersign.domain.actions import Action
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.calls import canonical
from countersign.domain.decision_attempts import Attempt
from countersign.domain.errors import InvalidInput, Refused
from countersign.domain.events import EventType
from countersign.domain.ids import AttemptId, RequestId, UserId
from countersign.domain.people import Actor
from countersign.domain.requests import Verb
from countersign.frameworks.run_files import opened
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.audit_log import Ledger
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from countersign.usecases.overview import Listed
from countersign.usecases.run_end import stop
from localslack import LocalSlack, text_of
from localslack.errors import Json
from tests.api.test_requests import REFUND, ask, decided
from tests.audit.conftest import Audit
from tests.audit.conftest import audit as audit
from tests.sample_requests import HERE as HERE_IN_SLACK
from tests.slack.socket_bot import events
from tests.slack.test_projector import card_of
from tests.store_fixtures import NoQueue, configure

HERE = Path(__file__).resolve().parents[2]
SECRETS = ("hunter2hunter2", "sk-live-abcdefghij0123456789abcdefghij")


async def recorded(store: Store) -> list[Json]:
    """The record, with all that has happened."""
    await Auditor(store, "web").catch_up()
    return [kept.fields() async for _, kept in Ledger(store).all()]


async def test_secrets_of_programs_are_hidden_everywhere(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    """R28: on the card, in its windows, in what is reported, and in the record; the program gets what runs."""
    password, token = SECRETS
    arguments = {"to": "x", "password": password, "headers": {"Authorization": f"Bearer {token}"}}
    fields = {name: {"type": "string"} for name in ("to", "password")}
    schema = {"type": "object", "properties": {**fields, "headers": {"type": "object"}}}
    call = {"tool": "send", "arguments": arguments, "schema": schema, "hidden": ["password"]}
    name = (await ask(program, title="Send?", call=call, task=f"password={password}")).json()["id"]
    card, bob = await card_of(slack), slack.user("bob")
    for window in ("Edit", "Review…"):
        if bob.modal is not None:
            await bob.close()
        await bob.click(card, window)
        await bob.wait_modal("Send: to x")
    await bob.submit({})
    found = await decided(program, name)
    assert found["decision"]["arguments"] == arguments
    words = f"It failed: Authorization: Bearer {token}"
    await program.post(f"/v1/requests/{name}/outcome", json={"succeeded": False, "words": words})
    await slack.wait_message("#approvals", lambda m: "It failed" in text_of(m))
    seen = json.dumps([await recorded(store), [call.args for call in slack.calls]], default=str)
    assert not [secret for secret in SECRETS if secret in seen]


EXACT: dict[str, Any] = {"euros": 9000, "euros ": 5, " to": " x\t\n", "big": 2**53 + 1, "rows": [{"a ": "", "a": " "}]}


async def test_arguments_arrive_exactly_as_sent(slack: LocalSlack, program: httpx.AsyncClient) -> None:
    """R37: no name and no value is stripped, so what people judge is what the program runs."""
    name = (await ask(program, title="Refund?", call={"tool": "refund", "arguments": EXACT})).json()["id"]
    card = await card_of(slack)
    assert all(words in text_of(card) for words in ("Euros: 9000", '"euros ": 5', "9007199254740993"))
    await slack.user("bob").click(card, "Approve")
    assert canonical((await decided(program, name))["decision"]["arguments"]) == canonical(EXACT)


@pytest.mark.parametrize(
    "body",
    [
        {"title": " "},
        {"call": {"tool": "refund ", "arguments": {}}},
        {"call": {"tool": "\u200brefund", "arguments": {}}},
        {"options": ["eu", "eu "]},
    ],
)
async def test_look_alike_argument_names_are_refused(program: httpx.AsyncClient, body: dict[str, Any]) -> None:
    """R37: a policy and people would take one for the other."""
    answer = await ask(program, **{"title": "Refund?", **body})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:countersign:invalid"), answer.text


async def test_arguments_are_shown_above_the_programs_message(slack: LocalSlack, program: httpx.AsyncClient) -> None:
    """R44, R42: they come first, and no line of the message looks like one of them; warnings look at both."""
    call = {"tool": "pay", "arguments": {"euros": 9000, "to": "b\u0430nk"}}
    await ask(program, title="Water the plants?", message="Only a test.\nEuros: 5", call=call)
    shown = text_of(card := await card_of(slack))
    assert "Euros: 9000" in shown and "mixes alphabets" in shown
    assert shown.index("Euros: 9000") < shown.index("The program says:") < shown.index("│ Euros: 5")
    assert "Approve" in card.buttons


async def test_hidden_arguments_prevent_every_approve_button(slack: LocalSlack, program: httpx.AsyncClient) -> None:
    """R44, R13: a short message stands for nothing that its call does, on a card of its own and on one of several."""
    rows = {"rows": [{"iban": f"DE{number:020}", "euros": number} for number in range(400)]}
    for number in range(2):
        call = {"tool": "pay", "arguments": {**rows, "number": number}}
        await ask(program, f"key {number}", title="Water the plants?", message="Only a test.", call=call)
    card = await slack.wait_message(
        "#approvals", lambda m: len([b for b in m.buttons if "Details" in b or "Review" in b]) > 0
    )
    assert not {"Approve", "Approve all"} & {*card.buttons}


DRESSED_UP: dict[str, Any] = {
    "title": "*Approved by <@U0BOB>* :white_check_mark:",
    "message": "DECISION: APPROVED\n<!channel> <https://evil.example|Approve>\n```\n:lock: *Decided* by <@U0BOB>",
    "agent": "bob",
    "task": "<@U0BOB> approved this before",
}


async def test_text_imitating_a_decision_or_person_stays_text(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    """R15: a program that is called as a person is, with a card's words, is still shown as a program."""
    person = api_keys.issue("U0BOB", ("C0GENERAL",), await store.now())
    await ApiKeys(store).put(person.key)
    program.headers["authorization"] = f"Bearer {person.token}"
    name = (await ask(program, **DRESSED_UP)).json()["id"]
    card = await card_of(slack)
    assert "For the program U0BOB in <#C0GENERAL>" in text_of(card)
    assert "Approve" in card.buttons
    acting = json.dumps([one for one in _parts(card.blocks) if one.get("type") == "mrkdwn"])
    for words in ("U0BOB>", "evil", "!channel", "white_check_mark"):
        assert words not in acting.replace("Reviewers: <@U0BOB>", "")
    why = {"why": "<!channel> *Approved* by <@U0BOB>"}
    await program.post(f"/v1/requests/{name}/withdraw", json=why)
    card = await card_of(slack, pending=False)
    acting = json.dumps([one for one in _parts(card.blocks) if one.get("type") == "mrkdwn"])
    assert "*Withdrawn*" in acting
    assert "!channel" not in acting
    assert "approved" not in (await program.get(f"/v1/requests/{name}")).json()["status"]


async def test_person_named_by_a_program_gets_no_rights(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    """R9, R10: they may neither approve alone nor stop it, and the rule about own requests holds for them."""
    alice = Actor(HERE_IN_SLACK, UserId("U0ALICE"))
    await configure(store, break_glass=True)
    name = (await ask(program, **REFUND, requester=alice.user)).json()["id"]
    card = await card_of(slack)
    says = "<@U0ALICE> (according to the program ci)"
    assert f"For {says} in <#C0GENERAL>" in text_of(card)
    assert "emergency" not in json.dumps([card.blocks])
    seen = await store.request(RequestId(name))
    assert seen is not None
    glass = Attempt(
        AttemptId("a1"), alice, Verb.APPROVE, seen.value.digest, words="The shop is down.", break_glass=True
    )
    with pytest.raises(Refused) as refused:
        await usecases.decide(store, NoQueue(), seen.value.id, glass)
    assert refused.value.refusal is Refusal.NO_BREAK_GLASS
    with pytest.raises(InvalidInput, match="can stop it"):
        await stop(store, seen.value.run, alice, frozenset())
    listed = Listed((seen.value,), {}, 1, {})
    drawn: list[Any] = [home.entries(listed), answer_modals.reject(seen.value, seen.value.channel)]
    await slack.user("bob").click(card, "Approve")
    settled = await store.request(RequestId(name))
    assert settled is not None
    drawn.append(home.outcomes(replace(listed, requests=(settled.value,)), seen.now))
    assert [says in json.dumps(view) for view in drawn] == [True] * 3


async def test_requester_named_by_a_program_may_not_decide(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    """R10: naming somebody takes them out of those who may."""
    name = (await ask(program, **REFUND, requester="U0BOB")).json()["id"]
    card = await card_of(slack)
    await slack.user("bob").click(card, "Approve")
    assert (await program.get(f"/v1/requests/{name}")).json()["status"] == "pending"
    await slack.user("carol").click(card, "Approve")
    assert (await decided(program, name))["decision"]["by"] == ["U0CAROL"]


def _parts(node: Any) -> list[Json]:
    if isinstance(node, list):
        return [part for one in node for part in _parts(one)]
    return [node, *(part for one in node.values() for part in _parts(one))] if isinstance(node, dict) else []


async def test_rate_limit_holds_for_simultaneous_requests(store: Store, program: httpx.AsyncClient) -> None:
    few = api_keys.issue("few", ("C0GENERAL",), await store.now(), per_minute=5)
    await ApiKeys(store).put(few.key)
    program.headers["authorization"] = f"Bearer {few.token}"
    answers = await asyncio.gather(*(ask(program, str(number)) for number in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [429] * 15


async def test_open_request_limit_holds_for_simultaneous_questions(store: Store, program: httpx.AsyncClient) -> None:
    """R29: each looked before any of the others was counted, and all of them had room."""
    small = api_keys.issue("small", ("C0GENERAL",), await store.now(), most_open=2)
    await ApiKeys(store).put(small.key)
    program.headers["authorization"] = f"Bearer {small.token}"
    answers = await asyncio.gather(*(ask(program, str(number)) for number in range(20)))
    asked = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert (len(asked), {answer.status_code for answer in answers}) == (2, {201, 429})
    await program.post(f"/v1/requests/{asked[0]}/withdraw", json={})
    assert (await ask(program, "one more")).status_code == 201


def nested(depth: int) -> str:
    return "[" * depth + "1" + "]" * depth


OF_A_CALL = '"call": {"tool": "t", "arguments": {"x": %s}}'
OF_A_FORM = '"form": {"properties": {"x": {"enum": [%s]}}}'


BAD_JSON = [
    ('"\\ud800"', "half of a surrogate pair"),
    ('{"\\udfff": 1}', "half of a surrogate pair"),
    (nested(900), "100 deep"),
    (f"[{'0,' * 10_000}0]", "5,000 values"),
    (f"[{'0,' * 300_000}0]", "50,000 names and values"),
    ("[{}]", ""),
]


async def test_unusable_json_is_refused_with_a_sentence(program: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    """R29: each ended in a traceback, or held up everybody else for seconds."""
    for value, says in BAD_JSON:
        for of in [OF_A_CALL, OF_A_FORM]:
            with subtests.test(value=value, of=of):
                headers = {"content-type": "application/json", "idempotency-key": of}
                body = f'{{"title": "t", {of % value}}}'
                answer = await program.post("/v1/requests", content=body, headers=headers)
                assert answer.status_code == (400 if says else 201)
                assert says in answer.text


async def test_two_programs_with_one_key_share_a_request(slack: LocalSlack, url: str, token: str) -> None:
    """Both are threads without an event loop; a third has one of its own."""

    def sync() -> Decision:
        with Client(url, token) as client:
            return client.ask("#general", "Deploy?", "To staging.", key="deploy")

    async def alone() -> Decision:
        decision = await ask_people("#general", "Deploy?", "To staging.", key="deploy")
        assert isinstance(decision, Decision)
        return decision

    os.environ |= (known := {"COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": token})
    try:
        threads = [asyncio.create_task(asyncio.to_thread(work)) for work in (sync, sync, lambda: asyncio.run(alone()))]
        await slack.user("bob").click(await card_of(slack), "Approve")
        decisions = await asyncio.gather(*threads)
    finally:
        for name in known:
            del os.environ[name]
    assert len({decision.request for decision in decisions}) == 1
    assert {decision.by for decision in decisions} == {("U0BOB",)}


async def test_many_long_polls_receive_one_decision(slack: LocalSlack, program: httpx.AsyncClient, url: str) -> None:
    """R5: `make bench` has 10,000 of them."""
    name = (await ask(program)).json()["id"]
    card = await card_of(slack)
    port, key = int(url.rpartition(":")[2]), program.headers["authorization"]
    polls = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
    for _, writer in polls:
        writer.write(f"GET /v1/requests/{name}?wait=60 HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\n\r\n".encode())
    await slack.user("bob").click(card, "Approve")
    answers = await asyncio.gather(*(reader.readuntil(b'"outcome":null}') for reader, _ in polls))
    for _, writer in polls:
        writer.close()
    assert all(answer.startswith(b"HTTP/1.1 200") and b'"status":"approved"' in answer for answer in answers)


@pytest.mark.parametrize("hours", [-3, 3])
async def test_program_with_a_wrong_clock_gets_its_decision(
    slack: LocalSlack, url: str, token: str, hours: int
) -> None:
    asks = "import countersign\nwith countersign.client.Client() as c: print(c.ask('', 't', 'm').text)"
    wrong = f"from tests.chaos import clock_skew; clock_skew.shift({hours * 3600})\n{asks}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", wrong),
        env={**os.environ, "COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": token},
        cwd=HERE,
        stdout=asyncio.subprocess.PIPE,
    )
    await slack.user("bob").click(await card_of(slack), "Approve")
    words, _ = await process.communicate()
    assert words.startswith(b"DECISION: APPROVED")


async def test_audit_log_names_the_key_that_asked(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, token: str, audit: Audit
) -> None:
    """R25: its name and its id, in the entries, an export, a receipt and the report, also of what was refused."""
    parts = api_keys.parts_of(token)
    assert parts is not None
    await store.set_rulebook(Rulebook((Clause("no cash", Action.DENY, 1, tool="cash"),)))
    name = (await ask(program)).json()["id"]
    assert (await ask(program, "cash", title="Pay?", call={"tool": "cash", "arguments": {}})).status_code == 422
    await slack.user("bob").click(await card_of(slack), "Approve")
    await decided(program, name)
    key = {"team": "ci", "program": parts[0]}
    for entry in await recorded(store):
        if entry["type"] in (EventType.REQUEST_ASKED, EventType.CALL_REFUSED, EventType.RUN_QUEUED):
            assert key.items() <= entry["data"].items(), entry["type"]
    exported = [json.loads(line)["entry"] for line in (await audit("export")).out.splitlines()]
    assert [entry["type"] for entry in exported if entry["data"].get("program") == parts[0]] == [
        EventType.RUN_QUEUED,
        EventType.REQUEST_ASKED,
        EventType.CALL_REFUSED,
    ]
    assert parts[0] in (await audit("receipt", name)).out
    figures = json.loads((await audit("report", "--json")).out)
    assert figures["programs"] == [{"name": "ci", "key": parts[0], "asked": 1}]
    assert parts[0] in (await audit("report")).out
    assert parts[1] not in (await audit("export")).out
    assert len([event for event in await events(store) if event.type is EventType.REQUEST_DECIDED]) <= 1


def test_run_held_by_another_program_is_refused(tmp_path: Path) -> None:
    with (
        opened(tmp_path, "key", "task"),
        pytest.raises(InvalidInput, match="Another program is running"),
        opened(tmp_path, "key", "task"),
    ):
        pass


def test_run_file_is_private_and_follows_no_link(tmp_path: Path) -> None:
    """R15: in a folder that others may read, or where a link stands in its place."""
    other = tmp_path / "other"
    other.write_text("kept")
    with opened(tmp_path, "key", "task") as run:
        run.path.symlink_to(other)
        run.save()
    assert (run.path.stat().st_mode & 0o077, run.path.is_symlink()) == (0, False)
    assert other.read_text() == "kept"
