"""Code that agents write: seen whole, run once, its output given back."""

import asyncio
import contextlib
import inspect
import secrets
import sys
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any, cast

import autogen_ext
import pytest
from autogen_agentchat.agents import ApprovalRequest
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult

from countersign.domain.actions import Action
from countersign.domain.activity import ActionReport
from countersign.domain.calls import canonical
from countersign.domain.requests import Kind, Request, Verb
from countersign.domain.run_calls import R, Report, RunCall
from countersign.frameworks.autogen.code.executors import LocalExecutor, code_executor
from countersign.frameworks.autogen.code.gated_executor import UNBOXED
from countersign.frameworks.autogen.run_context import Run
from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from countersign.store.record_codecs import REQUESTS
from countersign.usecases.ports import Lease
from tests.autogen.harness import House, Through, fact
from tests.autogen.test_gated_tools import life

pytest_plugins = ["tests.redis_server"]

BLOCKS = [CodeBlock(code="echo one >> log\ncat log", language="sh"), CodeBlock(code="print('two')", language="python")]


def local(house: House, seconds: float = 20) -> CodeExecutor:
    return LocalExecutor(house.folder / "code", timedelta(seconds=seconds))


def executing(run: Run, executor: CodeExecutor, blocks: list[CodeBlock], **more: Any) -> asyncio.Task[CodeResult]:
    gated = run.executor("coder", executor, **more)
    return asyncio.create_task(gated.execute_code_blocks(blocks, CancellationToken()))


def log(house: House) -> list[str]:
    path = Path(house.folder / "code" / "log")
    return path.read_text().split() if path.exists() else []


async def reported_in(house: House) -> tuple[ActionReport, ...] | None:
    """Return the outcomes that the cards show, once there are any: they are written while the agent goes on."""
    return (await house.run()).reported or None


async def test_code_is_shown_whole_and_runs_once_when_approved(house: House) -> None:
    """R13, R4: and a rebuilt run does not run it again."""
    await house.start()
    for life_ in range(2):
        async with life(house) as run:
            job = executing(run, local(house), BLOCKS)
            if life_ == 0:
                request = await house.asked()
                assert (request.question.kind, request.question.title) == (Kind.CODE, "Run this code")
                assert request.question.content == (
                    "Block 1 of 2, sh:\n\necho one >> log\ncat log\n\nBlock 2 of 2, python:\n\nprint('two')"
                )
                assert request.question.notes == (UNBOXED,)
                assert not log(house)
                await house.decide(request, Verb.APPROVE)
            result = await job
            assert (result.exit_code, result.output.split()) == (0, ["one", "two"])
            assert [(one.failed, one.words) for one in (await fact(partial(reported_in, house)))] == [(False, "")]
            await run.close()
    assert log(house) == ["one"]


async def test_edited_code_runs_as_the_reviewer_wrote_it(house: House) -> None:
    """R13, R18: once, in a rebuilt run too, and the agent reads what was changed."""
    changed = canonical(
        {"blocks": [{"language": "sh", "code": "echo three >> log"}, {"language": "python", "code": "print('four')"}]}
    )
    await house.start()
    for life_ in range(2):
        async with life(house) as run:
            job = executing(run, local(house), BLOCKS)
            if life_ == 0:
                await house.decide(await house.asked(), Verb.EDIT, arguments=changed)
            result = await job
            assert result.output.startswith("DECISION: CODE APPROVED WITH CHANGES (")
            assert "-echo one >> log" in result.output and "+echo three >> log" in result.output
            assert result.output.endswith("The result of the changed call:\nfour\n")
            await run.close()
    assert log(house) == ["three"]


@pytest.mark.parametrize(
    "blocks",
    [
        [("sh", "echo five >> log")],
        [("python", "print()"), ("python", "")],
        [("sh", "echo five >> log"), ("sh", "echo six >> log")],
    ],
)
async def test_code_edited_beyond_the_form_does_not_run(house: House, blocks: list[tuple[str, str]]) -> None:
    """R13: other blocks, languages, or none, as no window offers them."""
    changed = canonical({"blocks": [{"language": language, "code": text} for language, text in blocks]})
    await house.start()
    async with life(house) as run:
        job = executing(run, local(house), BLOCKS)
        await house.decide(await house.asked(), Verb.EDIT, arguments=changed)
        result = await job
    assert (result.exit_code, log(house)) == (1, [])
    assert "nothing was done" in result.output


