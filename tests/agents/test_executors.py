"""Code that agents write: seen whole, run once, its output given back."""

import ast
import asyncio
import contextlib
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import autogen_ext
import pytest
from autogen_agentchat.agents import ApprovalRequest
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult

from agents.context import RunContext
from agents.entries import Entry
from agents.executors import UNBOXED, code_executor
from agents.local_executor import LocalExecutor
from agents.policies import Tier
from bot.core.requests import Kind, Request, Verb
from bot.store.journal import RedisJournal
from bot.store.sides import REQUESTS
from tests.agents.house import House, fact
from tests.agents.test_tools import life

pytest_plugins = ["tests.redis_server"]

BLOCKS = [CodeBlock(code="echo one >> log\ncat log", language="sh"), CodeBlock(code="print('two')", language="python")]


def local(house: House, seconds: float = 20) -> CodeExecutor:
    return LocalExecutor(house.folder / "code", timedelta(seconds=seconds))


def executing(
    run: RunContext, executor: CodeExecutor, blocks: list[CodeBlock], **more: Any
) -> asyncio.Task[CodeResult]:
    gated = run.executor("coder", executor, **more)
    return asyncio.create_task(gated.execute_code_blocks(blocks, CancellationToken()))


def log(house: House) -> list[str]:
    path = Path(house.folder / "code" / "log")
    return path.read_text().split() if path.exists() else []


async def test_code_is_shown_whole_runs_once_approved_and_its_output_comes_back(house: House) -> None:
    """R13, R4: and a rebuilt run does not run it again."""
    await house.start()
    for life_ in range(2):
        async with life(house) as run:
            job = executing(run, local(house), BLOCKS)
            if life_ == 0:
                request = await house.asked()
                assert (request.question.kind, request.question.title) == (Kind.CODE, "run code")
                assert request.question.content == (
                    "Block 1 of 2, sh:\n\necho one >> log\ncat log\n\nBlock 2 of 2, python:\n\nprint('two')"
                )
                assert request.question.notes == (UNBOXED,)
                assert Verb.EDIT not in request.question.offers
                assert not log(house)
                await house.decide(request, Verb.APPROVE)
            result = await job
            assert (result.exit_code, result.output.split()) == (0, ["one", "two"])
            await run.close()
    assert log(house) == ["one"]


async def test_code_that_is_rejected_does_not_run_and_the_agent_reads_why(house: House) -> None:
    await house.start()
    async with life(house) as run:
        job = executing(run, local(house), BLOCKS)
        await house.decide(await house.asked(), Verb.REJECT, "no")
        result = await job
    assert result.exit_code == 1
    assert result.output.startswith("DECISION: CODE REJECTED (")
    assert not log(house)


async def none_left(group: str) -> bool | None:
    return None if living(group) else True


