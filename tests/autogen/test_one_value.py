"""What is judged, shown, put on record and run is one value, whatever way a model writes it (R28)."""

import asyncio
import json
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.tools import BaseTool, FunctionTool, StaticWorkbench, ToolOverride, ToolResult, ToolSchema, Workbench
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr, StringConstraints

from bot.audit import entries
from bot.slack.views.decision_details import changes_of
from bot.slack.views.reviewed_content import in_full, on_card
from countersign.domain.actions import Action
from countersign.domain.activity import NOT_DONE
from countersign.domain.calls import canonical, in_order, labelled
from countersign.domain.errors import ActionFailed
from countersign.domain.ids import ChannelId, UserId, digest_of
from countersign.domain.json_arguments import written
from countersign.domain.requests import Kind, Verb
from countersign.frameworks.autogen.gated_function import requires_approval
from countersign.frameworks.autogen.models.demo import DemoCall, demo_turns
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from countersign.frameworks.autogen.tools.arguments import by_model, by_schema
from countersign.frameworks.autogen.tools.team_policy import Proposal, Verdict
from countersign.policy import file
from countersign.policy.evaluation import Rulebook, WantedAction, judge
from tests.autogen.harness import House
from tests.autogen.test_gated_tools import call, life

pytest_plugins = ["tests.redis_server"]
DONE: list["Pay"] = []
"""What the tools were run with."""


class Mode(Enum):
    DRY = "dry"
    LIVE = "live"


class Customer(BaseModel):
    id: int = 1
    vip: bool = False


class Pay(BaseModel):
    """Every type by which a model may write one value in two ways."""

    account: int
    production: bool = False
    amount: float = 1.0
    limit: Decimal = Decimal(1)
    rows: list[int] = []
    customer: Customer = Customer()
    day: date = date(2026, 1, 2)
    mode: Mode = Mode.DRY
    currency: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)] = "usd"
    note: str = None  # type: ignore[assignment]
    number: int = Field(1, alias="no")


class Tool(BaseTool[Pay, Any]):
    """A tool with a model of its own."""

    def __init__(self, name: str = "pay") -> None:
        super().__init__(Pay, str, name, "Pay.")

    async def run(self, args: Pay, cancellation_token: CancellationToken) -> str:
        DONE.append(args)
        return "paid"


async def pay(
    account: int,
    production: bool = False,
    amount: float = 1.0,
    limit: Decimal = Decimal(1),
    rows: list[int] = [],  # noqa: B006
    customer: Customer = Customer(),  # noqa: B008
    day: date = date(2026, 1, 2),
    mode: Mode = Mode.DRY,
    note: str = None,  # type: ignore[assignment]  # noqa: RUF013
) -> str:
    """Pay."""
    values = (account, production, amount, limit, rows, customer, day, mode, note)
    ran: Any = dict(zip(Pay.model_fields, values, strict=False))
    DONE.append(Pay.model_construct(**ran))
    return "paid"


class Remote(Workbench):
    """Says what it takes by a JSON schema alone, and reads it as leniently as pydantic does: so do servers of MCP."""

    def __init__(self, *tools: BaseTool[Any, Any]) -> None:
        self.tools = [*(tools or (Tool(),))]

    async def list_tools(self) -> list[ToolSchema]:
        return [tool.schema for tool in self.tools]

    async def call_tool(self, name: str, arguments: Any = None, *more: Any, **_: Any) -> ToolResult:
        return await StaticWorkbench(self.tools).call_tool(name, arguments)

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def reset(self) -> None: ...
    async def save_state(self) -> Mapping[str, Any]:
        return {}

    async def load_state(self, state: Mapping[str, Any]) -> None: ...


Judge = Callable[[Proposal], Verdict]
Made = Callable[[Run, Judge | None], Workbench]


def behind_gated(run: Run, judge: Judge | None) -> Workbench:
    return run.tools("clerk", [requires_approval(ask=judge)(pay)])


def overridden(run: Run, judge: Judge | None) -> Workbench:
    bench = StaticWorkbench([Tool("transfer")], {"transfer": ToolOverride(name="pay")})
    return run.tools("clerk", bench, ask=judge)


