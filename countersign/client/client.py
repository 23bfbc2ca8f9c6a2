"""Clients for programs: `Client` waits in its thread, `AsyncClient` in its task.

Both say at the terminal, if there is one, where the card is and why they wait.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from threading import Timer
from typing import Any, Self, TypeVar

from countersign.client import approved_actions, connection, exchange, executions
from countersign.client.connection import Address, Reach
from countersign.client.exchange import Act, Decision, Exchange, Send, ServiceReply
from countersign.client.open_questions import OnInterrupt, OpenQuestions, Question, note_pause

R = TypeVar("R")


def question(
    channel: str = "",
    title: str = "",
    message: str = "",
    *,
    call: Mapping[str, Any] | None = None,
    form: Mapping[str, Any] | None = None,
    callback_url: str = "",
    options: Sequence[str] = (),
    several: bool = False,
    edit: bool = False,
    notes: Sequence[str] = (),
    agent: str = "",
    task: str = "",
    requester: str = "",
) -> dict[str, Any]:
    """Make the body of a question; what is empty is left out.

    A call needs no title: the service makes one of its tool and arguments.
    `edit`: people may change the message, and `Decision.message` is the one that may be used.
    """
    body: dict[str, Any] = {
        "channel": channel,
        "title": title or ("" if call else (message.strip().splitlines() or ["A question"])[0][:300]),
        "message": message,
        "call": call,
        "form": form,
        "callback_url": callback_url,
        "options": list(options),
        "several": several,
        "edit": edit,
        "notes": list(notes),
        "agent": agent,
        "task": task,
        "requester": requester,
    }
    return {name: value for name, value in body.items() if value}


class AsyncClient:
    """A client for tasks: `async with AsyncClient() as client`.

    `timeout`: seconds that the service may be away before ServiceRefused (`unreachable`); by default it is waited for.
    How long people have is a setting of the channel.
    """

    def __init__(self, url: str | None = None, key: str | None = None, *, timeout: float | None = None) -> None:
        import httpcore  # only who asks needs it, which takes as long as all the rest here

        self._address = Address.of(url, key, timeout)
        self._pool = httpcore.AsyncConnectionPool(**self._address.pool())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def ask(
        self, body: Mapping[str, Any], *, key: str | None = None, on_interrupt: OnInterrupt | None = None
    ) -> Decision:
        """Ask people and wait for their decision, even if the service goes away meanwhile.

        `key`: the same key again is the same request, so a program that died finds it. `on_interrupt`: whether
        a cancelled wait leaves the request to people ("leave") or takes it back ("withdraw"); by default it is left if
        a key of your own finds it again.
        ServiceRefused if the service refuses the question.
        """
        (decision,) = await self._decided(OpenQuestions([(body, key)], on_interrupt, exchange.ask))
        return decision

    async def judge(
        self, body: Mapping[str, Any], *, key: str | None = None, on_interrupt: OnInterrupt | None = None
    ) -> Decision:
        """Ask people as `ask` does; what the workspace's policy refuses is rejected."""
        (decision,) = await self._decided(OpenQuestions([(body, key)], on_interrupt, exchange.judge))
        return decision

    async def judge_all(self, questions: Sequence[Question]) -> list[Decision]:
        """Ask people several questions at once, each with its key, as `judge` does."""
        return await self._decided(OpenQuestions(questions, None, exchange.judge))

    async def _decided(self, questions: OpenQuestions) -> list[Decision]:
        try:
            return await self._drive(questions.decisions())
        except asyncio.CancelledError:
            await asyncio.shield(self._drive(questions.interrupted()))
            raise

    async def begin(
        self,
        decision: Decision,
        body: Mapping[str, Any],
        *,
        key: str | None,
        idempotent: bool = False,
    ) -> str:
        """Begin the approved action, as its only execution; return its name.

        `body` and `key` are those of the question; without a key nobody else finds it. NotApproved if it may not be
        done. AlreadyRan if it was done before; people are asked about an execution that reported nothing, unless the
        action is `idempotent`.
        """
        return await self._drive(executions.begin(decision, body, key=key, idempotent=idempotent))

    async def begin_once(self, decision: Decision) -> bool:
        """Begin what was approved; False if it was begun before.

        Nobody is asked about the execution before.
        """
        return await self._drive(executions.begin_once(decision))

    async def perform(self, decision: Decision, act: Act[Awaitable[R]]) -> R:
        """Do the approved action, as `begin` allows it, and return the result.

        The outcome is reported, also an exception, which is raised. An outcome that cannot be reported within half a
        minute or so is logged, so that it hides no result.
        """
        await self._drive(approved_actions.perform(decision, act))
        result: R = act.over()
        return result

    async def submit(self, body: Mapping[str, Any], *, key: str) -> tuple[str, bool]:
        """Ask people without waiting; return the request's id, and whether it is decided."""
        return await self._drive(exchange.submit(body, key))

    async def withdraw(self, request: str, why: str) -> None:
        """Withdraw the request of this id, unless it is decided; its card says `why`."""
        await self._drive(exchange.withdraw(request, why, exchange.TRIES_TO_WITHDRAW))

    async def decision(self, request: str) -> Decision:
        """Wait until the request of this id is decided."""
        return await self._drive(exchange.wait(request))

    async def pending(self) -> list[str]:
        """List the ids of this key's pending requests."""
        return await self._drive(exchange.pending())

    async def report(self, decision: Decision, *, succeeded: bool, words: str = "") -> None:
        """Report the outcome of the action; the card and the record show it."""
        await self._drive(exchange.report(decision.request, succeeded=succeeded, words=words))

    async def try_to_report(self, request: str, *, succeeded: bool, words: str) -> bool:
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

    def ask(
        self, body: Mapping[str, Any], *, key: str | None = None, on_interrupt: OnInterrupt | None = None
    ) -> Decision:
        """Ask people and wait for their decision.

        As `AsyncClient.ask` does; here Ctrl-C cancels.
        """
        (decision,) = self._decided(OpenQuestions([(body, key)], on_interrupt, exchange.ask))
        return decision

    def judge(
        self, body: Mapping[str, Any], *, key: str | None = None, on_interrupt: OnInterrupt | None = None
    ) -> Decision:
        """Ask people as `AsyncClient.judge` does."""
        (decision,) = self._decided(OpenQuestions([(body, key)], on_interrupt, exchange.judge))
        return decision

    def judge_all(self, questions: Sequence[Question]) -> list[Decision]:
        """Ask people several questions at once, as `AsyncClient.judge_all` does."""
        return self._decided(OpenQuestions(questions, None, exchange.judge))

    def _decided(self, questions: OpenQuestions) -> list[Decision]:
        try:
            return self._drive(questions.decisions())
        except KeyboardInterrupt:
            self._drive(questions.interrupted())
            raise

    def perform(self, decision: Decision, act: Act[R]) -> R:
        """Do the approved action, as `AsyncClient.perform` does."""
        self._drive(approved_actions.perform(decision, act))
        result: R = act.over()
        return result

    def submit(self, body: Mapping[str, Any], *, key: str) -> tuple[str, bool]:
        """Ask people without waiting; return the request's id, and whether it is decided."""
        return self._drive(exchange.submit(body, key))

    def report(self, decision: Decision, *, succeeded: bool, words: str = "") -> None:
        """Report the outcome of the action; the card and the record show it."""
        self._drive(exchange.report(decision.request, succeeded=succeeded, words=words))

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