def living(argument: str) -> list[Path]:
    """The processes with this argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [path] if argument.encode() in path.read_bytes().split(b"\0") else []
    return found


LEFT_BEHIND = {
    "in the background": CodeBlock("sleep SECONDS &", "sh"),
    "in a session of its own": CodeBlock("setsid sleep SECONDS &", "sh"),
    "deaf": CodeBlock("(trap '' TERM HUP INT; nohup sleep SECONDS) &", "sh"),
    "forked twice": CodeBlock(
        "import os\nif not os.fork():\n    os.setsid()\n    if not os.fork():\n"
        "        os.execvp('sleep', ['sleep', 'SECONDS'])\n    os._exit(0)\nos.wait()",
        "python",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems end the group of processes, and no more")
@pytest.mark.parametrize("ends", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["it ends", "it hangs"])
@pytest.mark.parametrize("isolated", [True, False], ids=["ids of its own", "a subreaper"])
@pytest.mark.parametrize("left", LEFT_BEHIND)
async def test_processes_started_by_code_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str, isolated: bool, ends: bool
) -> None:
    monkeypatch.setattr("countersign.frameworks.autogen.code.executors.ISOLATE", isolated)
    seconds = f"600.{secrets.randbelow(10**9)}"
    block = LEFT_BEHIND[left]
    blocks = [CodeBlock(block.code.replace("SECONDS", seconds), block.language)]
    if not ends:
        wait = {"sh": "\nsleep SECONDS", "python": "\nos.execvp('sleep', ['sleep', 'SECONDS'])"}[block.language]
        blocks = [CodeBlock(blocks[0].code + wait.replace("SECONDS", seconds), block.language)]
    blocks.append(CodeBlock("echo next", "sh"))
    executor = LocalExecutor(tmp_path, timedelta(seconds=60 if ends else 1))
    result = await executor.execute_code_blocks(blocks, CancellationToken())
    assert (result.exit_code, "next" in result.output) == ((0, True) if ends else (124, False)), result.output
    assert ends or "took longer than 1 seconds" in result.output
    assert living(seconds) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives processes ids of their own")
async def test_code_in_a_pid_namespace_cannot_see_its_supervisor(tmp_path: Path) -> None:
    """So it cannot get rid of it. Nothing is killed here: past the supervisor that would be anybody's process."""
    code = CodeBlock("echo $$ $PPID; ls -d /proc/[0-9]* | wc -l", "sh")
    result = await LocalExecutor(tmp_path, timedelta(seconds=60)).execute_code_blocks([code], CancellationToken())
    own, parent, seen = map(int, result.output.split())
    if own > 100:
        pytest.skip("this system gives no process ids of their own")
    assert (own, parent) == (2, 1)
    assert seen < 10


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_code_ends_when_its_worker_is_killed(tmp_path: Path) -> None:
    seconds = f"600.{secrets.randbelow(10**9)}"
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, sys\nfrom datetime import timedelta\nfrom pathlib import Path\n"
        "from autogen_core import CancellationToken\nfrom autogen_core.code_executor import CodeBlock\n"
        "from countersign.frameworks.autogen.code.executors import LocalExecutor\n"
        "blocks = [CodeBlock(f'setsid sleep {sys.argv[2]} & sleep {sys.argv[2]}', 'sh')]\n"
        "executor = LocalExecutor(Path(sys.argv[1]), timedelta(hours=1))\n"
        "asyncio.run(executor.execute_code_blocks(blocks, CancellationToken()))\n",
        str(tmp_path),
        seconds,
    )

    async def two() -> bool | None:
        return len(living(seconds)) >= 3 or None  # the two, and the worker, which has it as an argument

    async def none() -> bool | None:
        return not living(seconds) or None

    await fact(two, within=120)
    worker.kill()
    await worker.wait()
    await fact(none, within=120)


async def test_approved_code_ignores_other_files_and_reads_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R13: no file can be changed under it or stand for a module of Python's, and no secret of the worker is there."""
    monkeypatch.setenv("REDIS_URL", "redis://:s3cr3t@localhost")
    monkeypatch.setenv("OPENAI_API_KEY", "s3cr3t")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "json.py").write_text("print('not Python's own')")
    (tmp_path / "mine.py").write_text("WORD = 'mine'")
    blocks = [
        CodeBlock('ls -A; echo "echo changed" >> "$0"; env\necho same', "sh"),
        CodeBlock("import json, os\nfrom mine import WORD\nprint(json.dumps([*os.environ.values(), WORD]))", "python"),
    ]
    result = await LocalExecutor(tmp_path, timedelta(seconds=60)).execute_code_blocks(blocks, CancellationToken())
    lines = result.output.splitlines()
    assert (result.exit_code, lines[:2]) == (0, ["json.py", "mine.py"]), result.output
    assert "same" in lines and "changed" not in lines
    assert '"mine"]' in lines[-1]
    assert "s3cr3t" not in result.output and "not Python" not in result.output


async def test_long_output_is_cut_and_named_blocks_are_kept(house: House) -> None:
    """A block with a file name stays for later blocks."""
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


def test_missing_docker_falls_back_to_the_local_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert isinstance(code_executor(tmp_path / "code"), LocalExecutor)


