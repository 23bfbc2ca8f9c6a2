"""Calls of tools in frameworks that tell a hook before and after each of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from countersign.client import (
    LONGEST_REPORT,
    AlreadyRan,
    AsyncClient,
    Call,
    Decision,
    NotApproved,
    NotShown,
    QuestionKeys,
    written,
)


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """The answer to a hook before a call.

    `arguments` are those with which the call may run; None if it may not, and then `text` is for the model.
    """

    arguments: dict[str, Any] | None
    text: str = ""


class HookedCalls:
    """The calls of one run: judged before they run, begun once, and reported.

    Without a `run` no other program finds its questions. A call that began, and reported nothing, is asked about again
    unless its tool is in `idempotent`.
    """

    def __init__(self, channel: str, *, run: str, requester: str, idempotent: Collection[str]) -> None:
        self._channel, self._requester, self._idempotent = channel, requester, idempotent
        self._keys = QuestionKeys(run)
        self._begun: dict[str, Decision] = {}

    async def before(
        self, name: str, tool: str, arguments: Mapping[str, Any], *, schema: Mapping[str, Any] | None, note: str = ""
    ) -> CallAnswer:
        """Judge the call of this name, and begin it if it may run."""
        try:
            written(arguments)
        except NotShown as why:
            return CallAnswer(None, str(why))
        call = Call(
            self._channel,
            tool,
            dict(arguments),
            schema,
            notes=[note] if note else (),
            requester=self._requester,
            key=self._keys.next(tool, dict(arguments)),
        )
        async with AsyncClient() as client:
            decision = await client.judge(call)
            try:
                await client.begin(decision, call, idempotent=tool in self._idempotent)
            except (AlreadyRan, NotApproved) as over:
                return CallAnswer(None, str(over))
        self._begun[name] = decision
        return CallAnswer(dict(decision.arguments or {}))

    async def after(self, name: str, *, succeeded: bool, words: str) -> None:
        """Report the outcome of a call that began."""
        if (decision := self._begun.pop(name, None)) is not None:
            async with AsyncClient() as client:
                await client.try_to_report(decision.request, succeeded=succeeded, words=words[:LONGEST_REPORT])
