"""An action of a program is done at most once: two programs at once, and one that dies between action and report."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from countersign import NotApproved, requires_approval, slack_input
from countersign.client import AlreadyRan, ServiceRefused, executions
from countersign.domain.actions import Action
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from localslack import LocalSlack
from tests.adapters.stage import Bob, cards
from tests.sample_requests import rules

DOUBT = "Did “pay” happen?"
Pay = Callable[[], Coroutine[Any, Any, str]]
Guard = Callable[..., Pay]


class Killed(BaseException):
    """The end of a program of which nobody hears."""


@pytest.fixture(autouse=True)
def known(url: str, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_URL", url)
    monkeypatch.setenv("COUNTERSIGN_KEY", token)
    monkeypatch.setattr(executions, "LOOKS", 0)
    monkeypatch.setattr(executions, "_LOOK_EVERY", 1)


@pytest.fixture(params=["thread", "asyncio"])
def guard(request: pytest.FixtureRequest) -> Guard:
    """Make a call under one key: by a function in a thread, or by a coroutine function."""

    def guarded(act: Pay, *, idempotent: bool = False) -> Pay:
        loop = asyncio.get_running_loop()

        def pay(order: int) -> str:
            return asyncio.run_coroutine_threadsafe(act(), loop).result()

        async def pay_async(order: int) -> str:
            return await act()

        pay_async.__name__ = "pay"
        approved = requires_approval("#general", key=lambda call: f"order {call['order']}", idempotent=idempotent)
        if request.param == "thread":
            return lambda: asyncio.to_thread(approved(pay), 17)
        return lambda: approved(pay_async)(17)

    return guarded


async def killed_after_it_paid(bob: Bob, guard: Guard, paid: list[int]) -> None:
    async def dies() -> str:
        paid.append(17)
        raise Killed

    first = asyncio.ensure_future(guard(dies)())
    await bob.presses("Pay", "Approve")
    with pytest.raises(Killed):
        await first


async def test_concurrent_programs_act_once_and_share_the_outcome(slack: LocalSlack, bob: Bob, guard: Guard) -> None:
    """R3: and people who were asked because the first one took long need not answer any more."""
    paid, done = list[int](), asyncio.Event()

    async def act() -> str:
        paid.append(17)
        await done.wait()
        return "paid"

    pay = guard(act)
    both = [asyncio.ensure_future(pay()), asyncio.create_task(pay())]
    await bob.presses("Pay", "Approve")
    await bob.card(DOUBT)
    done.set()
    results = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(str(result) for result in results) == ["Done before.", "paid"]
    assert paid == [17]
    card = await slack.wait_message("#approvals", lambda m: DOUBT in str(m.blocks) and not {*m.buttons} - {"Details"})
    assert "the program that began it has since said what came of it" in str(card.blocks)


@pytest.mark.parametrize(
    ("button", "window", "reads", "times"),
    [
        ("Choose", {"options": "1. It was done"}, "Done before: People say that it was done.", 1),
        ("Choose", {"options": "2. It wasn't done: run it now"}, "paid", 2),
        ("Choose", {"options": "3. Not sure: leave it"}, "Nobody knows whether it was done. Do not do it again.", 1),
        ("Answer in words", {"answer": "Refund 9."}, "Done before: Refund 9.", 1),
        ("None of these", {"reason": "no idea"}, "Nobody knows whether it was done. Do not do it again.", 1),
        ("", None, "Nobody knows whether it was done. Do not do it again.", 1),
    ],
    ids=["done", "again", "unknown", "in words", "rejected", "nobody"],
)
async def test_unreported_action_is_in_doubt_and_people_are_asked(
    slack: LocalSlack, bob: Bob, guard: Guard, button: str, window: dict[str, str] | None, reads: str, times: int
) -> None:
    """R8, R10: a program killed between action and report; who starts after that is told without a question."""
    paid = list[int]()
    await killed_after_it_paid(bob, guard, paid)

    async def act() -> str:
        paid.append(17)
        return "paid"

    pay = guard(act)

    async def called() -> str:
        try:
            return await pay()
        except AlreadyRan as before:
            return str(before)

    again = asyncio.ensure_future(called())
    await bob.card(DOUBT)
    assert "Order: 17" in str((await bob.card(DOUBT)).blocks)
    if button:
        await bob.presses(DOUBT, button, window)
    else:
        await bob.lets_time_run_out()
    assert await again == reads
    assert (await called(), len(paid), cards(slack)) == ("Done before." if times == 2 else reads, times, 2)


async def test_idempotent_function_runs_again_without_asking(slack: LocalSlack, bob: Bob, guard: Guard) -> None:
    """After a program died between action and report."""
    paid = list[int]()
    await killed_after_it_paid(bob, guard, paid)

    async def act() -> str:
        paid.append(17)
        return "paid"

    assert await guard(act, idempotent=True)() == "paid"
    assert (paid, cards(slack)) == ([17, 17], 1)


async def test_action_declared_not_done_runs_once(bob: Bob, guard: Guard) -> None:
    """R3: both ask the same question, and read the same answer."""
    paid = list[int]()
    await killed_after_it_paid(bob, guard, paid)

    async def act() -> str:
        paid.append(17)
        return "paid"

    pay = guard(act)
    both = [asyncio.ensure_future(pay()), asyncio.create_task(pay())]
    await bob.presses(DOUBT, "Choose", {"options": "2. It wasn't done: run it now"})
    results = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(str(result) for result in results) == ["Done before.", "paid"]
    assert paid == [17, 17]


async def test_call_refused_by_policy_does_not_run(store: Store, slack: LocalSlack, guard: Guard) -> None:
    """R16, R19: the model reads the sentence."""
    await store.set_rulebook(Rulebook((Clause("no cash", Action.DENY, 1, tool="pay", why="Use the till."),)))
    paid = list[int]()

    async def act() -> str:
        paid.append(17)
        return "paid"

    with pytest.raises(NotApproved, match=r"Use the till\.") as refused:
        await guard(act)()
    assert (refused.value.decision.how, paid, cards(slack)) == ("policy", [], 0)


@pytest.mark.parametrize("asks", ["a decorated function", "AutoGen's proxy"])
async def test_expired_call_does_not_run(bob: Bob, guard: Guard, asks: str) -> None:
    """R17: expired, which is no rejection."""
    paid = list[int]()

    async def act() -> str:
        paid.append(17)
        return "paid"

    async def program() -> str:
        if asks == "AutoGen's proxy":
            return await slack_input("#general")("Pay")
        with pytest.raises(NotApproved) as refused:
            await guard(act)()
        return str(refused.value)

    running = asyncio.create_task(program())
    await bob.card("Pay")
    await bob.lets_time_run_out()
    assert ("expired without an answer" if asks == "AutoGen's proxy" else "NOBODY ANSWERED") in await running
    assert paid == []


async def test_key_revoked_during_the_question_runs_nothing(bob: Bob, guard: Guard) -> None:
    """R9."""
    paid = list[int]()

    async def act() -> str:
        paid.append(17)
        return "paid"

    running = asyncio.create_task(guard(act)())
    await bob.card("Pay")
    await bob.loses_its_key()
    await bob.presses("Pay", "Approve")
    with pytest.raises(ServiceRefused, match="revoked"):
        await running
    assert paid == []


async def test_call_with_quorum_two_runs_after_the_second_approval(
    store: Store, slack: LocalSlack, bob: Bob, guard: Guard
) -> None:
    """R11: a program's request counts people as a team's does."""
    await store.set_defaults(rules(quorum=2))
    paid = list[int]()

    async def act() -> str:
        paid.append(17)
        return "paid"

    running = asyncio.create_task(guard(act)())
    await bob.presses("Pay", "Approve")
    card = await slack.wait_message("#approvals", lambda m: "1 of 2" in str(m.blocks) and "Approve" in m.buttons)
    assert paid == []
    await slack.user("carol").click(card, "Approve")
    assert await running == "paid"
