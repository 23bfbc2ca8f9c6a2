"""One workspace that `web` serves: its store, handlers, projector and keepers.

`opened` builds all of it, from a token that Slack has given for that workspace.
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

import redis.asyncio

from countersign.domain.channel_settings import Rules
from countersign.domain.errors import WrongSettings
from countersign.domain.ids import ChannelId, UserId, WorkspaceId
from countersign.domain.proof import Proof
from countersign.policy import file
from countersign.policy.evaluation import Rulebook
from countersign.store.audit_log import Ledger
from countersign.store.outbox import Outbox
from countersign.store.programs import ApiKeys
from countersign.store.redis.durability import Replicas
from countersign.store.request_lists import Overview
from countersign.store.sign_ins import MailNotes
from countersign.store.slack_facts import RedisSlackFacts
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines, requeued_runs, unreported_outcomes
from countersign.usecases.overview import card_link
from countersign.usecases.permission_use import before_people
from countersign.usecases.store_outages import patient

from .api.callbacks import CallbackDelivery
from .api.endpoints import Interface
from .api.port import ApiPort
from .audit import receipts, weekly_figures
from .audit.auditor import Auditor, Retention
from .audit.sql_copy import SqlSink
from .pages.desk import Desk
from .pages.mails import Mails, MailServer
from .pages.site import Pages
from .settings import WebSettings
from .slack.answer_check import AnswerCheck
from .slack.app import App, Clients, Identity, build, identify
from .slack.handlers.context import Services
from .slack.people import account_check, channel_membership
from .slack.people.actors import giver_of
from .slack.people.lookup_cache import LookupCache
from .slack.people.users_and_groups import KEPT, Directory
from .slack.projector import audit_posts, unreachable_reviewers
from .slack.projector.clicked_cards import ClickedCards
from .slack.projector.home_publisher import HomePublisher
from .slack.projector.message_sync import Poster
from .slack.projector.projector import Projector
from .slack.routes import register
from .slack.slack_calls import GatedCalls
from .slack.views.edit_modal import check_form
from .worker_areas import WorkerAreas

_TRY_AGAIN: Final = 2.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A served workspace; `app` takes Slack's payloads."""

    app: App
    identity: Identity
    store: Store
    answers: AnswerCheck


def store_of(settings: WebSettings, client: redis.asyncio.Redis, namespace: str) -> Store:
    """Return the store of one namespace, as `web` may use it."""
    replicas = Replicas(settings.redis_wait, timedelta(milliseconds=settings.redis_wait_ms))
    return Store(client, namespace, replicas)


@asynccontextmanager
async def opened(
    settings: WebSettings,
    store: Store,
    clients: Clients,
    owner: str,
    port: ApiPort,
    team: WorkspaceId | None = None,
    pages: Pages | None = None,
) -> AsyncIterator[Workspace]:
    """Serve the workspace of the clients' token until the block ends.

    `port` serves its workers and programs, and `pages` its people, if there are pages. `team`: which one, where the
    token is an organization's.
    Waits while Redis or Slack is away. WrongSettings if Slack refuses the token, or a channel is missing.
    """
    async with AsyncExitStack() as stack:
        identity = await identify(clients.reads, team)
        lookups = LookupCache(RedisSlackFacts(store), longest=settings.last_known_for)
        external = settings.external_channels
        directory = Directory(clients.reads, identity.workspace, lookups, external_channels=external)
        stack.push_async_callback(directory.close)
        rules = await checked_rules(settings, directory)
        await patient(store).set_defaults(rules)
        await patient(store).set_workspace(identity.workspace)
        book = Rulebook() if settings.policy is None else file.read(settings.policy)
        if (unproved := proof_problem(book)) is not None and settings.public_url is None:
            raise WrongSettings([f"POLICY: {unproved}"])
        await patient(store).set_rulebook(book)
        if not rules.reviewers:
            _log.warning("REVIEWERS names nobody: runs start only in channels that name reviewers themselves.")

        queue = await stack.enter_async_context(WorkerAreas(settings.redis_url.get_secret_value(), store))
        wakeups = await stack.enter_async_context(Wakeups(store))
        answers = AnswerCheck(clients.reads, identity.workspace)
        calls = GatedCalls(clients.posts, settings.slack_pace, answers)
        poster = Poster(calls, store, identity.workspace, identity.home, identity.names)
        poster.thread_replies = settings.thread_replies
        poster.pages = settings.public_url or ""
        admins = frozenset(UserId(i) for i in settings.admins)
        homes = HomePublisher(
            store,
            Overview(store),
            directory,
            GatedCalls(clients.homes, settings.slack_pace, answers),
            poster.link,
            public_key=partial(receipts.public_if_made, settings.audit_key),
            admins=admins,
        )
        cards = ClickedCards(store, poster, clients.reads.session)
        services = Services(
            store, queue, directory, clients.reads, admins, poster.link, homes, cards, identity.bot_user, poster.pages
        )
        app = build(clients, identity)
        register(app, services)
        whose, why_nobody = partial(giver_of, store, directory), partial(account_check.why_not_asked, directory)
        allow = before_people(store, queue, whose, why_nobody)

        outbox = Outbox(store)
        projector = Projector(store, outbox, poster, owner, drawn=homes.changed, allow=allow, directory=directory)
        await channel_membership.note(store, directory)
        auditor = await _auditor(settings, store, poster, directory, owner, rules.approvals_channel)
        for name, work in (
            ("token check", answers.keep()),
            ("homes", homes.run()),
            ("projector", projector.run()),
            ("lost jobs", requeued_runs.keep(store, queue)),
            ("deadlines", deadlines.keep(store, queue, wakeups, directory.still_there)),
            ("channel membership", channel_membership.keep(store, directory)),
            ("unreachable reviewers", unreachable_reviewers.keep(store, directory, poster)),
            ("auditor", auditor.run()),
            ("unreported outcomes", unreported_outcomes.keep(store)),
            ("callbacks", CallbackDelivery(store, owner, settings.callback_networks).run()),
        ):
            await stack.enter_async_context(at_work(name, work))
        stack.push_async_callback(services.drain)
        interface = Interface(
            store,
            ApiKeys(store),
            wakeups,
            channels=directory.channels,
            workspace=identity.workspace,
            nobody=identity.bot_user,
            check_form=check_form,
            card_link=partial(card_link, Overview(store), poster.link) if pages is None else pages.link_of,
            networks=settings.callback_networks,
            users_named=directory.users_named,
        )
        url = stack.enter_context(port.serving(identity.workspace, interface))
        if pages is not None:
            last_known = max(KEPT, settings.last_known_for)
            on_pages = Directory(
                clients.reads, identity.workspace, lookups, external_channels=external, last_known=last_known
            )
            desk = Desk(identity.workspace, store, queue, Overview(store), on_pages, poster.link, admins)
            stack.enter_context(pages.serving(desk))
            if settings.pages_mail_url is not None:
                server = MailServer.at(settings.pages_mail_url.get_secret_value(), settings.pages_mail_from)
                mails = Mails(desk, pages.people, MailNotes(store), server, poster.pages, owner)
                await stack.enter_async_context(at_work("mails", mails.run()))
        await stack.enter_async_context(at_work("address for workers", queue.keep_address(url)))
        yield Workspace(app, identity, store, answers)


