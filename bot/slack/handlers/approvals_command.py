"""`/approvals`: the word that was typed, and refusals on record."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from difflib import get_close_matches
from typing import Any

from slack_bolt.async_app import AsyncAck

from countersign.domain.errors import InvalidInput

from ..people.actors import admit
from ..views import settings_text
from ..views.slack_markup import drawn, unescape
from .ack_deadline import answer_command, change_on_record
from .context import Reply, Services, Word
from .payloads import sender


class _Unclear(InvalidInput):
    """Error: an unclear command, explained to its sender and not put on record."""

    def __init__(self, sentence: str, usage: str) -> None:
        self.usage = usage
        super().__init__(sentence)


def listener(words: Mapping[str, Word]) -> Callable[[Services, AsyncAck, dict[str, Any]], Awaitable[None]]:
    """Return the handler of `/approvals` with these words.

    The word "" is the command alone.
    """
    usage = "\n".join(word.help for word in words.values())

    async def on_approvals(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
        await answer_command(services, ack, body, _run(services, body, words, usage))

    return on_approvals


async def _run(services: Services, body: dict[str, Any], words: Mapping[str, Word], usage: str) -> Reply:
    text = str(body.get("text") or "").strip()
    name, rest = (*text.split(maxsplit=1), "", "")[:2]
    name = name.lower()
    if name == "help":
        return Reply(usage)
    word = words.get(name)
    recorded = word is None or word.on_record
    try:
        if not recorded:  # it changes nothing, and shows something
            await admit(services.directory, sender(body).user)
        async with change_on_record(services, body, sender(body).here, text) if recorded else nullcontext():
            if word is None:
                alike = get_close_matches(name, filter(None, words), 1)
                raise _Unclear(*settings_text.unknown_setting(unescape(name)[:40], alike[0] if alike else None))
            if word.empty is not None and not rest:
                raise _Unclear(*await word.empty(services, body))
            return await word.run(services, body, rest)
    except _Unclear as unclear:
        return Reply(f"{drawn(unclear.sentence)}{unclear.usage}", False)
