"""The gate for code that agents write.

Code is shown whole and runs after consent, exactly as shown and at most once; its output is recorded.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from autogen_agentchat.agents import ApprovalRequest, ApprovalResponse, CodeExecutorAgent
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult
from autogen_ext.code_executors.local import LocalCommandLineCodeExecutor

from countersign.domain.activity import LINE
from countersign.domain.calls import blocks_in, code_in
from countersign.domain.errors import ActionFailed, CountersignError, LeaseLost, OutcomeUnknown
from countersign.domain.events import escape_marks
from countersign.domain.json_arguments import written
from countersign.domain.made_files import LARGEST, MadeFile
from countersign.domain.redaction import hide
from countersign.domain.requests import Kind
from countersign.frameworks.autogen.code.executors import LocalExecutor
from countersign.frameworks.autogen.code.output_files import Listing, folder_of, listed, made_since
from countersign.frameworks.autogen.tools.approval_gate import Gate
from countersign.frameworks.autogen.tools.permits import Denial, Permit, ProposedAction
from countersign.frameworks.autogen.tools.team_policy import Ask
from countersign.frameworks.autogen.tools.workbenches import mark_asking
from countersign.frameworks.autogen.unknown_outcomes import Effects
from countersign.runs.entries import Entry, whole
from countersign.runs.run_journal import RunJournal

TOOL: Final = "run code"
UNBOXED: Final = "Runs directly on the agents' machine, without a sandbox."
NOT_OURS: Final = "Runs in an executor of the team's own, and what it returns is not recorded."
_LET: Final = "let through"
_OUTPUT: Final = "output.txt"
_BLOCKS: Final = json.dumps(
    {
        "type": "object",
        "properties": {
            "blocks": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"code": {"type": "string"}, "language": {"type": "string"}},
                    "required": ["code", "language"],
                },
            }
        },
        "required": ["blocks"],
    },
    sort_keys=True,
)
"""The schema of code's arguments: with it, reviewers may change the code."""
RAN: Final = "Ran to its end."
"""Begins what is said of code that ended well."""


async def approved_by_the_executor(request: ApprovalRequest) -> ApprovalResponse:
    """Approve the code; the `GatedExecutor` asks people itself."""
    return ApprovalResponse(approved=True, reason="The executor asks people before it runs anything.")


class NotRun(CodeResult):
    """The result of code that was not allowed to run; its output says why.

    Compare the class, not the text: code can print the same.
    """


class GatedExecutor(CodeExecutor):
    """A code executor behind the gate; each execution happens at most once in a run.

    A refused execution is a result with exit code 1, and the text for the model as its output.
    """

    def __init__(self, agent: str, executor: CodeExecutor, gate: Gate, effects: Effects, ask: Ask) -> None:
        self._agent = agent
        self._executor = executor
        self._gate = gate
        self._effects = effects
        self._journal = gate.held.journal
        self._ask = ask
        self._started = False

    async def execute_code_blocks(
        self, code_blocks: Sequence[CodeBlock], cancellation_token: CancellationToken
    ) -> CodeResult:
        """Return the recorded or new output, or the reason why nothing ran."""
        # Executors read `SH` as `sh`.
        blocks = [{"language": block.language.strip().lower(), "code": block.code} for block in code_blocks]
        try:
            unboxed = isinstance(self._executor, LocalExecutor | LocalCommandLineCodeExecutor)
            action = _action(self._agent, blocks, self._ask, UNBOXED if unboxed else "", schema=_BLOCKS)
            return await self._journal.call(self._agent, self._judged(action), TOOL, action.arguments)
        except (ActionFailed, ValueError) as failure:
            return CodeResult(exit_code=1, output=str(failure))
        except CountersignError as error:
            self._gate.held.abort(error)
            return CodeResult(exit_code=1, output=str(error))

    async def _judged(self, action: ProposedAction) -> CodeResult:
        async with self._gate.judged(action) as verdict:
            if isinstance(verdict, Denial):
                return NotRun(exit_code=1, output=verdict.text)
            result = await self._run(verdict)
            heading = self._gate.done(verdict, result.output, failed=result.exit_code != 0)
            return CodeResult(exit_code=result.exit_code, output=f"{heading}\n{result.output}") if heading else result

    async def _run(self, permit: Permit) -> CodeResult:
        once = permit.request.id if permit.request is not None else permit.arguments
        key = self._journal.key("tool", self._agent, TOOL, once)

        async def act(attempt: str) -> str:
            arguments = json.loads(permit.arguments)
            permit.check(TOOL, arguments)
            blocks = [CodeBlock(code=block["code"], language=block["language"]) for block in arguments["blocks"]]
            files: Listing | None = None
            try:
                await self.start()
                files = await asyncio.to_thread(listed, folder_of(self._executor))
                result = await self._executor.execute_code_blocks(blocks, CancellationToken())
            except (OutcomeUnknown, LeaseLost, ActionFailed):
                raise
            except TimeoutError:
                result = CodeResult(exit_code=124, output="The code took too long and was ended.")
            except Exception as error:
                result = CodeResult(exit_code=1, output=str(error) or type(error).__name__)
            await self._attach(files, blocks, result.output)
            return json.dumps({"exit_code": result.exit_code, "output": whole(result.output)})

        shown = f"{drawn(json.loads(permit.arguments))}\n\nfor {self._agent}"
        about = hide(escape_marks(shown))[0]
        decided = self._gate.decided(permit, _read)
        return _result(await self._effects.once(TOOL, about, key, act, idempotent=False, decided=decided))

    async def _attach(self, files: Listing | None, blocks: Sequence[CodeBlock], output: str) -> None:
        """Attach what the code made, and output that no line of progress shows."""
        code = [block.code for block in blocks]
        made, left = await asyncio.to_thread(made_since, folder_of(self._executor), files, code)
        if len(output) > LINE or "\n" in output.strip():
            made.append(MadeFile(_OUTPUT, output.encode(errors="replace")[-LARGEST:]))
        await self._gate.attach(made, left)

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
    agent: str, gate: Gate, effects: Effects, ask: Ask
) -> Callable[[ApprovalRequest], Awaitable[ApprovalResponse]]:
    """Make an `approval_func` for an executor that is not journaled.

    Only the approval is recorded. In a rebuilt run nobody knows whether the code ran, so people are asked.
    """
    journal = gate.held.journal

    async def approve(request: ApprovalRequest) -> ApprovalResponse:
        try:
            action = _action(agent, [{"language": "", "code": request.code}], ask, NOT_OURS)
            return await journal.call(agent, judged(action, request.code), TOOL, request.code)
        except (ActionFailed, ValueError) as failure:
            return ApprovalResponse(approved=False, reason=str(failure))
        except CountersignError as error:
            gate.held.abort(error)
            return ApprovalResponse(approved=False, reason=str(error))

    async def judged(action: ProposedAction, code: str) -> ApprovalResponse:
        async with gate.judged(action) as verdict:
            if isinstance(verdict, Denial):
                return ApprovalResponse(approved=False, reason=verdict.text)
            return await let_through(verdict, code)

    async def let_through(permit: Permit, code: str) -> ApprovalResponse:
        permit.check(TOOL, {"blocks": [{"language": "", "code": code}]})
        key = journal.key("tool", agent, TOOL, permit.request.id if permit.request else permit.arguments)
        gate.deliver(permit)
        shown = f"{hide(escape_marks(code))[0]}\n\nfor {agent}"
        answer = await effects.settled(TOOL, shown, key, lambda now, _: _let(journal, now))
        if answer == _LET:
            return ApprovalResponse(approved=True, reason="Approved as it was shown.")
        return ApprovalResponse(approved=False, reason=f"It ran before and is not run again. It returned:\n{answer}")

    mark_asking(approve)
    return approve


