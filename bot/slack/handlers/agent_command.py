"""`/agent`: start a task, list runs, stop one."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain import runs
from countersign.domain.errors import CountersignError, InvalidInput
from countersign.domain.ids import AttemptId, ChannelId, GroupId, RunId, short_name
from countersign.domain.people import is_channel
from countersign.domain.run_options import in_words
from countersign.domain.runs import Run
from countersign.usecases.ports import TeamInfo

from ..people.settings_check import why_not_seen, why_not_start
from ..views import modal_parts, modals
from ..views.block_kit import context, fitting, plain, words
from ..views.button_labels import STATES
from ..views.safe_text import quoted, typed, unescape
from ..views.slack_markup import escape, link, mention
from .context import Desk, Reply
from .payloads import Sender, delivery, sender
from .responses import SLACK_ERRORS, answer_command, answer_window, on_record, open_modal

HELP: Final = (
    "*`/agent <team> <task>`* starts a task, like `/agent email tell the vendor we need 10% off`\n"
    "*`/agent <team> <option>=<choice> <task>`* chooses how, like `/agent chat mode=never plan a picnic`\n"
    "*`/agent`* does the same in a window\n"
    "*`/agent status`* lists the runs of this channel, and those that you started elsewhere\n"
    "*`/agent stop <run>`* ends a run and withdraws what it asks\n"
    "*`/approvals`* says who decides here, and how long they have"
)
_LISTED: Final = 15
_NONE: Final[Mapping[str, str]] = {}
_log = logging.getLogger(__name__)


async def on_agent(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Handle `/agent …`; the ack comes after what was asked for was stored."""
    await answer_command(desk, ack, body, _agent(desk, body))


async def _agent(desk: Desk, body: dict[str, Any]) -> Reply:
    at = sender(body)
    first, rest = (*str(body.get("text") or "").split(maxsplit=1), "", "")[:2]
    match first.lower():
        case "":
            async with _start_on_record(desk, body, at.here, None):
                return await _open_start(desk, body, at)
        case "help":
            return Reply(HELP)
        case "status":
            return await _status(desk, at)
        case "stop":
            return await _stop(desk, at, rest.strip(), delivery(body))
    run = RunId("r" + short_name(str(body["trigger_id"]), at.user, length=8))
    return await _start(desk, body, at.here, run, first, unescape(rest).strip())


async def _open_start(desk: Desk, body: dict[str, Any], at: Sender) -> Reply:
    teams = await desk.store.workers.teams()
    if not teams:
        raise InvalidInput("No worker is running, so nothing can be started. Start one with `python -m agents`.")
    return await open_modal(desk.client, body, modals.start(teams, at.here))


