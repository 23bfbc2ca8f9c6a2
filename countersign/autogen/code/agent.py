"""A code executor agent that tells refused code from code that failed."""

from typing import Any, Final

from autogen_agentchat.agents import CodeExecutorAgent
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeResult

from countersign.autogen.code.gated_executor import GatedExecutor, NotRun, approved_by_the_executor

RAN: Final = "Ran to its end."
"""Begins what is said of code that ended well."""


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