class CodeAgent(CodeExecutorAgent):
    """A code executor agent whose refusals reach the model as people wrote them (R16).

    Make it with `CodeAgent("runner", run.executor("coder", code_executor(folder)))`.
    """

    def __init__(self, name: str, executor: GatedExecutor, **more: Any) -> None:
        super().__init__(name, executor, approval_func=approved_by_the_executor, **more)

    async def execute_code_block(
        self, code_blocks: list[CodeBlock], cancellation_token: CancellationToken
    ) -> CodeResult:
        result = await self._code_executor.execute_code_blocks(code_blocks, cancellation_token)
        if not isinstance(result, NotRun):
            ended = RAN if result.exit_code == 0 else f"Ended with exit code {result.exit_code}."
            result.output = f"{ended} Output:\n{result.output.strip() or '(nothing)'}"
        return result


def drawn(arguments: dict[str, Any]) -> str:
    """Draw the blocks in order, each whole, below a line with its language."""
    return code_in(arguments) or ""


def _action(agent: str, blocks: list[dict[str, str]], ask: Ask, note: str, *, schema: str = "") -> ProposedAction:
    arguments = written({"blocks": blocks})
    normalize = partial(_checked_edit, [block["language"] for block in blocks])
    notes = (note,) if note else ()
    return ProposedAction(
        agent, TOOL, arguments, ask, (TOOL,), Kind.CODE, schema, drawn, notes=notes, normalize=normalize
    )


def _checked_edit(languages: list[str], arguments: str) -> str:
    """Check a reviewer's edit: only the code inside the blocks may change.

    ValueError otherwise.
    """
    blocks = blocks_in(json.loads(arguments)) or []
    if [language for language, _ in blocks] != languages or not all(text.strip() for _, text in blocks):
        raise ValueError("The code was changed into something that cannot run, so nothing was done.")
    return arguments


async def _let(journal: RunJournal, key: str) -> str:
    entry = await journal.replayed(key)
    if entry is None:
        async with journal.executing(key):
            await journal.record_ended_turns()
            await journal.record(key, Entry("started", at=(await journal.now()).isoformat()))
        return _LET
    if entry.state == "done":
        return entry.value
    raise OutcomeUnknown(
        "Code was let through to the team's own executor, and then the run lost its process: nobody knows whether it "
        "ran."
    )


def _read(recorded: str) -> tuple[str, bool]:
    result = _result(recorded)
    return result.output, result.exit_code != 0


def _result(recorded: str) -> CodeResult:
    """Read the recorded result, or what people say of an unknown outcome."""
    try:
        value = json.loads(recorded)
        return CodeResult(exit_code=int(value["exit_code"]), output=str(value["output"]))
    except (ValueError, TypeError, KeyError):
        return CodeResult(exit_code=0, output=recorded)
