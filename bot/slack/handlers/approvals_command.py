"""`/approvals`: what holds in a channel, changed in a window or in words."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain import channel_settings
from countersign.domain.channel_settings import ChannelSettings, OnTimeout, Rules, parse_duration
from countersign.domain.errors import CountersignError, InvalidInput, StoreUnavailable, plain_text
from countersign.domain.ids import ChannelId
from countersign.domain.refusals import Sentence
from countersign.policy.loosening import NeedsSecond

from ..people.settings_check import Found, problems
from ..projector.settings_notices import say
from ..views import modal_parts, settings_modal
from ..views.block_kit import context, mrkdwn
from ..views.safe_text import unescape
from . import away_command, grants, list_commands, schedule_commands, settings_changes
from .mention_parsing import channel_named, people_named
from .modal_opening import open_modal
from .responses import Desk, Said, answer_command, delivered, in_plain_text, in_time, said, tell, who

HELP: Final = (
    "*`/approvals`* opens this channel's settings in a window; *`/approvals show`* shows them\n"
    "*`/approvals timeout 15m`* how long a request waits\n"
    "*`/approvals on-timeout reject`* (or `wait`, or `approve`) what it means that nobody decided\n"
    "*`/approvals channel #approvals`* where cards go\n"
    "*`/approvals reviewers @someone @a-group`* who decides; `members` are all in the channel that cards go to\n"
    "*`/approvals quorum 2`* how many different people must approve\n"
    "*`/approvals own-requests no`* (or `yes`) whether people may decide on what they started\n"
    "*`/approvals break-glass no`* (or `yes`) whether a requester may decide alone in an emergency\n"
    "*`/approvals permissions`* lists what is not asked again, and ends it\n"
    f"{schedule_commands.HELP}\n{away_command.HELP}\n{list_commands.HELP}"
)
Edit = Callable[[ChannelSettings], ChannelSettings]


async def on_approvals(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """`/approvals …`"""
    await answer_command(desk, ack, body, _approvals(desk, body))


async def on_settings_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """The settings' window was saved."""
    channel = modal_parts.channel_of(body["view"])

    async def answer(result: Said | None) -> None:
        if result is None or result.counted:
            await ack()
        else:
            await ack(response_action="errors", errors={result.block or settings_modal.USERS: result.text})
        if result is not None and result.counted:
            await tell(desk.client, body, result, channel)

    async def save() -> Said:
        async with _on_record(desk, body, channel, ""):
            edit = settings_modal.read(body["view"], await usecases.rules_of(desk.store, channel))
            try:
                return await _configure(desk, body, channel, edit)
            except settings_modal.Problem as wrong:
                raise settings_modal.as_shown(body["view"], wrong) from None

    work = in_plain_text(desk.directory, said(save(), "change"))
    await in_time(work, answer, lambda result: tell(desk.client, body, result, channel))


async def _approvals(desk: Desk, body: dict[str, Any]) -> Said:
    at, words = who(body), str(body.get("text") or "").strip()
    word, rest = (*words.split(maxsplit=1), "", "")[:2]
    word = word.lower()
    if word == "":
        rules = await usecases.rules_of(desk.store, at.here)
        actor = await desk.directory.actor(at.workspace, at.user, rules.reviewers.groups)
        only_look = channel_settings.why_not_configure(actor, rules, desk.admins)
        if only_look is not None:
            return await open_modal(desk.client, body, settings_modal.to_read(say(at.here, rules), only_look))
        window = settings_modal.view(at.here, rules, await desk.directory.groups())
        if told := await list_commands.contradicted(desk, actor, rules):
            window["blocks"].insert(0, context(mrkdwn(told)))
        return await open_modal(desk.client, body, window)
    if word == "help":
        return Said(HELP)
    if word == "show":
        rules = await usecases.rules_of(desk.store, at.here)
        actor = await desk.directory.actor(at.workspace, at.user, frozenset())
        return Said(
            "\n".join(filter(None, (say(at.here, rules), await list_commands.contradicted(desk, actor, rules))))
        )
    if word == "permissions":
        return await grants.permissions_here(desk, at)
    if word in list_commands.WORDS:
        return await list_commands.WORDS[word](desk, at, rest)
    async with _on_record(desk, body, at.here, words):
        if word in away_command.COMMANDS:
            return await away_command.COMMANDS[word](desk, at, rest, delivered(body))
        if word not in _WORDS:
            raise InvalidInput(f"There is no setting “{unescape(word)[:40]}”; nothing was changed.\n{HELP}")
        if not rest:
            raise InvalidInput(f"What should it be? Nothing was changed.\n{HELP}")
        return await _configure(desk, body, at.here, await _WORDS[word](desk, rest))


