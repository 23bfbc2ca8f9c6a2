"""Draw the thread of a run from its state: the head, the steps, and the outcome."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from countersign import usecases
from countersign.domain.errors import CountersignError
from countersign.domain.ids import GroupId, RunId, short_name
from countersign.domain.people import Reviewers
from countersign.usecases.ports import Store

from ..people.users_and_groups import Directory
from ..ports import CannotPost, Importance
from ..views import run_steps, thread_notes
from ..views.block_kit import Drawing
from ..views.run_steps import RequestOnCard, RunStep
from . import card_grouping
from .agent_features import AgentFeatures
from .message_sync import File, Place, Poster
from .run_thread import RunThread, root_of

_NEW: Final = timedelta(seconds=5)
"""A question's card is drawn within this time, unless Slack makes it wait."""
_log = logging.getLogger(__name__)


async def draw(
    store: Store,
    poster: Poster,
    run_id: RunId,
    directory: Directory | None = None,
    features: AgentFeatures | None = None,
    *,
    without_worker: bool = False,
) -> list[File]:
    """Make Slack show the run's thread, and return its files.

    `directory` tells whether the requester is still there; `without_worker`: no worker has been heard from.
    """
    seen = await store.run(run_id)
    if seen is None:
        _log.warning("Events mention run %s, which no longer exists.", run_id)
        return []
    run, files = seen.value, list[File]()
    if run.program:  # a program's run has cards only
        return []
    thread = RunThread(store, poster, run, thread_notes.run_message(run))
    asked, card_is_coming = await _asked_by(thread)
    posted = await store.message(f"progress/{run.id}") is not None
    steps = run_steps.steps(run, asked, without_worker=without_worker, posted=posted)
    steps_first = run.over and not posted
    if steps_first:  # a quick run: steps that are posted later would appear below the outcome
        try:
            await _draw_steps(thread, features, steps)
        except CannotPost as refused:
            _log.error("The steps of run %s cannot be shown (%s); its outcome will be.", run.id, refused)
    if run.over:
        files = await _draw_outcome(thread, asked, directory)
    else:
        waiting = [one for one in asked if one.request.decision is None]
        here = bool(waiting) and all(one.in_thread and one.request.rules.in_thread for one in waiting)
        drawing = thread_notes.run_message(run, [one.request for one in waiting], here=here)
        thread = replace(thread, drawing=drawing)
        await thread.head()
    streamed = features is not None and features.streams(run.id)
    if not steps_first and (run.over or streamed or not card_is_coming):  # the thread is drawn with the coming card
        await _draw_steps(thread, features, steps)
    if run.over:
        await thread.head()
    if features is not None and (root := await root_of(poster, run.id)) is not None:
        await features.session(run, root, run_steps.session_title(run))
    return files + await _made(thread)


async def _draw_steps(thread: RunThread, features: AgentFeatures | None, steps: Sequence[RunStep]) -> None:
    """Draw the steps, streamed if Slack can; end another process's stream first."""
    run, name = thread.run, f"progress/{thread.run.id}"
    root = await root_of(thread.poster, run.id) if features is not None else None
    if not steps:
        return
    chunks = run_steps.chunks_of(run, steps)
    if features is not None and root is not None and await features.stream(run, chunks, name, root):
        return
    drawing = run_steps.drawn_as_list(run, steps)
    try:
        await thread.note(name, drawing)
    except CannotPost as refused:
        seen = await thread.store.message(name)
        if str(refused) != "streaming_state_conflict" or seen is None or features is None:
            raise
        await features.end(seen.value.channel, seen.value.ts)
        await thread.note(name, drawing)


async def _asked_by(thread: RunThread) -> tuple[list[RequestOnCard], bool]:
    """Read the run's newest questions that people see, each with its card.

    Also tells whether the card of a new question is about to be posted.
    """
    store, asked, card_is_coming = thread.store, list[RequestOnCard](), False
    for name in thread.run.recent:
        seen = await store.intact(name)
        if seen is None or seen.value.run != thread.run.id:
            continue
        card = await card_grouping.card_of(store, seen)
        message = await thread.poster.first_standing(card.name, f"{card.of(thread.run.id).name}/instead")
        if message is None and seen.value.decision is None:
            card_is_coming |= seen.now - seen.value.created_at < _NEW
            continue
        row = card_grouping.number_of(seen.value, card.rows)
        link = thread.poster.link(message) if message else None
        asked.append(RequestOnCard(seen.value, row, link, message is not None and bool(message.thread)))
    return asked, card_is_coming


async def _draw_outcome(thread: RunThread, asked: Sequence[RequestOnCard], directory: Directory | None) -> list[File]:
    """Show how the run ended; a final text that is too long becomes a file.

    A text that a conversation's card already shows is not repeated.
    """
    run, files = thread.run, []
    if (whole := thread_notes.outcome_file(run)) is not None:
        files.append(File(f"outcome-file/{run.id}", await thread.place(), *whole))
    filed = not await thread.poster.missing([file.name for file in files])
    note = thread_notes.outcome_note(run, filed=filed)
    said = any(one.is_conversation and one.request.question.content.strip() == run.words.strip() for one in asked)
    shown = thread_notes.outcome_note(run, filed=filed, said=True) if said and whole is None else note
    await thread.note(f"outcome/{run.id}", shown, importance=Importance.OUTCOME)
    if directory is not None:
        await _tell_who_left(thread, directory, note)
    return files


async def _made(thread: RunThread) -> list[File]:
    """Return files that approved code made; post a note about the omitted ones."""
    store, run = thread.store, thread.run.id
    kept = await store.made.kept(run)
    made = {f"made/{run}/{short_name(key, length=16)}": (key, name) for key, name in kept.files.items()}
    tried = {name: file for name, file in (await store.messages([*made])).items() if file.ts or file.problem}
    refused = [(made[message][1], file.problem) for message, file in sorted(tried.items()) if file.problem]
    if kept.left or refused:
        await thread.note(f"unattached/{run}", thread_notes.unattached_note(kept.left, refused))
    files = []
    for message, (key, name) in made.items():
        if message not in tried and (content := await store.made.content(run, key)) is not None:
            files.append(File(message, await thread.place(), *thread_notes.made_file(name, content)))
    return files


async def _tell_who_left(thread: RunThread, directory: Directory, outcome: Drawing) -> None:
    """Report the run's outcome elsewhere if the requester has left.

    Slack does not say who follows a thread, so channel membership counts: a requester who has left the channel gets a
    direct message. If they have left the workspace, the channel's reviewers get it.
    """
    run = thread.run
    if not await thread.poster.first_standing(f"run/{run.id}"):
        return  # the whole thread is a direct message to them
    channel = GroupId(run.channel)
    actor = await directory.actor(run.requester, [channel])
    if actor.checked and (actor.is_deactivated or actor.is_stranger):
        note = thread_notes.requester_gone_note(run, await _reviewers(thread))
        await thread.note(f"gone/{run.id}", note, importance=Importance.OUTCOME)
    elif actor.groups is not None and channel not in actor.groups:
        note = thread_notes.requester_left_note(run, outcome)
        try:
            place = Place(await thread.poster.direct(run.requester))
            await thread.poster.show(f"left/{run.id}", place, note, importance=Importance.OUTCOME)
        except CannotPost:  # they accept no messages from apps; the thread has the outcome
            return


async def _reviewers(thread: RunThread) -> Reviewers:
    """Return the reviewers of the run's channel; empty if they are unknown."""
    try:
        return (await usecases.rules_of(thread.store, thread.run.channel)).reviewers
    except CountersignError:
        return Reviewers()
