"""`/agent`: start a task, list runs, stop one."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain import start_sentences
from countersign.domain.errors import CountersignError, InvalidInput
from countersign.domain.ids import AttemptId, ChannelId, GroupId, RunId, UserId, short_name
from countersign.domain.people import is_channel
from countersign.domain.run_options import in_words
from countersign.domain.runs import Run
from countersign.usecases.overview import with_links
from countersign.usecases.ports import TeamInfo

from ..people.account_check import why_not_seen, why_not_start
from ..people.actors import admit
from ..views import commands_text, home, modal_parts, start_modal
from ..views.block_kit import Block
from .ack_deadline import on_record
from .context import SLACK_ERRORS, Reply, Services
from .mention_parsing import typed
from .modal_opening import open_modal
from .payloads import Sender, delivery, sender

_LISTED: Final = 15
_NONE: Final[Mapping[str, str]] = {}
_log = logging.getLogger(__name__)


async def agent(services: Services, body: dict[str, Any]) -> Reply:
    """Handle `/agent …`."""
    at = sender(body)
    first, rest = (*str(body.get("text") or "").split(maxsplit=1), "", "")[:2]
    match first.lower():
        case "":
            async with _start_on_record(services, body, at.here, None):
                return await open_modal(services.client, body, _start_window(services, at))
        case "help":
            return Reply(commands_text.agent_help())
        case "status":
            return await _status(services, at)
        case "stop":
            return await _stop(services, at.user, rest.strip(), delivery(body))
    run = RunId("r" + short_name(str(body["trigger_id"]), at.user, length=8))
    return await _start(services, body, at.here, run, first, (await typed(services.directory, rest)).strip())


async def open_window(services: Services, body: dict[str, Any]) -> Reply:
    """Open the window from a greeting's or a Home's button, or from the shortcut.

    A Home and a shortcut do not belong to a channel, so the window asks for one.
    """
    return await open_modal(services.client, body, _start_window(services, sender(body)))


async def _start_window(services: Services, at: Sender) -> modal_parts.View:
    teams = await services.store.workers.teams()
    if not teams:
        raise InvalidInput(start_sentences.NO_WORKER)
    if at.channel is not None:
        return start_modal.start(teams, at.channel)
    defaults = await services.store.defaults()
    assert defaults is not None, "web stores them as it starts"
    return start_modal.start(teams, defaults.approvals_channel, anywhere=True)


async def on_team_chosen(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Show the options of the team chosen in the window.

    The typed task is kept.
    """
    await ack()
    view = body["view"]
    team = body["actions"][0]["selected_option"]["value"]
    try:
        teams, anywhere = await services.store.workers.teams(), start_modal.is_anywhere(view)
        window = start_modal.start(teams, start_modal.channel_for(view), team, anywhere=anywhere)
        async with asyncio.timeout(5):
            await services.client.views_update(view_id=view["id"], hash=view["hash"], view=window)
    except (CountersignError, *SLACK_ERRORS) as lost:
        # The window stays as it is; the team's defaults apply.
        _log.error("The options of the team %s were not shown: %r", team, lost)


async def start_from_window(services: Services, body: dict[str, Any]) -> Reply:
    """Start the task entered in the window of `/agent`."""
    view = body["view"]
    run = RunId("r" + short_name(str(view["id"]), sender(body).user, length=8))
    team, task = modal_parts.value(view, start_modal.TEAM), modal_parts.value(view, start_modal.TASK)
    options = start_modal.options_of(view, team)
    return await _start(services, body, start_modal.channel_for(view), run, team, task, options)


async def _start(
    services: Services,
    body: dict[str, Any],
    channel: ChannelId,
    run: RunId,
    team: str,
    words: str,
    options: Mapping[str, str] | None = None,
) -> Reply:
    """Start a task; without `options` they are read from the beginning of the task."""
    async with _start_on_record(services, body, channel, run, team, words, options or {}):
        teams = await services.store.workers.teams()
        if options is None:
            team = _team_named(team, teams)
            offered = next((t.options for t in teams if t.name == team), ())
            options, words = in_words(words, offered)
        requester = sender(body).user
        if words.strip() and any(t.name == team for t in teams):
            rules = await usecases.rules_of(services.store, channel)
            why = await why_not_seen(services.directory, channel)
            if why := why or await why_not_start(services.directory, rules, requester):
                raise InvalidInput(*why)
        started = await usecases.start(
            services.store,
            services.queue,
            run=run,
            workspace=services.directory.workspace,
            channel=channel,
            requester=requester,
            team=team,
            task=words,
            options=options,
            unrepeated=True,
        )
    if started.id != run:
        return Reply(start_sentences.repeated(started.id))
    return Reply(commands_text.run_started(started, in_channel=is_channel(GroupId(channel))))


