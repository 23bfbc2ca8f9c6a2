"""Clients for programs: `Client` waits in its thread, `AsyncClient` in its task.

Both have the same methods, and tell a person at the terminal, if there is one, where the card is and why they wait. A
program that asks, acts and reports:

    call = Call("#approvals", "refund", {"order": 17, "euros": 45}, key="refund-17")
    with Client() as client:
        decision = client.judge(call)
        client.perform(decision, call, lambda approved: refund(**approved))
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from threading import Timer
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from countersign.client import approved_actions, connection, exchange, executions
from countersign.client.connection import Address, Reach
from countersign.client.exchange import Act, Decision, Exchange, NotApproved, Send, ServiceReply, Submitted
from countersign.client.open_questions import OnInterrupt, OpenQuestions, note_pause
from countersign.client.questions import Call, Question

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")
R = TypeVar("R")
Outcome = Callable[[Any], tuple[bool, str]]
"""Tells whether a result is a success, and the text of the report."""
_succeeded = exchange.succeeded


class AsyncClient:
    """A client for tasks: `async with AsyncClient() as client`.

    `timeout`: seconds that the service may be away before ServiceRefused (`unreachable`); by default the client waits
    for it. The time for people is a setting of the channel.
    """

    def __init__(self, url: str | None = None, key: str | None = None, *, timeout: float | None = None) -> None:
        import httpcore  # slow to import, and only needed to ask

        self._address = Address.of(url, key, timeout)
        self._pool = httpcore.AsyncConnectionPool(**self._address.pool())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    @overload
    async def ask(
        self,
        channel: str,
        title: str,
        message: str = "",
        *,
        form: type[M],
        requester: str = "",
        key: str | None = None,
        on_interrupt: OnInterrupt | None = None,
    ) -> M: ...

    @overload
    async def ask(
        self,
        channel: str,
        title: str,
        message: str = "",
        *,
        options: Sequence[str] = (),
        several: bool = False,
        edit: bool = False,
        requester: str = "",
        key: str | None = None,
        on_interrupt: OnInterrupt | None = None,
    ) -> Decision: ...

    async def ask(
        self,
        channel: str,
        title: str,
        message: str = "",
        *,
        options: Sequence[str] = (),
        several: bool = False,
        edit: bool = False,
        form: "type[BaseModel] | None" = None,
        requester: str = "",
        key: str | None = None,
        on_interrupt: OnInterrupt | None = None,
    ) -> "Decision | BaseModel":
        """Ask people a question, and wait for their decision.

        The keywords are those of `countersign.ask`, which opens a client for one question. The client keeps waiting if
        the service goes away. ServiceRefused if the service or the workspace's policy refuses the question.

            region = await client.ask("#approvals", "Which region?", options=["eu", "us"])
        """
        asked = Question(channel, title, message, options, several, edit, form, requester=requester, key=key)
        (decision,) = await self._decided(OpenQuestions([asked], on_interrupt, exchange.ask))
        return _answer(decision, form)

    async def judge(self, asked: Call | Question, *, on_interrupt: OnInterrupt | None = None) -> Decision:
        """Ask about a call or a question; a refusal by the policy is a rejection.

        So is a call that people can't be shown: the decision's text tells a model why. `on_interrupt`: whether a
        cancelled wait leaves the request to people ("leave") or takes it back ("withdraw"); by default it is left if it
        has a key.
        """
        (decision,) = await self._decided(OpenQuestions([asked], on_interrupt, exchange.judge))
        return decision

    async def judge_all(
        self, asked: Sequence[Call | Question], *, on_interrupt: OnInterrupt | None = None
    ) -> list[Decision]:
        """Ask several questions at once, and wait for all decisions, in their order.

        Calls of one channel share a card, with a row for each.
        """
        return await self._decided(OpenQuestions(asked, on_interrupt, exchange.judge))

    async def _decided(self, questions: OpenQuestions) -> list[Decision]:
        try:
            return await self._drive(questions.decisions())
        except asyncio.CancelledError:
            await asyncio.shield(self._drive(questions.interrupted()))
            raise

    async def submit(self, asked: Call | Question) -> Submitted:
        """Ask without waiting; return the request's id, and whether it is decided.

        The question needs a key. To get the decision later, ask again with the key, or use `decision`. A question that
        the policy refuses has no id and counts as decided: `judge` returns the reason.
        """
        return await self._drive(exchange.submit(asked.body, asked.key))

    async def decision(self, request: str) -> Decision:
        """Wait until the request of this id is decided."""
        return await self._drive(exchange.wait(request))

    async def pending(self) -> list[str]:
        """List the ids of this key's pending requests."""
        return await self._drive(exchange.pending())

    async def withdraw(self, request: str, why: str) -> None:
        """Withdraw the request of this id, unless it is decided; its card says `why`."""
        await self._drive(exchange.withdraw(request, why, exchange.TRIES_TO_WITHDRAW))

    async def perform(
        self,
        decision: Decision,
        asked: Call | Question,
        function: Callable[[Mapping[str, Any]], Awaitable[R]],
        *,
        idempotent: bool = False,
        outcome: Outcome = _succeeded,
        did_nothing: tuple[type[Exception], ...] = (),
    ) -> R:
        """Perform the approved action once, report its outcome, and return its result.

        `function` gets the approved arguments, with any changes by people. Raises NotApproved and AlreadyRan like
        `begin`; the function is not called then. An exception is reported and raised; after an exception in
        `did_nothing` the action may begin again. `outcome` tells whether a result is a success, and the text of the
        report. If the outcome cannot be reported within about half a minute, that is logged, so that the result is
        still returned.
        """
        call = partial(function, decision.arguments or {})
        act: Act[Any] = Act(call, asked.body, asked.key, idempotent, outcome, did_nothing)
        await self._drive(approved_actions.perform(decision, act))
        result: R = act.over()
        return result

    async def begin(self, decision: Decision, asked: Call | Question, *, idempotent: bool = False) -> str:
        """Begin the approved action, as its only execution; return its name.

        NotApproved if the action may not be done, or if the approved arguments differ from the call's. AlreadyRan if it
        was done before, which only a key can reveal. If an earlier execution has no report, people are asked whether it
        was done, unless the action is `idempotent`. Report the outcome afterwards, or that the execution did nothing
        (`did_nothing`).
        """
        return await self._drive(executions.begin(decision, asked.body, key=asked.key, idempotent=idempotent))

    async def begin_once(self, decision: Decision) -> bool:
        """Begin the approved action; False if it was begun before.

        People are not asked about an earlier execution.
        """
        return await self._drive(executions.begin_once(decision))

    async def did_nothing(self, decision: Decision, execution: str) -> None:
        """Say that this execution, of `begin`, did nothing, so that it may begin again."""
        await self._drive(executions.did_nothing(decision, execution))

    async def report(self, decision: Decision, *, succeeded: bool, words: str = "") -> None:
        """Report the outcome of the action; the card and the record show it."""
        await self._drive(exchange.report(decision.request, succeeded=succeeded, words=words))

    async def try_to_report(self, request: str, *, succeeded: bool, words: str = "") -> bool:
        """Report for half a minute or so; False if the service does not respond."""
        return await self._drive(exchange.try_to_report(request, succeeded=succeeded, words=words))

    async def _drive(self, talk: Exchange[R]) -> R:
        try:
            step, reach = next(talk), Reach(self._address)
            while True:
                reply = ServiceReply(0)
                if isinstance(step, Send):
                    silent = asyncio.get_running_loop().call_later(connection.SILENCE, reach.note_silence, step)
                    try:
                        reply = reach.read(await self._pool.request(**reach.arguments(step)))
                    except connection.failures() as lost:
                        reply = reach.failed(lost)
                    finally:
                        silent.cancel()
                    if over := reach.given_up(reply):
                        step = talk.throw(over)
                        continue
                elif isinstance(step, Act):
                    try:
                        step.result = await step.call()
                    except Exception as error:
                        step.error = error
                else:
                    note_pause(step)
                    await asyncio.sleep(reach.pause(step.seconds))
                step = talk.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result


