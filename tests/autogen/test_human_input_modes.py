"""When a conversation asks its people: AutoGen 0.2's table, and the policies, without any team."""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

import pytest
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from hypothesis import given
from hypothesis import strategies as st

from countersign.frameworks.autogen.people import user_callbacks
from countersign.frameworks.autogen.people.human_input_modes import (
    AskWhen,
    HumanInputMode,
    Move,
    any_of,
    every,
    last_line,
    next_move,
    says_terminate,
    when_from,
    when_said,
)
from countersign.frameworks.autogen.people.user_callbacks import Opinion, opinion
from tests.longest_wait import PATIENCE


def said(*texts: str) -> list[BaseChatMessage]:
    return [TextMessage(content=text, source="assistant") for text in texts]


@pytest.mark.parametrize(
    ("mode", "finished", "replies", "move"),
    [
        (HumanInputMode.ALWAYS, False, 0, Move.ASK),
        (HumanInputMode.ALWAYS, False, 99, Move.ASK),
        (HumanInputMode.ALWAYS, True, 0, Move.ASK_TO_END),
        (HumanInputMode.TERMINATE, False, 2, Move.REPLY),
        (HumanInputMode.TERMINATE, False, 3, Move.ASK),
        (HumanInputMode.TERMINATE, False, 4, Move.ASK),
        (HumanInputMode.TERMINATE, True, 0, Move.ASK_TO_END),
        (HumanInputMode.TERMINATE, True, 3, Move.ASK_TO_END),
        (HumanInputMode.NEVER, False, 2, Move.REPLY),
        (HumanInputMode.NEVER, False, 3, Move.END),
        (HumanInputMode.NEVER, True, 0, Move.END),
        (None, False, 2, Move.REPLY),
        (None, False, 3, Move.ASK),
        (None, True, 0, Move.ASK_TO_END),
    ],
)
def test_human_input_modes_follow_autogen_0_2(
    mode: HumanInputMode | None, finished: bool, replies: int, move: Move
) -> None:
    """As `check_termination_and_human_reply` of branch 0.2 decides, with a limit of 3."""
    assert next_move(mode, finished=finished, replies=replies, limit=3) is move


def test_conversation_policy_can_demand_a_question() -> None:
    assert next_move(None, finished=False, replies=0, limit=3, by_policy=True) is Move.ASK


@given(finished=st.booleans(), replies=st.integers(0, 9), limit=st.integers(0, 9), by_policy=st.booleans())
def test_never_mode_asks_nobody_and_always_mode_always_asks(
    finished: bool, replies: int, limit: int, by_policy: bool
) -> None:
    """With any number of replies, a policy or a finished conversation."""
    asked = partial(next_move, finished=finished, replies=replies, limit=limit, by_policy=by_policy)
    assert asked(HumanInputMode.NEVER) in (Move.REPLY, Move.END)
    assert asked(HumanInputMode.ALWAYS) in (Move.ASK, Move.ASK_TO_END)


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("I will delete it.", True),
        ("DELETED", True),
        ("drop\n  TABLE users", True),
        ("drop_table", True),
        ("dro\u200bp t\u00adable", True),
        ("\uff44\uff45\uff4c\uff45\uff54\uff45", True),
        ("undelete", False),
        ("a drop of water on the table", False),
        ("", False),
    ],
)
def test_when_said_finds_a_phrase_however_it_is_written(text: str, hit: bool) -> None:
    """R15: what nobody sees hides nothing from a policy."""
    assert when_said("delete", "drop table")(said("hello", text)) is hit


def test_every_n_policy_counts_messages_since_the_last_question() -> None:
    assert [every(3)(said(*"abcd"[:n])) for n in range(5)] == [False, False, False, True, True]


@pytest.mark.parametrize(
    "make", [lambda: when_said(), lambda: when_said("", "\u200b"), lambda: every(0), lambda: when_from()]
)
def test_meaningless_conversation_policy_is_refused(make: Callable[[], AskWhen]) -> None:
    with pytest.raises(ValueError):
        make()


async def test_any_of_combines_sync_and_async_policies() -> None:
    """It asks when one of them does."""

    async def slowly(messages: Sequence[BaseChatMessage]) -> bool:
        return "slow" in messages[-1].to_text()

    policy = any_of(when_said("delete"), slowly, every(3))
    heard = [await judged(policy, *words) for words in [("a",), ("delete",), ("slow",), ("a", "b", "c")]]
    assert [one.answer for one in heard] == [False, True, True, True]
    assert any_of(every(9), every(8))(said("a")) is False


async def judged(policy: AskWhen, *texts: str, within: float = PATIENCE) -> Opinion:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user_callbacks, "WITHIN", timedelta(seconds=within))
        return await opinion(lambda: policy(said(*texts)), name="the policy", agent="p", about="", journal=None)


async def test_failing_or_silent_conversation_policy_has_not_answered() -> None:
    """R12: an error is never a yes or a no."""

    def fails(messages: Sequence[BaseChatMessage]) -> bool:
        raise KeyError("secret")

    async def fails_later(messages: Sequence[BaseChatMessage]) -> bool:
        raise ValueError

    nothing: AskWhen = lambda messages: None  # type: ignore[assignment,return-value]  # noqa: E731
    assert await judged(fails) == Opinion(None, "the policy failed (KeyError)")
    assert await judged(fails_later) == Opinion(None, "the policy failed (ValueError)")
    assert await judged(nothing) == Opinion(None, "the policy answered neither yes nor no")
    assert await judged(any_of(every(2), nothing), "a") == Opinion(None, "the policy failed (TypeError)")


async def test_blocking_conversation_policy_times_out_without_blocking_the_loop() -> None:
    """The event loop goes on meanwhile: one that the callable held up would give its answer instead."""
    free = threading.Event()

    def blocks(messages: Sequence[BaseChatMessage]) -> bool:
        return free.wait(30)

    try:
        late = await judged(blocks, within=0.05)
    finally:
        free.set()
    assert late == Opinion(None, "the policy gave no answer within 0.05 seconds")


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("Done.\n\nTERMINATE", True),
        ("TERMINATE\n", True),
        ("I will write TERMINATE later.", False),
        ("TERMINATE\nnot yet", False),
        ("ERROR: no disk", True),
        ("", False),
    ],
)
def test_last_line_condition_reads_only_the_last_line(text: str, last: bool) -> None:
    assert last_line("TERMINATE", "NEEDS_REVIEW", "ERROR:")(said(text)[0]) is last


def test_autogens_terminate_condition_needs_the_bare_keyword() -> None:
    assert [says_terminate(said(text)[0]) for text in ("TERMINATE", " TERMINATE\n", "x TERMINATE")] == [
        True,
        True,
        False,
    ]
