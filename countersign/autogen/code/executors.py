"""The gate for code that agents write.

Code is shown whole and runs after consent, exactly as shown and at most once; its output is recorded."""

import contextlib
import importlib
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from autogen_agentchat.agents import ApprovalRequest, ApprovalResponse
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult
from autogen_ext.code_executors.local import LocalCommandLineCodeExecutor

from countersign.autogen.code.local_executor import LocalExecutor
from countersign.autogen.tools.approval_gate import Gate
from countersign.autogen.tools.permits import Denial, Once, Permit, Wanted, written
from countersign.autogen.tools.policies import Ask
from countersign.autogen.tools.workbenches import mark_asking
from countersign.domain.errors import ActionFailed, CountersignError, LeaseLost, OutcomeUnknown
from countersign.domain.event_data import told_apart
from countersign.domain.redaction import hide
from countersign.domain.requests import Kind
from countersign.replay.entries import Entry, whole
from countersign.replay.journal import RunJournal

TOOL: Final = "run code"
UNBOXED: Final = "Runs directly on the worker's machine, without a sandbox."
NOT_OURS: Final = "Runs in an executor of the team's own, and what it returns is not recorded."
_LET: Final = "let through"
WITHIN: Final = timedelta(minutes=1)
"""How long code may run, unless the team says otherwise."""


def code_executor(work_dir: Path, *, within: timedelta = WITHIN) -> CodeExecutor:
    """An executor in Docker where there is one, else on the worker's machine, which the card then says."""
    seconds = max(1, int(within.total_seconds()))
    work_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(Exception):  # no package, no daemon, no permission: all of them mean no Docker
        client = importlib.import_module("docker").from_env(timeout=2)
        try:
            client.ping()
        finally:
            client.close()
        boxed: CodeExecutor = importlib.import_module(
            "autogen_ext.code_executors.docker"
        ).DockerCommandLineCodeExecutor(work_dir=work_dir, timeout=seconds)
        return boxed
    return LocalExecutor(work_dir, within)


async def approved_by_the_executor(request: ApprovalRequest) -> ApprovalResponse:
    """The `approval_func` beside a `GatedExecutor`, which asks people itself: with another one they are asked twice."""
    return ApprovalResponse(approved=True, reason="The executor asks people before it runs anything.")


class NotRun(CodeResult):
    """Of code that was not allowed to run; its output says why. What code prints itself can say the same."""


class GatedExecutor(CodeExecutor):
    """A code executor of which each execution passes the gate and happens at most once in the life of a run.

    `failed` is told what makes going on impossible. What was refused is a result with exit code 1 and the text for the
    model as its output.
    """

    def __init__(
        self,
        agent: str,
        executor: CodeExecutor,
        gate: Gate,
        journal: RunJournal,
        once: Once,
        failed: Callable[[Exception], None],
        ask: Ask,
    ) -> None:
        self._agent = agent
        self._executor = executor
        self._gate = gate
        self._journal = journal
        self._once = once
        self._failed = failed
        self._ask = ask
        self._started = False

    async def execute_code_blocks(
        self, code_blocks: Sequence[CodeBlock], cancellation_token: CancellationToken
    ) -> CodeResult:
        """The recorded output, that of this execution, or why there was none."""
        # Executors read `SH` as `sh`.
        blocks = [{"language": block.language.strip().lower(), "code": block.code} for block in code_blocks]
        try:
            unboxed = isinstance(self._executor, LocalExecutor | LocalCommandLineCodeExecutor)
            wanted = _wanted(self._agent, blocks, self._ask, UNBOXED if unboxed else "")
            with self._journal.calling(self._agent):
                return await self._judged(wanted)
        except (ActionFailed, ValueError) as failure:
            return CodeResult(exit_code=1, output=str(failure))
        except CountersignError as error:
            self._failed(error)
            return CodeResult(exit_code=1, output=str(error))

    async def _judged(self, wanted: Wanted) -> CodeResult:
        async with self._gate.judged(wanted) as verdict:
            if isinstance(verdict, Denial):
                return NotRun(exit_code=1, output=verdict.text)
            result = await self._run(verdict)
            self._gate.done(verdict, result.output, failed=result.exit_code != 0)
            return result

    async def _run(self, permit: Permit) -> CodeResult:
        once = permit.request.id if permit.request is not None else permit.arguments
        key = self._journal.key("tool", self._agent, TOOL, once)
        if self._journal.found(key) is None:
            await self._gate.passed(permit)

        async def act(attempt: str) -> str:
            arguments = json.loads(permit.arguments)
            permit.check(TOOL, arguments)
            blocks = [CodeBlock(code=block["code"], language=block["language"]) for block in arguments["blocks"]]
            try:
                await self.start()
                result = await self._executor.execute_code_blocks(blocks, CancellationToken())
            except (OutcomeUnknown, LeaseLost, ActionFailed):
                raise
            except TimeoutError:
                result = CodeResult(exit_code=124, output="The code took too long and was ended.")
            except Exception as error:
                result = CodeResult(exit_code=1, output=str(error) or type(error).__name__)
            return json.dumps({"exit_code": result.exit_code, "output": whole(result.output)})

        shown = f"{drawn(json.loads(permit.arguments))}\n\nfor {self._agent}"
        return _result(await self._once(TOOL, hide(told_apart(shown))[0], key, act, idempotent=False))

    async def start(self) -> None:
        """Start what runs the code, the first time."""
        if not self._started:
            await self._executor.start()
            self._started = True

    async def stop(self) -> None:
        if self._started:
            self._started = False
            await self._executor.stop()

    async def restart(self) -> None:
        if self._started:
            await self._executor.restart()