KINDS: dict[str, Made] = {
    "a function": lambda run, judge: run.tools("clerk", [pay], ask=judge),
    "a tool": lambda run, judge: run.tools("clerk", [Tool()], ask=judge),
    "a workbench of AutoGen": overridden,
    "a workbench with a schema": lambda run, judge: run.tools("clerk", Remote(), ask=judge),
    "a gated function": behind_gated,
}
WRITTEN: list[dict[str, Any]] = [
    *({"account": value} for value in ("4711", 4711, 4711.0, "4711.0", " 4711", "4_711", "+4711", "04711", "4711 ")),
    *(
        {"account": value}
        for value in ("４７１１", "٤٧١١", "4711\u200b", "0x1267", [4711], "4.711e3", 4711.5, None, True)
    ),
    *(
        {"account": 1, "production": value}
        for value in (True, "true", "yes", "1", 1, 1.0, "on", "T", "TRUE", "y", None)
    ),
    *({"amount": value} for value in ("501", "5e2", 501, "500.5", 10**400, "inf", "1e999", "NaN")),
    *({"limit": value} for value in ("501", 501, "5.01e2", 501.0, "Infinity")),
    *({"rows": value} for value in ([1, "4711"], [4711], ["4711.0"], "4711", {"0": 4711})),
    *({"customer": {"vip": value}} for value in (True, "true", 1, "on")),
    *({"customer": value} for value in ({"id": "4711"}, {"id": 4711.0}, "vip", [["vip", True]])),
    *({"mode": value} for value in ("live", "LIVE", ["live"])),
    *({name: "4711"} for name in ("no", "number", "Account")),
]
ONLY_IN_A_MODEL: list[dict[str, Any]] = [
    *({"day": value} for value in ("2026-01-01", "2026-01-01T00:00:00", 1767225600, "1767225600")),
    *({"currency": value} for value in ("eur", "EUR", " eur", "ＥＵＲ")),
]
"""A JSON schema does not say that these are one value."""
HARMLESS: dict[str, Any] = {
    **{"account": 1, "production": False, "amount": 1.0, "limit": 1, "rows": [9], "customer": {"id": 2, "vip": False}},
    **{"day": "2026-01-02", "mode": "dry", "currency": "usd", "no": 3},
}
FORBIDDEN = {
    "account": "account == 4711",
    "production": "production == true",
    "amount": "amount >= 500",
    "limit": "limit >= 500",
    "rows": "rows contains 4711",
    "customer": "customer.vip == true or customer.id == 4711",
    "mode": 'mode == "live"',
    "day": 'day == "2026-01-01"',
    "currency": 'currency == "eur"',
    "no": "no == 4711",
}


def forbidden(ran: Pay) -> bool:
    """The same, of what a tool was run with."""
    customer, mode, day = ran.customer, ran.mode is Mode.LIVE, ran.day == date(2026, 1, 1)
    large = ran.amount >= 500 or ran.limit >= 500
    numbers = 4711 in (ran.account, customer.id, ran.number, *ran.rows)
    return numbers or large or customer.vip or mode or day or ran.production or ran.currency == "eur"


def refusing(known: Collection[str] = FORBIDDEN) -> Rulebook:
    rules = [f"  - {{name: “{n}”, tool: pay, if: '{FORBIDDEN[n]}', then: deny}}\n" for n in known]
    return file.understand(f"version: 1\nrules:\n  - {{name: all, tool: pay, then: allow}}\n{''.join(rules)}")


def passing() -> Rulebook:
    text = " or ".join(f"({condition})" for condition in FORBIDDEN.values())
    return file.understand(f"version: 1\nrules:\n  - {{name: all, tool: pay, if: 'not ({text})', then: allow}}\n")


def team(proposal: Proposal) -> Verdict:
    """What a team's own code would write, which expects the types of its tool."""
    given = proposal.arguments
    large = given.get("amount", 1) >= 500 or given.get("limit", 1) >= 500
    account = 4711 in (given["account"], given["customer"]["id"], given.get("no"), *given["rows"])
    other = (given["mode"], given["day"], given.get("currency")) != ("dry", "2026-01-02", given.get("currency"))
    eur = given.get("currency") == "eur"
    no = account or large or other or eur or given["production"] is True or given["customer"]["vip"] is True
    return Verdict(Action.DENY if no else Action.ALLOW)


