"""The page of a request: its content, the answers that count, and refused answers."""

import json

import pytest

from countersign import usecases
from countersign.domain.channel_settings import Risk
from countersign.domain.events import EventType
from countersign.domain.requests import Question, Request, Status
from countersign.policy.evaluation import Rulebook
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from tests.pages.reviewer import Reviewer, status, text_of
from tests.sample_requests import call, choice, editable, question
from tests.slack.socket_bot import events
from tests.store_fixtures import configure, update_lists


async def ask(store: Store, lease: Lease, asked: Question | None = None) -> Request:
    request = await usecases.ask(store, lease, asked or question())
    await update_lists(store)
    return request


async def test_reviewer_approves_on_the_page(store: Store, lease: Lease, bob: Reviewer) -> None:
    """The page shows all of the content, and its form counts as a click does (R13)."""
    request = await ask(store, lease)
    shown = text_of(await bob.get(f"/requests/{request.id}"))
    assert "Ten percent off, please." in shown
    assert "@bob" in shown
    answered = await bob.answer(f"/requests/{request.id}", "approve")
    assert (answered.status_code, answered.headers["location"]) == (303, f"/requests/{request.id}")
    assert await status(store, request) is Status.APPROVED
    assert "Approved by @bob" in text_of(await bob.get(f"/requests/{request.id}"))


async def test_reviewer_rejects_with_a_reason(store: Store, lease: Lease, bob: Reviewer) -> None:
    request = await ask(store, lease)
    await bob.answer(f"/requests/{request.id}", "reject", reject__reason="Too cheap\r\nalready")
    seen = await store.request(request.id)
    assert seen is not None and seen.value.decision is not None
    assert (seen.value.status, seen.value.decision.words) == (Status.REJECTED, "Too cheap\nalready")


async def test_reviewer_requests_changes(store: Store, lease: Lease, bob: Reviewer) -> None:
    request = await ask(store, lease)
    refused = await bob.answer(f"/requests/{request.id}", "respond", respond__answer=" ")
    assert refused.status_code == 409
    assert "Your answer is empty." in text_of(refused)
    await bob.answer(f"/requests/{request.id}", "respond", respond__answer="Ask for 5%")
    assert await status(store, request) is Status.ANSWERED


async def test_reviewer_edits_a_call(store: Store, lease: Lease, bob: Reviewer) -> None:
    """R18: what runs is what the form held, with what it kept."""
    request = await ask(store, lease, editable())
    path = f"/requests/{request.id}"
    refused = await bob.answer(path, "edit", edit__field_1="101", edit__why="mine")
    assert refused.status_code == 422
    assert 'value="101"' in refused.text and 'aria-invalid="true"' in refused.text
    assert "mine" in refused.text
    await bob.answer(path, "edit", edit__field_1="19", edit__why="less")
    seen = await store.request(request.id)
    assert seen is not None and seen.value.decision is not None and seen.value.question.call is not None
    before, after = (json.loads(text) for text in (seen.value.question.call.arguments, seen.value.decision.arguments))
    assert after == {**before, "amount": 19}
    assert "less" in text_of(await bob.get(path))


async def test_reviewer_chooses_an_option(store: Store, lease: Lease, bob: Reviewer) -> None:
    request = await ask(store, lease, choice("eu", "us", "Mars", several=True))
    await bob.answer(f"/requests/{request.id}", "choose", choose__options="2")
    seen = await store.request(request.id)
    assert seen is not None and seen.value.decision is not None
    assert seen.value.decision.chosen == ("Mars",)


async def test_high_risk_approval_asks_for_the_word(store: Store, lease: Lease, bob: Reviewer) -> None:
    """R13: the page shows all of it, so its form may approve, with the tool's name."""
    await store.set_rulebook(Rulebook(risks=(("refund", Risk.HIGH),)))
    request = await ask(store, lease, call())
    refused = await bob.answer(f"/requests/{request.id}", "approve", approve__word="yes")
    assert refused.status_code == 409
    assert 'Type "refund" to approve.' in text_of(refused)
    assert await status(store, request) is Status.PENDING
    await bob.answer(f"/requests/{request.id}", "approve", approve__word="Refund")
    assert await status(store, request) is Status.APPROVED


async def test_approval_can_give_a_standing_permission(store: Store, lease: Lease, bob: Reviewer) -> None:
    request = await ask(store, lease, call())
    await bob.answer(f"/requests/{request.id}", "permit")
    assert await status(store, request) is Status.APPROVED
    assert [one.value.request for one in await store.permissions()] == [request.id]


async def test_requester_breaks_the_glass(store: Store, lease: Lease, alice: Reviewer) -> None:
    await configure(store, break_glass=True)
    request = await ask(store, lease, call())
    await alice.answer(f"/requests/{request.id}", "break_glass", break_glass__reason="The house is on fire")
    assert await status(store, request) is Status.APPROVED
    assert "Break-glass" in text_of(await alice.get(f"/requests/{request.id}"))


async def test_requester_reads_and_cannot_decide(store: Store, lease: Lease, alice: Reviewer) -> None:
    """R9: a form that its page never had is judged as a click is."""
    request = await ask(store, lease)
    page = await alice.get(f"/requests/{request.id}")
    assert "You can read this request, but not decide on it." in text_of(page)
    assert "<textarea" not in page.text


async def test_late_answer_says_who_decided_first(
    store: Store, lease: Lease, bob: Reviewer, visitors: dict[str, Reviewer]
) -> None:
    """R3, and two tabs: the loser reads the sentence that Slack would show."""
    request = await ask(store, lease)
    carol = visitors["carol"]
    await carol.sign_in()
    path = f"/requests/{request.id}"
    form, second_tab = await carol.form(path, "reject"), await bob.form(path, "reject")
    await bob.answer(path, "approve")
    for who, late in ((carol, form), (bob, second_tab)):
        answer = await who.client.post(path, data=late)
        assert answer.status_code == 409
        assert "Already decided by @bob" in text_of(answer)
    assert await status(store, request) is Status.APPROVED


async def test_form_sent_twice_counts_once(store: Store, lease: Lease, bob: Reviewer) -> None:
    """R8"""
    request = await ask(store, lease)
    form = await bob.form(f"/requests/{request.id}", "approve")
    answers = [await bob.client.post(f"/requests/{request.id}", data=form) for _ in range(2)]
    assert [one.status_code for one in answers] == [303, 303]
    decided = [one for one in await events(store) if one.type is EventType.REQUEST_DECIDED]
    assert len(decided) == 1


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</pre><script>alert(1)</script>", "javascript:1"])
async def test_model_content_is_escaped(store: Store, lease: Lease, bob: Reviewer, text: str) -> None:
    """R15"""
    request = await ask(store, lease, question(text, title=text))
    page = await bob.get(f"/requests/{request.id}")
    assert text in text_of(page) or "alert(1)" in text_of(page)
    assert "<img" not in page.text and "<script>alert" not in page.text and 'href="javascript' not in page.text