async def on_team_chosen(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Show the options of the team that was chosen in the window.

    What was typed there stays.
    """
    await ack()
    view = body["view"]
    team = body["actions"][0]["selected_option"]["value"]
    try:
        window = modals.start(await desk.store.workers.teams(), modal_parts.channel_of(view), team)
        async with asyncio.timeout(5):
            await desk.client.views_update(view_id=view["id"], hash=view["hash"], view=window)
    except (CountersignError, *SLACK_ERRORS) as lost:
        # The window stays as it is; what is not chosen in it is the team's default.
        _log.error("The options of the team %s were not shown: %s", team, lost or type(lost).__name__)


async def on_start_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Start the task that was entered in the window of `/agent`."""
    view = body["view"]
    channel = modal_parts.channel_of(view)
    run = RunId("r" + short_name(str(view["id"]), sender(body).user, length=8))
    team, task = modal_parts.value(view, modals.TEAM), modal_parts.value(view, modals.TASK)
    options = modals.options_of(view, team)

    async def work() -> Reply:
        return await _start(desk, body, channel, run, team, task, options)

    await answer_window(desk, ack, body, work, deed="task", block=modals.TASK, quiet=True)


async def _start(
    desk: Desk,
    body: dict[str, Any],
    channel: ChannelId,
    run: RunId,
    team: str,
    words: str,
    options: Mapping[str, str] | None = None,
) -> Reply:
    """Without `options` they are the first words of a command's task."""
    at = sender(body)
    async with _start_on_record(desk, body, channel, run, team, words, options or {}):
        if options is None:
            teams = await desk.store.workers.teams()
            team = _team_named(team, teams)
            offered = next((t.options for t in teams if t.name == team), ())
            options, words = in_words(words, offered)
        return await _started(desk, at, channel, run, team, words, options)


def _team_named(typed: str, teams: list[TeamInfo]) -> str:
    """Find the team of this name, in capitals or not; else return what was typed.

    Where several names differ in case alone, only the exact one counts.
    """
    alike = [team.name for team in teams if team.name.casefold() == typed.casefold()]
    return alike[0] if len(alike) == 1 else typed


def _start_on_record(
    desk: Desk,
    body: dict[str, Any],
    channel: ChannelId,
    run: RunId | None,
    team: str = "",
    task: str = "",
    options: Mapping[str, str] = _NONE,
) -> AbstractAsyncContextManager[None]:
    """Record who was not allowed to start what, and why."""
    at = sender(body)

    async def record(why: str) -> None:
        await usecases.start_refused(
            desk.store,
            delivery(body),
            run=run,
            workspace=at.workspace,
            channel=channel,
            requester=at.user,
            team=team,
            task=task,
            options=options,
            why=why,
        )

    return on_record(record)


async def _started(
    desk: Desk, at: Sender, channel: ChannelId, run: RunId, team: str, task: str, options: Mapping[str, str]
) -> Reply:
    if task.strip() and any(t.name == team for t in await desk.store.workers.teams()):
        rules = await usecases.rules_of(desk.store, channel)
        why = await why_not_seen(desk.directory, channel)
        if why := why or await why_not_start(desk.directory, at.workspace, rules, at.user):
            raise InvalidInput(*why)
    started = await usecases.start(
        desk.store,
        desk.queue,
        run=run,
        workspace=at.workspace,
        channel=channel,
        requester=at.user,
        team=team,
        task=task,
        options=options,
        unrepeated=True,
    )
    if started.id != run:
        return Reply(
            f"The same task was started here a moment ago and is still running: run `{started.id}`. It was not started "
            "again; if you want it twice, wait a minute or change its words."
        )
    how = f" ({escape(runs.said(started))})" if started.options else ""
    where = "in this channel" if is_channel(GroupId(channel)) else "here, or in your messages with the app,"
    return Reply(f"Started *{escape(team)}*{how}, run `{run}`. Its thread appears {where} in a moment.")


async def _status(desk: Desk, at: Sender) -> Reply:
    going_on = await desk.store.indexes.active_runs(200)
    active = [run for run in going_on if at.channel == run.channel or at.user == run.requester]
    if not active:
        return Reply("No runs in progress here. `/agent <team> <task>` starts one.")
    head = "1 run in progress" if len(active) == 1 else f"{len(active)} runs in progress"
    lines = [[words(await _line(desk, run)), context(plain(typed(run.task), 150))] for run in active[:_LISTED]]
    blocks, shown = fitting(head, lines)
    if len(active) > shown:
        blocks.append(context(plain(f"and {len(active) - shown} older")))
    return Reply(head, blocks=blocks)


async def _line(desk: Desk, run: Run) -> str:
    name = f"`{run.id}`"
    for message in (f"run/{run.id}", f"run/{run.id}/direct"):
        shown = await desk.store.message(message)
        if shown is not None and shown.value.ts:
            name = f"`{run.id}` {link(desk.link(shown.value), 'open the thread')}"
            break
    waits = f" ({len(run.open)} open)" if len(run.open) > 1 else ""
    return f"{STATES[run.status]}{waits} · *{escape(quoted(run.team, 40))}* for {mention(run.requester)} · {name}"


async def _stop(desk: Desk, at: Sender, name: str, attempt: AttemptId) -> Reply:
    run = name.strip("`").strip()
    if not run:
        raise InvalidInput("Which run? Write it like `/agent stop r2345678`; `/agent status` lists them.")
    seen = await desk.store.run(known) if (known := RunId.named(run)) is not None else None
    if seen is not None and seen.value.over:
        return Reply(f"Run `{run}` has already ended: {STATES[seen.value.status]}. Nothing was changed.")
    groups = (await usecases.rules_of(desk.store, seen.value.channel)).reviewers.groups if seen else frozenset()
    actor = await desk.directory.actor(at.workspace, at.user, groups)
    await usecases.stop(desk.store, run, actor, desk.admins, attempt)
    return Reply(f"Run `{run}` is stopped, and its open requests are withdrawn.")