def test_docker_executor_gets_the_arguments_autogen_accepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S18: by AutoGen's own source, which cannot be imported without the extra; nothing here runs in a container."""
    given: dict[str, Any] = {}
    engine = SimpleNamespace(ping=lambda: True, close=lambda: None)
    theirs = SimpleNamespace(DockerCommandLineCodeExecutor=given.update)
    monkeypatch.setitem(sys.modules, "docker", SimpleNamespace(from_env=lambda timeout: engine))
    monkeypatch.setitem(sys.modules, "autogen_ext.code_executors.docker", theirs)
    code_executor(tmp_path / "code", within=timedelta(seconds=7))
    assert given == {"work_dir": tmp_path / "code", "timeout": 7}

    (package,) = map(Path, autogen_ext.__path__)
    source = package / "code_executors" / "docker" / "_docker_code_executor.py"
    module = compile(source.read_text(), source.name, "exec")
    methods = _inside(_inside(module)["DockerCommandLineCodeExecutor"])
    begins = methods["__init__"]
    assert given.keys() <= {*begins.co_varnames[: begins.co_argcount + begins.co_kwonlyargcount]}
    for name in ("start", "stop", "restart", "execute_code_blocks"):
        assert methods[name].co_flags & inspect.CO_COROUTINE, name


def _inside(code: CodeType) -> dict[str, CodeType]:
    return {const.co_name: const for const in code.co_consts if isinstance(const, CodeType)}


async def test_failing_code_is_a_result(house: House) -> None:
    """So is a language without an interpreter."""
    await house.start()
    async with life(house) as run:
        assert (await executing(run, local(house), [CodeBlock("exit 3", "sh")], ask=False)).exit_code == 3
        unknown = await executing(run, local(house), [CodeBlock("10 GOTO 10", "basic")], ask={"run code": Action.ALLOW})
        assert unknown.exit_code != 0
        assert "basic" in unknown.output
    told = [event for event in await house.events() if event["type"] == "call_passed"]
    assert [event["tool"] for event in told] == ["run code", "run code"]


class Unheard(Through):
    """Loses each report, as a process does that dies before it."""

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        return cast(R, None) if isinstance(call, Report) else await super().call(lease, call)


async def test_interrupted_code_is_in_doubt_and_not_repeated(house: House) -> None:
    """R4: nobody knows whether it ran."""
    await house.start()
    house.service = Unheard(house.service)
    async with life(house) as run:
        job = executing(run, local(house), BLOCKS)
        await house.decide(await house.asked(), Verb.APPROVE)
        await job
        # What a process leaves behind that dies between "started" and the result.
        [key] = [key for key in await RedisJournal(house.area).entries(run.run.id) if key.startswith("tool/")]
        await run._journal.record(key, Entry("started"), replace=True)
    async with life(house) as run:
        job = executing(run, local(house), BLOCKS)
        doubt = await house.asked()
        assert doubt.question.kind is Kind.IN_DOUBT
        assert "echo one >> log" in doubt.question.content
        await house.decide(doubt, Verb.RESPOND, "one\ntwo")
        assert (await job) == CodeResult(exit_code=0, output="one\ntwo")
    assert log(house) == ["one"]


async def test_custom_executor_is_permitted_once_and_doubted_after_crash(house: House) -> None:
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


async def test_custom_executor_reads_the_rejections_reason(house: House) -> None:
    """R16: in the answer of its `approval_func`."""
    await house.start()
    async with life(house) as run:
        job = asyncio.ensure_future(run.code_approval("coder")(ApprovalRequest(code="rm", context=[])))
        await house.decide(await house.asked(), Verb.REJECT, "no")
        answer = await job
    assert not answer.approved
    assert answer.reason.startswith("DECISION: CODE REJECTED (")


async def tampered(house: House, asked: Request) -> Request:
    """Past all of our own code: other words stand where these did, under the id of what was asked."""
    assert asked.question.call is not None
    seen = await house.store.request(asked.id)
    assert seen is not None
    other = replace(asked.question.call, arguments=asked.question.call.arguments.replace("log", "gol"))
    made = replace(asked, question=replace(asked.question, call=other))
    await house.store.client.set(house.store.keys.request(asked.id), REQUESTS.write(made, seen.version), keepttl=True)
    return made


@pytest.mark.parametrize("door", ["an executor of the run", "an executor of one's own"])
async def test_code_other_than_the_approved_does_not_run(house: House, door: str) -> None:
    """R13: at both doors for code, whatever stands in the store by then."""
    await house.start()
    async with life(house) as run:
        if door == "an executor of the run":
            job: asyncio.Future[Any] = executing(run, local(house), BLOCKS)
        else:
            job = asyncio.ensure_future(run.code_approval("coder")(ApprovalRequest(code="rm log", context=[])))
        asked = await house.asked()
        await house.decide(await tampered(house, asked), Verb.APPROVE)
        told = await job
    assert "What was approved is not what would run, so nothing was done." in (
        told.output if isinstance(told, CodeResult) else told.reason
    )
    assert getattr(told, "exit_code", 1) == 1 and not getattr(told, "approved", False)
    assert not log(house)