def approval_func(
    agent: str,
    gate: Gate,
    journal: RunJournal,
    doubted: Callable[[str, str, str, Callable[[str], Awaitable[str]]], Awaitable[str]],
    failed: Callable[[Exception], None],
    ask: Ask,
) -> Callable[[ApprovalRequest], Awaitable[ApprovalResponse]]:
    """For an executor that is not journaled: it is recorded only that its code was let through.

    When the run is rebuilt nobody knows whether that code ran, and people are asked (`doubted`: `Doubts.once`).
    """

    async def approve(request: ApprovalRequest) -> ApprovalResponse:
        try:
            wanted = _wanted(agent, [{"language": "", "code": request.code}], ask, NOT_OURS)
            with journal.calling(agent):
                return await judged(wanted, request.code)
        except (ActionFailed, ValueError) as failure:
            return ApprovalResponse(approved=False, reason=str(failure))
        except CountersignError as error:
            failed(error)
            return ApprovalResponse(approved=False, reason=str(error))

    async def judged(wanted: Wanted, code: str) -> ApprovalResponse:
        async with gate.judged(wanted) as verdict:
            if isinstance(verdict, Denial):
                return ApprovalResponse(approved=False, reason=verdict.text)
            return await let_through(verdict, code)

    async def let_through(permit: Permit, code: str) -> ApprovalResponse:
        permit.check(TOOL, {"blocks": [{"language": "", "code": code}]})
        key = journal.key("tool", agent, TOOL, permit.request.id if permit.request else permit.arguments)
        if journal.found(key) is None:
            await gate.passed(permit)
        told = await doubted(TOOL, f"{hide(told_apart(code))[0]}\n\nfor {agent}", key, lambda this: _let(journal, this))
        if told == _LET:
            return ApprovalResponse(approved=True, reason="Approved as it was shown.")
        return ApprovalResponse(approved=False, reason=f"It ran before and is not run again. It returned:\n{told}")

    mark_asking(approve)
    return approve


def drawn(arguments: dict[str, Any]) -> str:
    """The blocks one after the other, each whole, behind a line with its language."""
    blocks = arguments["blocks"]
    many = len(blocks) > 1
    heads = [
        f"Block {n} of {len(blocks)}, {b['language'] or 'code'}:" if many else f"{b['language'] or 'code'}:"
        for n, b in enumerate(blocks, 1)
    ]
    return "\n\n".join(f"{head}\n\n{block['code']}" for head, block in zip(heads, blocks, strict=True))


def _wanted(agent: str, blocks: list[dict[str, str]], ask: Ask, note: str) -> Wanted:
    arguments = written({"blocks": blocks})
    return Wanted(agent, TOOL, arguments, ask, (TOOL,), Kind.CODE, show=drawn, notes=(note,) if note else ())


async def _let(journal: RunJournal, key: str) -> str:
    entry = await journal.again(key)
    if entry is None:
        async with journal.live(key):
            await journal.mark()
            await journal.record(key, Entry("started", at=(await journal.now()).isoformat()))
        return _LET
    if entry.state == "done":
        return entry.value
    raise OutcomeUnknown(
        "Code was let through to the team's own executor, and then the run lost its process: nobody knows whether it "
        "ran."
    )


def _result(found: str) -> CodeResult:
    """What was recorded; or a person's words about an execution that nobody knew the end of."""
    try:
        value = json.loads(found)
        return CodeResult(exit_code=int(value["exit_code"]), output=str(value["output"]))
    except (ValueError, TypeError, KeyError):
        return CodeResult(exit_code=0, output=found)