def by_itself(given: dict[str, Any]) -> dict[str, Any]:
    return by_schema(Tool().schema["parameters"], given)


def test_no_spelling_of_a_value_evades_its_rule(subtests: pytest.Subtests) -> None:
    """R28: neither a rule of the workspace, nor one that lets pass, nor a team's code; by a model or by a schema."""
    for given in [*WRITTEN, *ONLY_IN_A_MODEL, {}]:
        with subtests.test(given=given):
            for take in (partial(by_model, Pay), by_itself):
                try:
                    taken = json.loads(written(take(HARMLESS | given)))
                    ran = Pay.model_validate(taken)
                except ValueError:
                    continue  # the model is told, and nothing runs
                if take is by_itself and given in ONLY_IN_A_MODEL:
                    continue
                action = WantedAction("t", "clerk", "pay", taken, ChannelId("C1"))
                proposal = Proposal("clerk", "pay", taken, "t", "", UserId("U1"))
                passes = [
                    judge(refusing(), action).then is Action.ALLOW,
                    judge(passing(), action).then is Action.ALLOW,
                ]
                with suppress(TypeError, KeyError):  # then people are asked
                    passes.append(team(proposal).action is Action.ALLOW)
                assert not any(passes) if forbidden(ran) else given != {} or all(passes)


@pytest.mark.parametrize("judged_by", ["the workspace's rules", "the team's code"])
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_tool_is_judged_by_converted_values(house: House, kind: str, judged_by: str) -> None:
    """R28, R19: and what is put on record is what ran."""
    await house.start()
    DONE.clear()
    known = HARMLESS if "function" not in kind else {n: v for n, v in HARMLESS.items() if n not in ("no", "currency")}
    own = judged_by == "the team's code"
    await house.store.set_rulebook(refusing([] if own else known))
    async with life(house) as run:
        run.enter()
        tools = KINDS[kind](run, team if own else None)
        for n, given in enumerate(given for given in WRITTEN if given.keys() <= {"account", "production"}):
            if given == {"account": True}:
                continue  # it is 1 to pydantic, which nobody forbids
            result = await tools.call_tool("pay", known | given, CancellationToken(), f"c{n}")
            assert result.is_error, given
        assert not DONE
        result = await tools.call_tool("pay", known | {"account": 7.0}, CancellationToken(), "last")
        assert run.error is None
    (done,) = DONE
    assert done.account == 7
    (passed,) = [event for event in await house.events() if event["type"] == "call_passed"]
    assert json.loads(passed["arguments"]) == known | {"account": 7}


class Odd(BaseModel):
    """Types that JSON does not have."""

    secret: SecretStr = SecretStr("")
    tags: set[str] = set()
    price: Decimal = Decimal(0)
    many: dict[int, str] = {}
    kind: Annotated[str, BeforeValidator(lambda kind: str(kind).strip())] = "usual"
    stamp: str = Field(default_factory=lambda: str(len(DONE)))


class OddTool(BaseTool[Odd, Any]):
    def __init__(self) -> None:
        super().__init__(Odd, str, "odd", "Odd.")

    async def run(self, args: Odd, cancellation_token: CancellationToken) -> str:
        RAN.append(args)
        return "done"


RAN: list[Odd] = []