class Client:
    """A client for threads: `with Client() as client`; `timeout` as for `AsyncClient`."""

    def __init__(self, url: str | None = None, key: str | None = None, *, timeout: float | None = None) -> None:
        import httpcore

        self._address = Address.of(url, key, timeout)
        self._pool = httpcore.ConnectionPool(**self._address.pool())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    @overload
    def ask(
        self,
        channel: str,
        title: str,
        message: str = "",
        *,
        form: type[M],
        requester: str = "",
        key: str | None = None,
        on_interrupt: OnInterrupt | None = None,
    ) -> M: ...

    @overload
    def ask(
        self,
        channel: str,
        title: str,
        message: str = "",
        *,
        options: Sequence[str] = (),
        several: bool = False,
        edit: bool = False,
        requester: str = "",
        key: str | None = None,
        on_interrupt: OnInterrupt | None = None,
    ) -> Decision: ...

    def ask(
        self,
        channel: str,
        title: str,
        message: str = "",
        *,
        options: Sequence[str] = (),
        several: bool = False,
        edit: bool = False,
        form: "type[BaseModel] | None" = None,
        requester: str = "",
        key: str | None = None,
        on_interrupt: OnInterrupt | None = None,
    ) -> "Decision | BaseModel":
        """Ask people a question, and wait in this thread, as `AsyncClient.ask` does."""
        asked = Question(channel, title, message, options, several, edit, form, requester=requester, key=key)
        (decision,) = self._decided(OpenQuestions([asked], on_interrupt, exchange.ask))
        return _answer(decision, form)

    def judge(self, asked: Call | Question, *, on_interrupt: OnInterrupt | None = None) -> Decision:
        """Ask about a call or a question, as `AsyncClient.judge` does; Ctrl-C cancels."""
        (decision,) = self._decided(OpenQuestions([asked], on_interrupt, exchange.judge))
        return decision

    def judge_all(self, asked: Sequence[Call | Question], *, on_interrupt: OnInterrupt | None = None) -> list[Decision]:
        """Ask several questions at once, as `AsyncClient.judge_all` does."""
        return self._decided(OpenQuestions(asked, on_interrupt, exchange.judge))

    def _decided(self, questions: OpenQuestions) -> list[Decision]:
        try:
            return self._drive(questions.decisions())
        except KeyboardInterrupt:
            self._drive(questions.interrupted())
            raise

    def submit(self, asked: Call | Question) -> Submitted:
        """Ask without waiting, as `AsyncClient.submit` does."""
        return self._drive(exchange.submit(asked.body, asked.key))

    def decision(self, request: str) -> Decision:
        """Wait until the request of this id is decided."""
        return self._drive(exchange.wait(request))

    def pending(self) -> list[str]:
        """List the ids of this key's pending requests."""
        return self._drive(exchange.pending())

    def withdraw(self, request: str, why: str) -> None:
        """Withdraw the request of this id, unless it is decided; its card says `why`."""
        self._drive(exchange.withdraw(request, why, exchange.TRIES_TO_WITHDRAW))

    def perform(
        self,
        decision: Decision,
        asked: Call | Question,
        function: Callable[[Mapping[str, Any]], R],
        *,
        idempotent: bool = False,
        outcome: Outcome = _succeeded,
        did_nothing: tuple[type[Exception], ...] = (),
    ) -> R:
        """Perform the approved action once, as `AsyncClient.perform` does."""
        call = partial(function, decision.arguments or {})
        act: Act[Any] = Act(call, asked.body, asked.key, idempotent, outcome, did_nothing)
        self._drive(approved_actions.perform(decision, act))
        result: R = act.over()
        return result

    def begin(self, decision: Decision, asked: Call | Question, *, idempotent: bool = False) -> str:
        """Begin the approved action, as `AsyncClient.begin` does."""
        return self._drive(executions.begin(decision, asked.body, key=asked.key, idempotent=idempotent))

    def begin_once(self, decision: Decision) -> bool:
        """Begin the approved action, as `AsyncClient.begin_once` does."""
        return self._drive(executions.begin_once(decision))

    def did_nothing(self, decision: Decision, execution: str) -> None:
        """Say that this execution, of `begin`, did nothing, so that it may begin again."""
        self._drive(executions.did_nothing(decision, execution))

    def report(self, decision: Decision, *, succeeded: bool, words: str = "") -> None:
        """Report the outcome of the action; the card and the record show it."""
        self._drive(exchange.report(decision.request, succeeded=succeeded, words=words))

    def try_to_report(self, request: str, *, succeeded: bool, words: str = "") -> bool:
        """Report for half a minute or so; False if the service does not respond."""
        return self._drive(exchange.try_to_report(request, succeeded=succeeded, words=words))

    def _drive(self, talk: Exchange[R]) -> R:
        try:
            step, reach = next(talk), Reach(self._address)
            while True:
                reply = ServiceReply(0)
                if isinstance(step, Send):
                    silent = Timer(connection.SILENCE, reach.note_silence, (step,))
                    silent.daemon = True
                    silent.start()
                    try:
                        reply = reach.read(self._pool.request(**reach.arguments(step)))
                    except connection.failures() as lost:
                        reply = reach.failed(lost)
                    finally:
                        silent.cancel()
                    if over := reach.given_up(reply):
                        step = talk.throw(over)
                        continue
                elif isinstance(step, Act):
                    try:
                        step.result = step.call()
                    except Exception as error:
                        step.error = error
                else:
                    note_pause(step)
                    time.sleep(reach.pause(step.seconds))
                step = talk.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result


def _answer(decision: Decision, form: "type[BaseModel] | None") -> "Decision | BaseModel":
    if form is None:
        return decision
    if decision.arguments is None:
        raise NotApproved(decision)
    return form.model_validate(decision.arguments)