def proof_problem(book: Rulebook) -> str | None:
    """Say which rule needs pages for its proof; None if a click suffices for all."""
    for clause in book.clauses:
        if clause.terms.proof not in (None, Proof.SLACK):
            return (
                f"the rule “{clause.name}” (line {clause.line}) needs the proof {clause.terms.proof}, which people "
                "give on pages, and there are none. Set PUBLIC_URL, or remove `proof` from the rule."
            )
    return None


async def checked_rules(settings: WebSettings, directory: Directory) -> Rules:
    """Return the default rules.

    WrongSettings names the channel or the people that cannot be used.
    """
    rules = settings.rules(await _channel("APPROVALS_CHANNEL", settings.approvals_channel, directory))
    if await account_check.why_not_shown(directory, rules.approvals_channel) is not None:
        shared = f"{settings.approvals_channel} is shared with another company, whose people would read every card"
        raise WrongSettings([f"APPROVALS_CHANNEL: {shared}. Name another one, or set EXTERNAL_CHANNELS=yes."])
    admins = map(UserId, settings.admins)
    found = {
        "REVIEWERS": await account_check.unknown(directory, rules.reviewers.users, rules.reviewers.groups),
        "ADMINS": await account_check.unknown(directory, admins),
    }
    if problems := [
        f"{name}: Slack knows no {', '.join(ids)} in this workspace. "
        "A person's member ID is in the ⋯ menu of their profile."
        for name, ids in found.items()
        if ids
    ]:
        raise WrongSettings(problems)
    return rules


async def _auditor(
    settings: WebSettings, store: Store, poster: Poster, directory: Directory, owner: str, approvals: ChannelId
) -> Auditor:
    """Make the auditor, with the copy and the posted heads that the settings ask for."""
    ledger, sink = Ledger(store), None
    beside: list[Callable[[], Coroutine[None, None, None]]] = []
    if settings.audit_sql_url is not None:
        sink = SqlSink(ledger, settings.audit_sql_url.get_secret_value())
        beside.append(sink.run)
    if settings.audit_channel is not None:
        channel = await _channel("AUDIT_CHANNEL", settings.audit_channel, directory)
        beside.append(lambda: audit_posts.keep_checkpoints(ledger, store, poster, channel))
    if settings.weekly_digest:
        beside.append(
            lambda: audit_posts.keep_digests(
                partial(weekly_figures.summed, ledger), weekly_figures.picture, store, poster, approvals
            )
        )
    return Auditor(store, owner, keep=Retention(settings.keep_events, settings.keep_audit), sink=sink, beside=beside)


async def _channel(setting: str, name: str, directory: Directory) -> ChannelId:
    """Return the id of the channel; waits while Slack does not answer.

    WrongSettings if the app is in no such channel.
    """
    if not name.startswith("#"):
        return ChannelId(name)
    while (rooms := await directory.channels()) is None:
        _log.warning("Slack does not say which channels the app is in; asking again in %s s.", _TRY_AGAIN)
        await asyncio.sleep(_TRY_AGAIN)
    channel = rooms.get(name.removeprefix("#"))
    if channel is None:
        raise WrongSettings([f"{setting}: the app is not in {name}. Make the channel and /invite the app there."])
    return channel


@asynccontextmanager
async def at_work(name: str, work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run the work in the background of the block.

    If the work ends before the block, that is a bug, and the process stops with an error.
    """
    task = asyncio.create_task(work, name=name)

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            _log.critical("%s ended unexpectedly; this process stops.", name, exc_info=task.exception())
            os.kill(os.getpid(), signal.SIGINT)  # at once

    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