@pytest.mark.parametrize(
    ("given", "judged"),
    [
        ({}, {}),
        ({"price": "1.10", "kind": " rare "}, {"price": 1.1, "kind": "rare"}),
        ({"price": 2.0}, {"price": 2}),
        ({"price": "0.1234567890123456789"}, {"price": "0.1234567890123456789"}),
        ({"price": "99999999999999999999"}, {"price": 99999999999999999999}),
        ({"tags": ["b", "a", "b"]}, {"tags": ["a", "b"]}),
        ({"many": {"10": "x", "2": "y"}}, {"many": {"10": "x", "2": "y"}}),
        ({"secret": "s3cret"}, {"secret": "s3cret"}),
        ({"stamp": "now"}, {"stamp": "now"}),
    ],
)
async def test_judged_shown_digested_logged_and_run_values_are_equal(
    house: House, given: dict[str, Any], judged: dict[str, Any]
) -> None:
    """R28, R13: with the tool's defaults, but for those that it makes anew each time."""
    await house.start()
    RAN.clear()
    whole: dict[str, Any] = {"secret": "", "tags": [], "price": 0, "many": {}, "kind": "usual"} | judged
    proposals: list[dict[str, Any]] = []

    def judge(proposal: Proposal) -> bool:
        proposals.append(dict(proposal.arguments))
        return True

    async with life(house) as run:
        tools = run.tools("clerk", [OddTool()], ask=judge)
        job = asyncio.create_task(tools.call_tool("odd", given, CancellationToken(), "c1"))
        request = await house.asked()
        call = request.question.call
        assert call is not None
        await house.decide(request, Verb.APPROVE)
        assert not (await job).is_error
        passed = run.tools("aide", [OddTool()], ask=False)
        assert not (await passed.call_tool("odd", given, CancellationToken(), "c2")).is_error
    assert proposals == [whole]
    assert call.arguments == canonical(whole)
    shown = json.loads(canonical(whole | {"secret": call_shown(whole["secret"])}))
    assert request.question.content == labelled(in_order(shown, json.loads(call.schema)))
    (told,) = [event for event in await house.events() if event["type"] == "call_passed"]
    salt = (await house.run()).salt
    assert told["digest"] == digest_of(salt, digest_of(Kind.TOOL, "odd", canonical(whole)))
    assert [ran.model_copy(update={"stamp": ""}) for ran in RAN] == 2 * [Odd.model_validate(whole | {"stamp": ""})]


def call_shown(secret: str) -> str:
    return f"⟦hidden: {len(secret)} characters⟧" if secret else ""


def fee(cents: int) -> int:
    return cents


class Twice(BaseModel):
    cents: Annotated[int, AfterValidator(lambda cents: cents * 2)]


class TwiceTool(BaseTool[Twice, Any]):
    def __init__(self) -> None:
        super().__init__(Twice, str, "twice", "Twice.")

    async def run(self, args: Twice, cancellation_token: CancellationToken) -> str:
        raise AssertionError("It ran.")


def parameters(**more: Any) -> ToolSchema:
    schema: Any = {"type": "object", "properties": {"path": {"type": "string"}, "depth": {"default": 3}}, **more}
    return {"name": "wipe", "parameters": schema}


class Files(Remote):
    """One tool that wipes a path."""

    def __init__(self, **more: Any) -> None:
        super().__init__()
        self.schemas = [parameters(**more)]
        self.called: list[Any] = []

    async def list_tools(self) -> list[ToolSchema]:
        return self.schemas

    async def call_tool(self, name: str, arguments: Any = None, *more: Any, **_: Any) -> ToolResult:
        self.called.append((name, arguments))
        return ToolResult(name=name, result=[])


@pytest.mark.parametrize("more", [{}, {"additionalProperties": False}, {"additionalProperties": True}])
async def test_undeclared_workbench_argument_is_refused_or_shown(house: House, more: dict[str, Any]) -> None:
    """R28, R13: also where the team draws the call in its own way; the schema's defaults are seen too."""
    await house.start()
    files = Files(**more)
    async with life(house) as run:
        asks = None if more.get("additionalProperties") else False
        tools = run.tools("clerk", files, ask=asks, show={"wipe": lambda arguments: f"Wipe {arguments['path']}"})
        given = {"path": "/tmp/x", "recursive": True}
        job = asyncio.create_task(tools.call_tool("wipe", given, CancellationToken(), "c1"))
        if asks is None:
            request = await house.asked()
            assert request.question.content == "Depth: 3\nPath: /tmp/x\nRecursive: yes"
            assert request.question.notes == (
                "The tool does not describe recursive, so its arguments are shown as they are.",
            )
            await house.decide(request, Verb.APPROVE)
            assert not (await job).is_error
            assert files.called == [("wipe", {**given, "depth": 3})]
            return
        result = await job
    assert result.is_error
    assert "recursive is not one of the arguments" in result.to_text()
    assert not files.called