def _team_named(typed: str, teams: list[TeamInfo]) -> str:
    """Find the team by its name, ignoring case, or return the typed name.

    If several names differ only in case, the exact name is required.
    """
    alike = [team.name for team in teams if team.name.casefold() == typed.casefold()]
    return alike[0] if len(alike) == 1 else typed


def _start_on_record(
    services: Services,
    body: dict[str, Any],
    channel: ChannelId,
    run: RunId | None,
    team: str = "",
    task: str = "",
    options: Mapping[str, str] = _NONE,
) -> AbstractAsyncContextManager[None]:
    """Record a refused start, and why it was refused."""

    async def record(why: str) -> None:
        await usecases.start_refused(
            services.store,
            delivery(body),
            run=run,
            workspace=services.directory.workspace,
            channel=channel,
            requester=sender(body).user,
            team=team,
            task=task,
            options=options,
            why=why,
        )

    return on_record(record)


async def _status(services: Services, at: Sender) -> Reply:
    await admit(services.directory, at.user)
    active = await services.store.indexes.active_runs(200)
    runs = [run for run in active if at.channel == run.channel or at.user == run.requester]
    entries = await _entries(services, runs[:_LISTED], at.user)
    return Reply.of(commands_text.runs_in_progress(entries, len(runs)))


async def _entries(services: Services, runs: list[Run], reader: UserId) -> list[list[Block]]:
    overview = services.homes.overview
    posted = await overview.messages([name for run in runs for name in (f"run/{run.id}", f"run/{run.id}/direct")])
    asked = await services.store.readable([request for run in runs for request in run.open.values()])
    waiting = [request for request in asked.values() if request is not None and request.decision is None]
    listed = await with_links(services.store, overview, services.link, waiting)
    entries = []
    for run in runs:
        head = posted.get(f"run/{run.id}") or posted.get(f"run/{run.id}/direct")
        entries.append(home.run_entry(run, services.link(head) if head else "", listed, reader))
    return entries


async def stop(services: Services, body: dict[str, Any]) -> Reply:
    """Stop the run whose button was clicked."""
    run = str(body["actions"][0].get("value"))
    return await _stop(services, sender(body).user, run, delivery(body))


async def on_session_stopped(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Stop the run of a thread in which somebody clicked Slack's own stop button.

    People who may not stop it get a message.
    """
    await ack()
    event = body["event"]
    channel, user = ChannelId(event["channel"]), UserId(event["user"])
    run = await services.store.message_run(services.directory.workspace, channel, event["thread_ts"])
    if run is None:
        return
    attempt = AttemptId("e" + short_name(str(body["event_id"]), user, length=20))
    try:
        await _stop(services, user, run, attempt)
    except CountersignError as refused:
        where = {"channel": channel, "thread_ts": event["thread_ts"]}
        try:
            await services.client.chat_postEphemeral(**where, user=user, text=str(refused))
        except SLACK_ERRORS as lost:
            _log.warning("The notice to %s that they may not stop this run could not be sent: %r", user, lost)


async def try_again(services: Services, body: dict[str, Any]) -> Reply:
    """Start the same task again for the person who clicked; once for each click (R8)."""
    run = RunId.named(str(body["actions"][0].get("value")))
    seen = await services.store.run(run) if run is not None else None
    if seen is None:
        raise InvalidInput(start_sentences.not_known())
    old = seen.value
    if not old.can_be_tried_again:
        raise InvalidInput(start_sentences.NOT_AGAIN)
    new = RunId("r" + short_name(str(delivery(body)), sender(body).user, length=8))
    return await _start(services, body, old.channel, new, old.team, old.task, old.options)


async def _stop(services: Services, user: UserId, typed: str, attempt: AttemptId) -> Reply:
    run = typed.strip("`").strip()
    if not run:
        raise InvalidInput(commands_text.run_missing())
    name = RunId.named(run)
    seen = await services.store.run(name) if name is not None else None
    if seen is not None and seen.value.over:
        return Reply(commands_text.run_ended_already(seen.value))
    groups = (await usecases.rules_of(services.store, seen.value.channel)).reviewers.groups if seen else frozenset()
    actor = await services.directory.actor(user, groups)
    await usecases.stop(services.store, run, actor, services.admins, attempt, services.queue)
    return Reply(commands_text.run_stopped(run, seen.value if seen is not None else None))
