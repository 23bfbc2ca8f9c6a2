"""What people change or choose: the windows behind Edit and Choose, and what is sent from them.

Judged twice, before a window opens and when it is sent: who, in time, on what content (R9, R13).
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain import decision_rules
from countersign.domain.decision_rules import Attempt
from countersign.domain.errors import NotFound, Refused
from countersign.domain.high_risk import is_asked
from countersign.domain.ids import AttemptId, short_name
from countersign.domain.refusals import Refusal
from countersign.domain.requests import Status, Verb
from countersign.usecases.ports import Admitted

from ..views import choice_controls, edit_modal, modal_parts, modals, review_modals
from ..views.card_controls import Handle
from ..views.request_text import no_votes
from .actors import actor_at, voters_of
from .modal_opening import open_modal
from .responses import Desk, Said, in_plain_text, in_time, said, tell, who

_NOT_YET: Final = (None, Refusal.NOT_ARGUMENTS, Refusal.NO_CHOICE, Refusal.NOT_OPENED)
"""What a window may open for: the person has still to say what they want."""
_UNNAMED: Final = AttemptId("none")
_READ_FIRST: Final = "Please read all of it first, and say so here. Nothing was decided."


async def on_edit(desk: Desk, body: dict[str, Any], handle: Handle | None, name: AttemptId) -> Said:
    """Edit was clicked: the form opens, of high risk what must be read before it, or a sentence says why not."""
    seen, attempt = await attempt_of(desk, body, handle, name, Verb.EDIT)
    await refuse_for_good(desk, seen, attempt)
    channel = who(body).channel or seen.value.rules.approvals_channel
    form = edit_modal.edit(seen.value, channel)  # also where it comes later, because nobody reads all of it for nothing
    if is_asked(seen.value, Verb.EDIT):
        form = review_modals.review_part(seen.value, channel, who(body).user, Verb.EDIT)
    return await open_modal(desk.client, body, form)


async def on_choose(desk: Desk, body: dict[str, Any], handle: Handle | None, name: AttemptId) -> Said:
    """An option was clicked, which counts, or Choose, which opens the window."""
    number = choice_controls.clicked(str(body["actions"][0].get("value")))
    seen, attempt = await attempt_of(desk, body, handle, name, Verb.CHOOSE)
    if number is not None:
        options = seen.value.question.options
        chosen = options[number : number + 1] if number >= 0 else ()
        return await _decided(desk, seen, replace(attempt, chosen=chosen))
    await refuse_for_good(desk, seen, attempt)
    channel = who(body).channel or seen.value.rules.approvals_channel
    return await open_modal(desk.client, body, modals.choose(seen.value, channel))


async def on_edit_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """The form was sent. What cannot be used is told under its input, and the form stays open."""
    view = body["view"]
    if not modal_parts.has_read(view):
        await ack(response_action="errors", errors={modal_parts.READ: _READ_FIRST})
        return
    errors: dict[str, str] = {}

    async def work() -> Said:
        seen, attempt = await attempt_of(desk, body, Handle.read(view["private_metadata"]), _UNNAMED, Verb.EDIT)
        try:
            arguments, words = edit_modal.read(view, seen.value.question)
        except edit_modal.WrongFields as wrong:
            errors.update(wrong.fields)
            return Said(str(wrong), False)
        attempt = replace(attempt, opened_for=review_modals.opened_for(view), typed=review_modals.typed_word(view))
        try:
            return await _decided(desk, seen, _named(attempt, view, words=words, arguments=arguments))
        except Refused as refused:
            if refused.refusal is Refusal.NOT_TYPED:
                errors[review_modals.WORD] = str(refused)
            raise

    await _sent(desk, ack, body, work, "change", edit_modal.first_input(view), errors)


async def on_choose_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Options were chosen in the window."""
    view = body["view"]
    if not modal_parts.has_read(view):
        await ack(response_action="errors", errors={modal_parts.READ: _READ_FIRST})
        return

    async def work() -> Said:
        seen, attempt = await attempt_of(desk, body, Handle.read(view["private_metadata"]), _UNNAMED, Verb.CHOOSE)
        chosen = choice_controls.read(view, seen.value.question)
        return await _decided(desk, seen, _named(attempt, view, chosen=chosen))

    await _sent(desk, ack, body, work, "choice", choice_controls.OPTIONS, {})


def _named(
    attempt: Attempt, view: dict[str, Any], *, words: str = "", arguments: str = "", chosen: tuple[str, ...] = ()
) -> Attempt:
    """What was sent is part of the attempt: after a refusal the same window may be sent with something else."""
    sent = (words, attempt.typed, arguments, *chosen)
    name = AttemptId("v" + short_name(view["id"], attempt.actor.user, *sent, length=20))
    return replace(attempt, id=name, words=words, arguments=arguments, chosen=chosen)


async def _sent(
    desk: Desk,
    ack: AsyncAck,
    body: dict[str, Any],
    work: Callable[[], Awaitable[Said]],
    what: str,
    block: str,
    errors: dict[str, str],
) -> None:
    channel = modal_parts.channel_of(body["view"])

    async def answer(result: Said | None) -> None:
        if result is None or result.counted:
            await ack()
        else:
            await ack(response_action="errors", errors=errors or {block: result.text})
        if result is not None and result.counted:
            await tell(desk.client, body, result, channel)

    told = in_plain_text(desk.directory, said(work(), what))
    await in_time(told, answer, lambda result: tell(desk.client, body, result, channel))


async def attempt_of(
    desk: Desk, body: dict[str, Any], handle: Handle | None, name: AttemptId, verb: Verb
) -> tuple[Admitted, Attempt]:
    at = who(body)
    seen = await usecases.admitted(desk.store, handle.request) if handle is not None else None
    if seen is None or handle is None:
        about = handle.request if handle else None
        await usecases.unknown_request(
            desk.store, name, request=about, workspace=at.workspace, user=at.user, verb=verb, words=""
        )
        raise NotFound(Refusal.UNKNOWN.value)
    actor = await actor_at(desk, at, seen.value.rules.reviewers)
    return seen, Attempt(name, actor, verb, handle.digest)


async def refuse_for_good(desk: Desk, seen: Admitted, attempt: Attempt) -> None:
    """Refused raises for what no window would change; it is said and written down (R25)."""
    if decision_rules.why_refused(seen.value, attempt, seen.now) not in _NOT_YET:
        await usecases.decide(desk.store, desk.queue, seen.value.id, attempt, seen)


async def _decided(desk: Desk, seen: Admitted, attempt: Attempt) -> Said:
    voters = partial(voters_of, desk.directory)
    after = await usecases.decide(desk.store, desk.queue, seen.value.id, attempt, seen, voters)
    if after.status is not Status.PENDING:
        return Said("")
    same = sum(vote.chosen == attempt.chosen for vote in after.votes)
    counted = f"Your choice is counted: {same} of {after.rules.quorum} people needed chose this."
    return Said(counted + no_votes(seen.value, after))