async def test_tool_added_to_a_workbench_later_asks(house: House) -> None:
    """R19: whoever named those that ask did not know it; a mapping says which pass."""
    await house.start()
    files = Files()
    async with life(house) as run:
        tools = run.tools("clerk", files, ask=["wipe"])
        files.schemas = [*files.schemas, {**parameters(), "name": "shred"}]
        job = asyncio.create_task(tools.call_tool("shred", {"path": "/"}, CancellationToken(), "c1"))
        await house.decide(await house.asked(), Verb.REJECT)
        assert (await job).is_error
        known = StaticWorkbench([Tool(), FunctionTool(fee, "")])
        asking = run.tools("aide", known, ask=["pay"])
        assert not (await asking.call_tool("fee", {"cents": 1}, CancellationToken(), "c2")).is_error
        explicit = run.tools("boss", files, ask={"wipe": Action.ASK, "shred": Action.ALLOW})
        assert not (await explicit.call_tool("shred", {"path": "/"}, CancellationToken(), "c3")).is_error
    assert files.called == [("shred", {"path": "/", "depth": 3})]


@pytest.mark.parametrize(
    ("entered", "ran", "says"),
    [
        ({"account": 5}, 5, ""),
        ({"account": 5.0, "limit": 2.0}, 5, ""),
        ({"account": "5"}, None, "the tool would read them as something else, which nobody has seen"),
        ({"account": 5, "currency": " EUR"}, None, '"currency": "eur"'),
        ({"account": 5, "day": "2026-01-03T00:00:00"}, None, '"day": "2026-01-03"'),
        ({"account": True}, None, "something else"),
        ({"account": "five"}, None, "changes that the tool does not take"),
        ({"account": 5, "fast": True}, None, "no argument “fast”"),
        ({"account": "4711"}, None, "something else"),
        ({"account": 4711}, None, "DECISION: REFUSED BY POLICY"),
    ],
)
async def test_edited_value_runs_as_converted_or_not_at_all(
    house: House, entered: dict[str, Any], ran: int | None, says: str
) -> None:
    """R28, R19, R45: it goes the same way as what the model writes; the card says if it did not run."""
    await house.start()
    DONE.clear()

    def only_others(proposal: Proposal) -> Action:
        return Action.DENY if proposal.arguments["account"] == 4711 else Action.ASK

    async with life(house) as run:
        job = asyncio.create_task(call(run.tools("clerk", [Tool()], ask=only_others), "pay", account=1))
        await house.decide(await house.asked(), Verb.EDIT, arguments=canonical(entered))
        text, failed = await job
        assert run.error is None
        await run._journal.late_writes.written()
    assert failed is (ran is None)
    assert says in text
    assert [one.done for one in (await house.run()).reported] == [NOT_DONE if ran is None else ""]
    assert [done.account for done in DONE] == ([] if ran is None else [ran])


class Card(BaseModel):
    number: int
    pin: int | None = None


class Cards(BaseTool[Any, Any]):
    """Says in its errors what it was given."""

    class Given(BaseModel):
        rows: list[Card] = []
        code: Annotated[str, AfterValidator(lambda code: Cards.checked(code))] = ""
        pin: int = 0

    def __init__(self) -> None:
        super().__init__(self.Given, str, "cards", "Cards.")

    @staticmethod
    def checked(code: str) -> str:
        if code == "wrong-8642":
            raise ValueError(f"{code} is no code")
        return code

    async def run(self, args: Any, cancellation_token: CancellationToken) -> str:
        if args.pin == 4321:
            Card.model_validate({"number": "x", "pin": f"{args.pin} {args.code}"})
        raise ActionFailed(f"The bank refuses {args.pin}, {args.code} and {[row.pin for row in args.rows]}.")


HIDDEN = {"cards": ["rows.*.pin", "code", "pin"]}
SECRET = ("2468", "1357", "8642", "4321", "9753")