@asynccontextmanager
async def _on_record(desk: Desk, body: dict[str, Any], channel: ChannelId, words: str) -> AsyncIterator[None]:
    """Who wanted to change what, and why nothing was, is written down before they are told (R25), if it is not yet."""
    at = who(body)
    try:
        yield
    except StoreUnavailable:
        raise
    except CountersignError as refused:
        why = str(refused).removesuffix(f"\n{HELP}")
        await usecases.settings_refused(
            desk.store, delivered(body), workspace=at.workspace, channel=channel, user=at.user, words=words, why=why
        )
        raise


async def _configure(desk: Desk, body: dict[str, Any], channel: ChannelId, edit: Edit) -> Said:
    at = who(body)
    before = await usecases.rules_of(desk.store, channel)
    actor = await desk.directory.actor(at.workspace, at.user, before.reviewers.groups)
    found: list[Found] = []

    async def check(rules: Rules) -> list[Sentence]:
        found[:] = await problems(desk.directory, at.workspace, rules)
        return [problem.sentence for problem in found]

    try:
        done = await usecases.configure(
            desk.store,
            channel,
            actor,
            desk.admins,
            edit,
            check,
            delivered(body),
            why_not_propose=settings_changes.why_not_propose,
        )
    except NeedsSecond as milder:
        return settings_changes.asked_for_second(milder)
    except InvalidInput as wrong:
        about = (plain_text(found[0].sentence), found[0].field) if found else (str(wrong),)
        raise settings_modal.Problem(settings_modal.block_of(*about), *wrong.sentence) from None
    return Said(f"Saved. {say(channel, done.after)}")


async def _timeout(desk: Desk, rest: str) -> Edit:
    timeout = parse_duration(unescape(rest))
    return lambda own: replace(own, timeout=timeout)


async def _on_timeout(desk: Desk, rest: str) -> Edit:
    try:
        meaning = OnTimeout(rest.lower())
    except ValueError:
        known = ", ".join(f"`{o.value}`" for o in OnTimeout)
        raise InvalidInput(f"“{unescape(rest)[:40]}” is not one of {known}; nothing was changed.") from None
    return lambda own: replace(own, on_timeout=meaning)


async def _channel(desk: Desk, rest: str) -> Edit:
    channel = await channel_named(desk, rest)
    return lambda own: replace(own, approvals_channel=channel)


async def _reviewers(desk: Desk, rest: str) -> Edit:
    reviewers = people_named(re.split(r"[\s,]+", rest))
    return lambda own: replace(own, reviewers=reviewers)


async def _quorum(desk: Desk, rest: str) -> Edit:
    if not re.fullmatch(r"[0-9]{1,3}", rest):
        raise InvalidInput(f"“{unescape(rest)[:40]}” is not a whole number; nothing was changed.")
    return lambda own: replace(own, quorum=int(rest))


async def _own_requests(desk: Desk, rest: str) -> Edit:
    allowed = _yes_or_no(rest)
    return lambda own: replace(own, own_requests=allowed)


async def _break_glass(desk: Desk, rest: str) -> Edit:
    allowed = _yes_or_no(rest)
    return lambda own: replace(own, break_glass=allowed)


def _yes_or_no(rest: str) -> bool:
    known = {"yes": True, "on": True, "no": False, "off": False}
    if rest.lower() not in known:
        raise InvalidInput(f"“{unescape(rest)[:40]}” is neither `yes` nor `no`; nothing was changed.")
    return known[rest.lower()]


_WORDS: Final[dict[str, Callable[[Desk, str], Awaitable[Edit]]]] = {
    "timeout": _timeout,
    "on-timeout": _on_timeout,
    "channel": _channel,
    "reviewers": _reviewers,
    "quorum": _quorum,
    "own-requests": _own_requests,
    "break-glass": _break_glass,
    **schedule_commands.WORDS,
}
