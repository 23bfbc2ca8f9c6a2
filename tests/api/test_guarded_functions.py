"""`@requires_approval` is the same wherever a function is called: by an agent, in a view, in a forked worker.

Views of Django and tasks of Celery are functions in threads and forked processes without an event loop. Those of
`test_django_and_celery.py` are the real ones.
"""

import asyncio
import json
import os
import pickle
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ToolCallExecutionEvent
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, ModelFamily, ModelInfo, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign import NotApproved, requires_approval
from countersign.client import AlreadyRan, exchange
from countersign.domain import api_keys
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from localslack import LocalSlack
from tests.longest_wait import PATIENCE
from tests.slack.test_projector import card_of

pytestmark = pytest.mark.usefixtures("service_in_environment")


@requires_approval("#general", title="Refund {euros:.2f} EUR?")
def refund(order: int, euros: float) -> str:
    """Pay money back."""
    return f"{euros:.2f} EUR for order {order}"


@requires_approval("#general", title="Refund {euros:.2f} EUR?")
async def refund_async(order: int, euros: float) -> str:
    """Pay money back."""
    return f"{euros:.2f} EUR for order {order}"


@pytest.mark.parametrize("tool", [refund, refund_async], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("button", "hears"), [("Approve", "45.00 EUR for order 17"), ("Reject", "DECISION: CALL REJECTED")]
)
async def test_agents_tool_asks_and_the_model_reads_the_outcome(
    slack: LocalSlack, tool: object, button: str, hears: str
) -> None:
    """R13: AutoGen reads the signature of the function behind the decorator."""
    info = ModelInfo(
        vision=False,
        function_calling=True,
        json_output=True,
        family=ModelFamily.UNKNOWN,
        structured_output=False,
    )
    name = tool.__name__  # type: ignore[attr-defined]
    call = FunctionCall("1", json.dumps({"order": 17, "euros": 45}), name)
    usage = RequestUsage(0, 0)
    answer = CreateResult(finish_reason="function_calls", content=[call], usage=usage, cached=False)
    clerk = AssistantAgent("clerk", ReplayChatCompletionClient([answer], model_info=info), tools=[tool])  # type: ignore[list-item]
    running = asyncio.create_task(clerk.run(task="Pay order 17 back."))
    bob = slack.user("bob")
    await bob.click(await card_of(slack), button)
    if button == "Reject":
        await bob.wait_modal("Reject")
        await bob.submit({"reason": "no"})
    (executed,) = [m for m in (await running).messages if isinstance(m, ToolCallExecutionEvent)]
    assert hears in executed.content[0].content