@pytest.mark.parametrize(
    ("given", "entered", "says"),
    [
        ({"rows": [{"number": 1, "pin": "2468x"}]}, None, "rows.0.pin: isn't what the tool accepts"),
        ({"code": "wrong-8642"}, None, "code: isn't what the tool accepts"),
        ({"code": "8642-9753", "pin": 4321}, {}, "isn't what the tool accepts"),
        ({"code": "8642-9753", "pin": 1357}, {}, "The bank refuses ⟦hidden: 4 characters⟧, ⟦hidden: 9 characters⟧"),
        ({}, {"rows": [{"number": 1, "pin": 2468}]}, "rows: [] → [{"),
        ({"rows": [{"number": 1}]}, {"rows": [{"number": 1, "pin": 2468}], "code": "8642-9753"}, "code: "),
        ({"rows": [{"number": 1}]}, {"rows": [{"number": 1, "pin": "2468x"}]}, "isn't what the tool accepts"),
        ({"rows": [{"number": 1}]}, {"rows": [{"number": 1, "pin": "2468"}]}, "⟦hidden: 4 characters⟧"),
    ],
)
async def test_hidden_values_stay_hidden_in_changes_and_errors(
    house: House, given: dict[str, Any], entered: dict[str, Any] | None, says: str
) -> None:
    """R15: for what a reviewer adds too, and in what a tool, a policy or a check of arguments says."""
    await house.start()

    def fails(proposal: Proposal) -> bool:
        raise ValueError(f"no rule for {proposal.arguments}")

    async with life(house) as run:
        tools = run.tools("clerk", [Cards()], ask=fails, hide=HIDDEN)
        job = asyncio.create_task(call(tools, "cards", **given))
        told = ""
        if entered is not None:
            request = await house.asked()
            verb = Verb.EDIT if entered else Verb.APPROVE
            decided = await house.decide(request, verb, arguments=canonical(entered) if entered else "")
            shown = [*in_full(request.question)[0], *on_card(request.question, {})]
            told = json.dumps(
                [shown, changes_of(decided), entries._decision(decided), entries._described(request, True)],
                ensure_ascii=False,
                default=str,
            )
        text, failed = await job
        assert failed
        assert run.error is None
        told += str([outcome.sentence for outcome in run.outcomes])
    assert says in text
    everywhere = f"{text} {told} {await house.events()}"
    assert not re.search(rf"(?<![0-9a-z])({'|'.join(SECRET)})(?![0-9a-f])", everywhere)  # a digest may hold such digits


async def test_requester_and_model_read_why_a_rule_refuses(house: House) -> None:
    """R16: and why a rule asks by the model; whatever the team's agents say at the end."""
    rule = "{name: no cash, tool: cash, then: deny, why: Use the till.}"
    asks = "{name: all, then: ask, why: Nobody pays alone.}"
    await house.store.set_rulebook(file.understand(f"version: 1\nrules:\n  - {rule}\n  - {asks}\n"))
    reads: list[str] = []

    async def cash(amount: int) -> str:
        """Pay cash."""
        raise AssertionError("It ran.")

    async def card(amount: int) -> str:
        """Pay by card."""
        raise AssertionError("It ran.")

    def play(agent: str, messages: Any) -> Any:
        reads.append(str(messages[-1].content))
        uses = [DemoCall("cash", {"amount": 1}), DemoCall("card", {"amount": 1})]
        return [uses[demo_turns(messages)]] if demo_turns(messages) < 2 else "That is all."

    def build(run: Run) -> AutoGenTeam:
        bench = run.tools("clerk", [cash, card])
        clerk = AssistantAgent("clerk", run.model("clerk"), workbench=bench, max_tool_iterations=4)
        return RoundRobinGroupChat([clerk], max_turns=1)

    found = Teams({"payer": Team("payer", "", build, demo=play)}, {})
    await house.start(team="payer", task="pay", found=found)
    async with house.worker(found=found) as worker:
        worker.advance()
        await house.decide(await house.asked(), Verb.REJECT)
        ended = await house.over()
    assert "> The workspace's policy, rule “no cash”. Use the till." in reads[1].replace("\\n", "\n")
    assert "“all”, quoted:" in reads[2] and "> Nobody pays alone." in reads[2]
    assert "rule “no cash”. Use the till" in ended.result
    assert ended.words == "That is all."


@pytest.mark.parametrize(("pattern", "fits"), [("^a+$", "aa"), (r"^(x|[$\]a]+$)", "a$]"), (r"^a\$$", "a$")])
def test_schema_pattern_refuses_a_trailing_newline(pattern: str, fits: str) -> None:
    """R28: a tool in another language reads the same pattern, and would be given what it does not take."""
    schema = {"type": "object", "properties": {"it": {"type": "string", "pattern": pattern}}}
    assert by_schema(schema, {"it": fits}) == {"it": fits}
    with pytest.raises(ValueError, match="must match the pattern"):
        by_schema(schema, {"it": f"{fits}\n"})
