"""`/approvals`: finds the word that was typed, and puts refusals on record."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import Any

from slack_bolt.async_app import AsyncAck

from countersign.domain.errors import InvalidInput

from ..views.safe_text import unescape
from ..views.slack_markup import drawn
from .context import Desk, Reply, Word
from .payloads import sender
from .responses import answer_command, change_on_record


class _Unclear(InvalidInput):
    """A word that needs an explanation, for its person and not for the record."""

    def __init__(self, sentence: str, usage: str) -> None:
        self.usage = usage
        super().__init__(sentence)


def listener(words: Mapping[str, Word]) -> Callable[[Desk, AsyncAck, dict[str, Any]], Awaitable[None]]:
    """Return the handler of `/approvals` with these words.

    The word "" is the command alone.
    """
    usage = "\n".join(word.help for word in words.values())

    async def on_approvals(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
        await answer_command(desk, ack, body, _run(desk, body, words, usage))

    return on_approvals


async def _run(desk: Desk, body: dict[str, Any], words: Mapping[str, Word], usage: str) -> Reply:
    text = str(body.get("text") or "").strip()
    name, rest = (*text.split(maxsplit=1), "", "")[:2]
    name = name.lower()
    if name == "help":
        return Reply(usage)
    word = words.get(name)
    recorded = word is None or word.on_record
    try:
        async with change_on_record(desk, body, sender(body).here, text) if recorded else nullcontext():
            if word is None:
                raise _Unclear(f"There is no setting “{unescape(name)[:40]}”; nothing was changed.", usage)
            if word.takes_text and not rest:
                raise _Unclear("What should it be? Nothing was changed.", word.help)
            return await word.run(desk, body, rest)
    except _Unclear as unclear:
        return Reply(f"{drawn(unclear.sentence)}\n{unclear.usage}", False)
