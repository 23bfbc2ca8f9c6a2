"""The modes of AutoGen 0.2 and other rules for when a conversation asks people.

AutoGen 0.2's own rules are `ConversableAgent.check_termination_and_human_reply` of microsoft/autogen's branch 0.2; the
rules here take no time, ask nobody and remember nothing: a rebuilt run comes to the same.
"""

import inspect
import re
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final

from autogen_agentchat.messages import BaseChatMessage

AskWhen = Callable[[Sequence[BaseChatMessage]], bool | Awaitable[bool]]
"""Whether people are asked now: given what the agents have said since people were last asked, the newest last."""
IsTermination = Callable[[BaseChatMessage], bool | Awaitable[bool]]
"""Whether a message means that its agent is finished, or must be looked at."""


class HumanInputMode(StrEnum):
    """AutoGen 0.2's `human_input_mode`."""

    ALWAYS = "always"
    """People are asked after every message."""
    TERMINATE = "terminate"
    """People are asked when a message says that it is the last one, or when the reply limit is reached."""
    NEVER = "never"
    """Nobody is asked; such a message, or the limit, ends the conversation."""


class Move(StrEnum):
    """The next move of a proxy."""

    ASK = "ask"
    """Whether the conversation goes on."""
    ASK_TO_END = "ask to end"
    """Whether it ends here, because its agent says so."""
    REPLY = "reply"
    """By itself."""
    END = "end"


def next_move(
    mode: HumanInputMode | None, *, finished: bool, replies: int, limit: int, by_policy: bool = False
) -> Move:
    """Return what comes after a message.

    `mode` None is a policy, which asks where TERMINATE does, and where it says so itself (`by_policy`). `finished`: the
    message says that it is the last one. `replies` were given in a row without asking; `limit` may be. In ALWAYS there
    is no limit, as in 0.2.
    """
    if mode is HumanInputMode.NEVER:
        return Move.END if finished or replies >= limit else Move.REPLY
    if finished:
        return Move.ASK_TO_END
    if mode is HumanInputMode.ALWAYS or by_policy or replies >= limit:
        return Move.ASK
    return Move.REPLY


def says_terminate(message: BaseChatMessage) -> bool:
    """Say whether the message is the word TERMINATE alone, as 0.2 does."""
    return message.to_text().strip() == "TERMINATE"


def last_line(*lines: str) -> IsTermination:
    """Make an `is_termination_msg`: the last line is one of these.

    A line that ends with “:” stands for all that begin with it.
    """
    exact = {line for line in lines if not line.endswith(":")}
    begins = tuple(line for line in lines if line.endswith(":"))

    def matches(message: BaseChatMessage) -> bool:
        spoken = [line.strip() for line in message.to_text().splitlines() if line.strip()]
        return bool(spoken) and (spoken[-1] in exact or (bool(begins) and spoken[-1].startswith(begins)))

    matches.marks = frozenset(lines)  # type: ignore[attr-defined]
    return matches


def marks_of(is_termination_msg: IsTermination) -> frozenset[str]:
    """Return the lines by which agents say that they are finished; not for people."""
    if is_termination_msg is says_terminate:
        return frozenset({"TERMINATE"})
    marks: frozenset[str] = getattr(is_termination_msg, "marks", frozenset())
    return marks


def when_said(*phrases: str) -> AskWhen:
    """Make a policy that asks when an agent used one of the words.

    Upper and lower case are the same, and a word may begin a longer one ("deleted"). Spaces, line breaks, invisible
    characters and what lies between the words make no difference, so that “dro​p   TABLE” is “drop table”. ValueError if
    there is nothing to look for.
    """
    searched = [words.split() for phrase in phrases if (words := _plain(phrase))]
    if not searched:
        raise ValueError("when_said needs at least one word to look for.")
    pattern = re.compile("|".join(r"(?<!\w)" + r"[\W_]+".join(map(re.escape, words)) for words in searched))
    return lambda messages: any(pattern.search(_plain(message.to_text())) for message in messages)


def every(count: int) -> AskWhen:
    """Make a policy that asks after this many messages of agents; ValueError below 1."""
    if count < 1:
        raise ValueError("every(n) needs 1 or more.")
    return lambda messages: len(messages) >= count


def when_from(*agents: str) -> AskWhen:
    """Make a policy that asks after these agents; ValueError if there is none."""
    if not agents:
        raise ValueError("when_from needs at least one agent's name.")
    return lambda messages: any(message.source in agents for message in messages)


def any_of(*policies: AskWhen) -> AskWhen:
    """Make a policy that asks when one of these does."""

    def one_asks(messages: Sequence[BaseChatMessage]) -> bool | Awaitable[bool]:
        answers = [policy(messages) for policy in policies]
        return _any([answer for answer in answers if answer is not False])

    return one_asks


def _any(answers: list[bool | Awaitable[bool]]) -> bool | Awaitable[bool]:
    if True not in answers:
        return _any_awaited(answers) if answers else False
    for answer in answers:
        if inspect.iscoroutine(answer):
            answer.close()
    return True


async def _any_awaited(answers: list[bool | Awaitable[bool]]) -> bool:
    results = [answer if isinstance(answer, bool) else await answer for answer in answers]
    if all(isinstance(answer, bool) for answer in results):
        return any(results)
    raise TypeError("A policy answers True or False.")


_INVISIBLE: Final = frozenset({"Cf", "Cc", "Mn"})


def _plain(text: str) -> str:
    """Fold to plain small letters and single spaces, without invisible characters."""
    spaced = " ".join(unicodedata.normalize("NFKD", text).casefold().split())
    return "".join(letter for letter in spaced if unicodedata.category(letter) not in _INVISIBLE)