@contextmanager
def served() -> Iterator[str]:
    """A view of a synchronous web framework, in a thread of a WSGI server."""

    def view(environ: dict[str, object], start_response: object) -> list[bytes]:
        try:
            status, words = "200 OK", refund(17, 45.0)
        except NotApproved as refused:
            status, words = "403 Forbidden", refused.decision.text
        start_response(status, [("content-type", "text/plain")])  # type: ignore[operator]
        return [words.encode()]

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with make_server("127.0.0.1", 0, view, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


async def test_synchronous_view_waits_for_people(slack: LocalSlack) -> None:
    with served() as view:
        async with httpx.AsyncClient(timeout=PATIENCE) as browser:
            asking = asyncio.create_task(browser.get(view))
            await slack.user("bob").click(await card_of(slack), "Approve")
            assert (await asking).text == "45.00 EUR for order 17"


FORKED = """
import os
from countersign import requires_approval

@requires_approval("#general", title="Refund {euros:.2f} EUR?", key=lambda arguments: f"refund {arguments['order']}")
def refund(order: int, euros: float) -> str:
    return f"{euros:.2f} EUR for order {order}"

if not os.fork():
    print(refund(17, 45.0), flush=True)
    os._exit(0)
os.wait()
"""


async def test_forked_worker_waits_for_people(slack: LocalSlack) -> None:
    """The function was decorated before the fork, as a task queue's are."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FORKED), env=dict(os.environ), stdout=asyncio.subprocess.PIPE
    )
    await slack.user("bob").click(await card_of(slack), "Approve")
    words, _ = await process.communicate()
    assert words == b"45.00 EUR for order 17\n"


@pytest.fixture(params=["thread", "asyncio"])
def pays(request: pytest.FixtureRequest) -> Callable[[Callable[[], str]], Callable[[], Awaitable[str]]]:
    """Make a call with a key of the program's own, by a function or a coroutine function."""

    def guarded(action: Callable[[], str]) -> Callable[[], Awaitable[str]]:
        def pay(order: int) -> str:
            return action()

        async def pay_async(order: int) -> str:
            return await asyncio.to_thread(action)

        guard = requires_approval("#general", key=lambda call: f"order {call['order']}")
        if request.param == "thread":
            return lambda: asyncio.to_thread(guard(pay), 17)
        return lambda: guard(pay_async)(17)

    return guarded


@pytest.mark.parametrize(("fails", "words"), [(False, "Done before."), (True, "Failed before: ValueError: no till")])
async def test_reported_action_does_not_run_again(slack: LocalSlack, pays: Any, fails: bool, words: str) -> None:
    """R8: a program that died after its report comes back under its key, and reads what came of it."""
    times: list[int] = []

    def action() -> str:
        times.append(1)
        if fails:
            raise ValueError("no till")
        return "paid"

    call = pays(action)
    first = asyncio.create_task(call())
    await slack.user("bob").click(await card_of(slack), "Approve")
    await asyncio.gather(first, return_exceptions=True)
    with pytest.raises(AlreadyRan) as told:
        await call()
    assert (str(told.value), told.value.decision.by, times) == (words, ("U0BOB",), [1])
    assert pickle.loads(pickle.dumps(told.value)).decision == told.value.decision


@pytest.mark.parametrize("fails", [False, True])
async def test_refused_report_hides_no_result(
    slack: LocalSlack, store: Store, pays: Any, caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    """R5: what was done was done, though the key was revoked meanwhile; what failed raises its own error."""
    loop = asyncio.get_running_loop()

    async def revoke() -> None:
        (key,) = await ApiKeys(store).all()
        await ApiKeys(store).put(api_keys.revoke(key, await store.now()))

    def action() -> str:
        asyncio.run_coroutine_threadsafe(revoke(), loop).result()
        if fails:
            raise ZeroDivisionError
        return "paid"

    calling = asyncio.create_task(pays(action)())
    await slack.user("bob").click(await card_of(slack), "Approve")
    if fails:
        with pytest.raises(ZeroDivisionError):
            await calling
    else:
        assert await calling == "paid"
    assert "outcome couldn't be reported: This key was revoked." in caplog.text


def test_undelivered_report_is_abandoned_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """R5: the result of what was done waits for no service that is away; shorter absences are waited for."""
    talk, waited = exchange.tell("q1", succeeded=True, words=""), 0.0
    step = next(talk)
    with suppress(StopIteration):
        while True:
            waited += step.seconds if isinstance(step, exchange.Pause) else 0.0
            step = talk.send(exchange.ServiceReply(0))
    assert 20 < waited < 61
    assert "outcome couldn't be reported: The service isn't responding." in caplog.text


async def test_guarded_function_accepts_a_text_as_key(slack: LocalSlack) -> None:
    """R8: as `ask` and `slack_input` do; the second program finds the request of the first one."""

    @requires_approval("#general", key="order 17")
    async def pay(euros: float) -> str:
        return f"{euros:.2f}"

    calling = asyncio.gather(pay(45), pay(45), return_exceptions=True)
    card = asyncio.create_task(card_of(slack))
    first: list[asyncio.Future[Any]] = [calling, card]
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    assert not calling.done(), calling.result()
    await slack.user("bob").click(await card, "Approve")
    done = await calling
    assert sorted(map(str, done)) == ["45.00", "Done before."]