def living(group: str) -> list[Path]:
    """The processes of the group, without those that only nobody has buried yet."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text().rpartition(") ")[2].split()[:3]
            found += [path] if its_group == group and state != "Z" else []
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("code", ["sleep 60", "trap '' TERM; sleep 60 & sleep 60", "(sleep 60 &) ; sleep 60"])
async def test_code_that_hangs_is_ended_with_all_its_children_and_the_agent_is_told(house: House, code: str) -> None:
    await house.start()
    before = time.monotonic()
    async with life(house) as run:
        blocks = [CodeBlock(f"echo $$ > pid\n{code}", "sh"), CodeBlock("echo next", "sh")]
        result = await executing(run, local(house, seconds=0.3), blocks, ask=False)
    assert result.exit_code == 124
    assert "took longer than 0.3 seconds" in result.output
    assert "next" not in result.output
    assert time.monotonic() - before < 10
    group = (house.folder / "code" / "pid").read_text().strip()
    await fact(lambda: none_left(group))


async def test_much_output_is_cut_and_a_named_block_is_kept_for_later_ones(house: House) -> None:
    await house.start()
    blocks = [
        CodeBlock("# filename: mine.py\nHOW_MANY = 200_000", "python"),
        CodeBlock("from mine import HOW_MANY\nprint('x' * HOW_MANY + 'end')", "python"),
    ]
    async with life(house) as run:
        result = await executing(run, local(house), blocks, ask=False)
    assert result.exit_code == 0
    assert result.output.startswith("(the last 100,000 of 200,004 bytes)\n")
    assert result.output.endswith("end\n")
    assert sorted(p.name for p in (house.folder / "code").glob("*") if p.is_file()) == ["mine.py"]


def test_without_a_docker_the_card_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert isinstance(code_executor(tmp_path / "code"), LocalExecutor)


def test_with_a_docker_its_executor_is_given_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S18: by AutoGen's own source, which cannot be imported without the extra; nothing here runs in a container."""
    given: dict[str, Any] = {}
    engine = SimpleNamespace(ping=lambda: True, close=lambda: None)
    theirs = SimpleNamespace(DockerCommandLineCodeExecutor=given.update)
    monkeypatch.setitem(sys.modules, "docker", SimpleNamespace(from_env=lambda timeout: engine))
    monkeypatch.setitem(sys.modules, "autogen_ext.code_executors.docker", theirs)
    code_executor(tmp_path / "code", within=timedelta(seconds=7))
    assert given == {"work_dir": tmp_path / "code", "timeout": 7}

    (package,) = map(Path, autogen_ext.__path__)
    tree = ast.parse((package / "code_executors" / "docker" / "_docker_code_executor.py").read_text())
    kind = next(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == "DockerCommandLineCodeExecutor")
    methods = {n.name: n for n in kind.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    takes = methods["__init__"].args
    assert given.keys() <= {argument.arg for argument in (*takes.args, *takes.kwonlyargs)}
    for name in ("start", "stop", "restart", "execute_code_blocks"):
        assert isinstance(methods[name], ast.AsyncFunctionDef), name


async def test_code_that_fails_or_has_no_interpreter_is_a_result(house: House) -> None:
    await house.start()
    async with life(house) as run:
        assert (await executing(run, local(house), [CodeBlock("exit 3", "sh")], ask=False)).exit_code == 3
        unknown = await executing(run, local(house), [CodeBlock("10 GOTO 10", "basic")], ask={"run code": Tier.PASS})
        assert unknown.exit_code != 0
        assert "basic" in unknown.output
    told = [event for event in await house.events() if event["type"] == "call_passed"]
    assert [event["tool"] for event in told] == ["run code", "run code"]


async def test_code_that_was_cut_off_is_asked_about_and_not_repeated(house: House) -> None:
    """R4: nobody knows whether it ran."""
    await house.start()
    async with life(house) as run:
        job = executing(run, local(house), BLOCKS)
        await house.decide(await house.asked(), Verb.APPROVE)
        await job
        # What a process leaves behind that dies between "started" and the result.
        [key] = [key for key in await RedisJournal(house.store).entries(run.run.id) if key.startswith("tool/")]
        await run._journal.record(key, Entry("started"), replace=True)
    async with life(house) as run:
        job = executing(run, local(house), BLOCKS)
        doubt = await house.asked()
        assert doubt.question.kind is Kind.IN_DOUBT
        assert "echo one >> log" in doubt.question.content
        await house.decide(doubt, Verb.RESPOND, "one\ntwo")
        assert (await job) == CodeResult(exit_code=0, output="one\ntwo")
    assert log(house) == ["one"]


async def test_an_executor_of_ones_own_is_let_through_once_and_asked_about_after_a_crash(house: House) -> None:
    """R4, R13: `approval_func` sees what is recorded, which is only that it was let through."""
    await house.start()
    request = ApprovalRequest(code="```sh\nrm log\n```", context=[])
    async with life(house) as run:
        job = asyncio.ensure_future(run.code_approval("coder")(request))
        asked = await house.asked()
        assert asked.question.content.endswith(request.code)
        await house.decide(asked, Verb.APPROVE)
        assert (await job).approved
    async with life(house) as run:
        job = asyncio.ensure_future(run.code_approval("coder")(request))
        doubt = await house.asked()
        assert doubt.question.kind is Kind.IN_DOUBT
        await house.decide(doubt, Verb.RESPOND, "gone")
        answer = await job
        assert not answer.approved
        assert answer.reason.endswith("It returned:\ngone")


async def test_an_executor_of_ones_own_is_refused_with_the_reason(house: House) -> None:
    await house.start()
    async with life(house) as run:
        job = asyncio.ensure_future(run.code_approval("coder")(ApprovalRequest(code="rm", context=[])))
        await house.decide(await house.asked(), Verb.REJECT, "no")
        answer = await job
    assert not answer.approved
    assert answer.reason.startswith("DECISION: CODE REJECTED (")


async def tampered(house: House, asked: Request) -> None:
    """Past all of our own code: other words stand where these did, under the digest of what people saw."""
    assert asked.question.call is not None
    seen = await house.store.request(asked.id)
    assert seen is not None
    other = replace(asked.question.call, arguments=asked.question.call.arguments.replace("log", "gol"))
    made = replace(asked, question=replace(asked.question, call=other))
    for key in (house.store.keys.asked(asked.id), house.store.keys.request(asked.id)):
        if await house.store.client.exists(key):
            await house.store.client.set(key, REQUESTS.write(made, seen.version), keepttl=True)


@pytest.mark.parametrize("door", ["an executor of the run", "an executor of one's own"])
async def test_code_that_is_not_what_its_digest_says_does_not_run(house: House, door: str) -> None:
    """R13: at both doors for code, whatever stands in the store by then."""
    await house.start()
    async with life(house) as run:
        if door == "an executor of the run":
            job: asyncio.Future[Any] = executing(run, local(house), BLOCKS)
        else:
            job = asyncio.ensure_future(run.code_approval("coder")(ApprovalRequest(code="rm log", context=[])))
        asked = await house.asked()
        await tampered(house, asked)
        await house.decide(asked, Verb.APPROVE)
        told = await job
    assert "What was approved is not what would run, so nothing was done." in (
        told.output if isinstance(told, CodeResult) else told.reason
    )
    assert getattr(told, "exit_code", 1) == 1 and not getattr(told, "approved", False)
    assert not log(house)
