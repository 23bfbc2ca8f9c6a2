"""Names of everything in Redis.

Only `web` reads and writes these keys; workers have an area of their own (`countersign.runs.area`). All keys share one
hash tag, so that one script may access them on a Cluster. Records are `version schema`, newline, JSON (zlib where that
is shorter).

| key | type | holds | ends |
|---|---|---|---|
| `{ns}:request:<id>` | string | a request | 30 days after its run |
| `{ns}:run:<id>` | string | a run | 30 days after it ended |
| `{ns}:settled:<run>` | set | settled requests of an active run, for its rebuild | with its run |
| `{ns}:made:<run>` | hash | files that approved code made, names of omitted files | 7 days after the last |
| `{ns}:message:<id>` | hash | our messages about a run, request, event or day, by kind | 400 days after one |
| `{ns}:ts:<workspace>:<channel>:<hour>` | hash | requests, runs of its messages, by ts | 400 days after one |
| `{ns}:once:<attempt>` | string | an attempt that was refused, a card that Slack did not take | 1 day |
| `{ns}:worker:<id>` | string | the teams that a worker announces, and the runs that it holds | 15 s, renewed |
| `{ns}:settings:<channel>` | string | a channel's settings | never |
| `{ns}:proof_channels` | set | channels that have, or had, a proof among their own settings | never |
| `{ns}:absences` | string | who is away until when, and who stands in | never |
| `{ns}:permission:<id>` | string | a standing permission | at its end |
| `{ns}:permission:index` | sorted set | permissions that were not revoked, by their end (ms) | never |
| `{ns}:defaults` | string | the default rules, from the environment of `web` | never |
| `{ns}:workspace` | string | the Slack workspace that `web` belongs to | never |
| `{ns}:channels` | string | the channels that the app is in | 10 min, renewed |
| `{ns}:person:<user>` | string | who a user is, as Slack said when it was asked | 5 min later, or LAST_KNOWN_FOR |
| `{ns}:joined:<user>` | string | the channels that a user is in, as Slack said | 5 min later, or LAST_KNOWN_FOR |
| `{ns}:members:<channel>` | string | the members of a channel, as Slack said | 5 min later, or LAST_KNOWN_FOR |
| `{ns}:usergroups` | string | user groups and who is in them, as Slack said | 5 min later, or LAST_KNOWN_FOR |
| `{ns}:rulebook` | string | the workspace's policy, from the file that `web` read at its start | never |
| `{ns}:pending` | sorted set | undecided requests, by their next due step (ms; +inf: none) | never |
| `{ns}:unposted` | sorted set | undecided requests whose card is not posted yet, by creation (ms) | never |
| `{ns}:active` | sorted set | runs that have not ended and are not parked, by creation (ms) | never |
| `{ns}:parked` | sorted set | parked runs, which no worker holds in memory, by creation (ms) | never |
| `{ns}:undelivered` | sorted set | settled requests that their run has not received yet, by when (ms) | never |
| `{ns}:unreported` | sorted set | settled requests of programs, until they report, by when (ms) | never |
| `{ns}:callbacks` | sorted set | decisions to be posted to programs, by when to try next (ms) | never |
| `{ns}:calling_back` | hash | lease of the process that posts them, as for a run | 1 hour after the lease |
| `{ns}:channel_names` | string | the names of these channels | 10 min, renewed |
| `{ns}:api_key:<id>` | string | a program's key: name, channels, limits, digests, secrets of callbacks | never |
| `{ns}:api_keys` | sorted set | the ids of all keys of programs, by creation (ms) | never |
| `{ns}:api_rate:<id>` | string | requests that a key made in a minute | 1 min |
| `{ns}:api_asking:<id>` | sorted set | runs for which a key is asking now, by start (ms) | 1 min |
| `{ns}:api_open:<id>` | set | requests of a key that may wait | 30 days after one |
| `{ns}:passkeys:<user>` | string | a person's passkeys, and the digests of codes to enrol one | never |
| `{ns}:passkey_holders` | set | users who have, or had, a passkey or a code | never |
| `{ns}:challenge:<digest>` | string | a statement that waits to be signed, by the digest of its nonce | 5 min |
| `{ns}:proposal:<digest>` | string | a change of settings that an admin confirms with a proof | 7 days |
| `{ns}:waits:<name>` | sorted set | undecided requests that wait for a user or group, or in a channel | never |
| `{ns}:waits_not:<user>` | sorted set | a group's requests on which this member has voted | never |
| `{ns}:waiting_groups` | sorted set | user groups that were asked, by when last (ms) | never |
| `{ns}:list_changes` | string | how often these lists were changed, for pages that are open | never |
| `{ns}:decided:<name>` | sorted set | newest 100 decisions of a user or channel, by when | 30 days after one |
| `{ns}:runs:<user>` | sorted set | runs of this requester that have not ended, by creation (ms) | never |
| `{ns}:watching` | sorted set | people whose Home is live, by until when (ms) | never |
| `{ns}:second_look` | sorted set | messages that may get a second copy, by when to look again (ms) | never |
| `{ns}:workers` | sorted set | workers by when their announcement ends (ms) | never |
| `{ns}:events` | stream | events not drawn and recorded yet; older ones for KEEP_EVENTS | never |
| `{ns}:audit` | stream | the record: entry n under the id `n-0` | after KEEP_AUDIT |
| `{ns}:audit:policy` | string | the number of the last policy that came into force | never |
| `{ns}:audit:head` | hash | of the record: `n`, `hash`, last `event` chained, `checkpoint` it follows | never |
| `{ns}:audit:day:<day>` | string | the head that is posted for that day | 30 days |
| `{ns}:audit:lease` | hash | lease of the auditor, as for a run | 1 hour after the lease |
| `{ns}:projector` | hash | lease of the projector, as for a run | 1 hour after the lease |
| `{ns}:confirmed` | string | written before each WAIT, so that it covers all earlier writes | 1 min |
| `{ns}:installations` | hash | of each workspace that installed the app by OAuth: its tokens, sealed | never |
| `{ns}:renewing:<workspace>` | string | marks that its token is being renewed | 1 min |
| `{ns}:confirming:<digest>` | string | an answer that waits for its proof, by the digest of a nonce | 5 min |
| `{ns}:session:<digest>` | string | who is signed in to the pages, by the digest of a cookie | 12 h after the sign-in |
| `{ns}:mailed:<user>` | sorted set | requests that this user was told of by mail, by when (ms) | 30 days after one |
| `{ns}:mailer` | hash | lease of the process that sends these mails, as for a run | 1 hour after the lease |
| `{ns}:signed_out:<workspace>:<user>` | string | sessions of this person from before then have ended | 12 h later |
| `{ns}:wake` | channel | hints: `request <id>` with the settled request after a newline, `run <id>`, `due` | – |
"""

import re
from datetime import date, timedelta
from typing import Final

from countersign.domain.errors import InvalidId
from countersign.domain.ids import (
    ApiKeyId,
    AttemptId,
    ChannelId,
    Digest,
    GroupId,
    PermissionId,
    RequestId,
    RunId,
    UserId,
    WorkerId,
    WorkspaceId,
)

KEPT: Final = timedelta(days=30)  # ended runs and their requests stay readable
KEPT_MESSAGE: Final = timedelta(days=400)  # our Slack messages: longer than any card can wait for a click
KEPT_ATTEMPT: Final = timedelta(days=1)
KEPT_PROPOSAL: Final = timedelta(days=7)
KEPT_CHANNELS: Final = timedelta(minutes=10)

WITHOUT_TTL: Final[dict[str, str]] = {
    "request:*": "until its run ends: however long that waits, a rebuilt run must find what was decided",
    "run:*": "until it ends; ended ones get a TTL",
    "settled:*": "while its run lives; gets its run's TTL at the end",
    "settings:*": "settings stay until somebody changes them",
    "proof_channels": "one key; a member for each channel that ever set a proof",
    "absences": "one key; those that ended are dropped at each change",
    "permission:index": "one key; entries that ended are dropped when another is added",
    "defaults": "one key; rewritten at each start of web",
    "workspace": "one key; rewritten at each start of web",
    "rulebook": "one key; rewritten at each start of web",
    "pending": "one key; empties as requests are settled",
    "unposted": "one key; empties as cards are posted and requests are settled",
    "active": "one key; empties as runs end",
    "parked": "one key; empties as runs go on",
    "undelivered": "one key; empties as runs take the decisions",
    "unreported": "one key; empties as programs report, where nothing was approved, or after a day",
    "callbacks": "one key; empties as decisions are delivered, or after two days",
    "api_key:*": "a key stays until somebody deletes it; a revoked one tells why it is refused",
    "api_keys": "one key; a member for each key",
    "passkeys:*": "passkeys stay until they are revoked; revoked ones tell why they are refused",
    "passkey_holders": "one key; a member for each person who enrols",
    "waits:*": "a member for each request that waits; empties as they are settled",
    "waits_not:*": "a member for each request that waits; empties as they are settled",
    "waiting_groups": "one key; a member for each user group that ever was a reviewer",
    "list_changes": "one key, a number",
    "runs:*": "a member for each run that goes on; empties as they end",
    "second_look": "one key; empties as they are looked at",
    "watching": "one key; whoever opens a Home drops those that ended",
    "workers": "one key; entries that ended are dropped at each announcement",
    "events": "the outbox; what is drawn and chained leaves at once, or after KEEP_EVENTS",
    "audit": "the record; trimmed after KEEP_AUDIT, and by default never",
    "audit:policy": "one key; the number of the last policy",
    "audit:head": "one key; what the next entry follows",
    "installations": "one key; a field for each workspace that ever installed the app",
}
"""Keys that may stay without a TTL, and why; a test fixture holds every key against this list."""

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
_AREA: Final = re.compile(r"-work(-|$)")
"""Reserved for the names of workers' areas (`area_namespace`); otherwise one installation's worker might own another's
keys."""
_ABOUT: Final = re.compile(r"[A-Za-z0-9-]{1,64}")  # a message's subject: a run, request, channel, event or day


def area_namespace(namespace: str, area: str = "") -> str:
    """Name the area of all workers, or of the workers with the key `area`."""
    return f"{namespace}-work-{ApiKeyId(area)}" if area else f"{namespace}-work"


class Keys:
    """The keys of one namespace (one workspace's installation).

    Each method checks its ids again: a text that is not an id of its kind gets no key (R27).
    """

    def __init__(self, namespace: str) -> None:
        if _NAMESPACE.fullmatch(namespace) is None:
            raise ValueError(f"{namespace!r} cannot be a namespace: letters, digits, - and _, at most 60.")
        if _AREA.search(namespace):
            raise ValueError(f"{namespace!r} cannot be a namespace: it names the workers' area of another one.")
        self.namespace: Final = namespace
        self.prefix: Final = f"{{{namespace}}}:"
        self.proof_channels: Final = self.prefix + "proof_channels"
        self.absences: Final = self.prefix + "absences"
        self.permissions: Final = self.prefix + "permission:index"
        self.defaults: Final = self.prefix + "defaults"
        self.workspace: Final = self.prefix + "workspace"
        self.channels: Final = self.prefix + "channels"
        self.channel_names: Final = self.prefix + "channel_names"
        self.usergroups: Final = self.prefix + "usergroups"
        self.rulebook: Final = self.prefix + "rulebook"
        self.pending: Final = self.prefix + "pending"
        self.unposted: Final = self.prefix + "unposted"
        self.active: Final = self.prefix + "active"
        self.parked: Final = self.prefix + "parked"
        self.undelivered: Final = self.prefix + "undelivered"
        self.unreported: Final = self.prefix + "unreported"
        self.callbacks: Final = self.prefix + "callbacks"
        self.calling_back: Final = self.prefix + "calling_back"
        self.api_keys: Final = self.prefix + "api_keys"
        self.passkey_holders: Final = self.prefix + "passkey_holders"
        self.workers: Final = self.prefix + "workers"
        self.waiting_groups: Final = self.prefix + "waiting_groups"
        self.list_changes: Final = self.prefix + "list_changes"
        self.watching: Final = self.prefix + "watching"
        self.second_look: Final = self.prefix + "second_look"
        self.events: Final = self.prefix + "events"
        self.audit: Final = self.prefix + "audit"
        self.audit_policy: Final = self.prefix + "audit:policy"
        self.audit_head: Final = self.prefix + "audit:head"
        self.auditor: Final = self.prefix + "audit:lease"
        self.projector: Final = self.prefix + "projector"
        self.confirmed: Final = self.prefix + "confirmed"
        self.installations: Final = self.prefix + "installations"
        self.mailer: Final = self.prefix + "mailer"
        self.wake: Final = self.prefix + "wake"

    def request(self, request: RequestId) -> str:
        return f"{self.prefix}request:{RequestId(request)}"

    def run(self, run: RunId) -> str:
        return f"{self.prefix}run:{RunId(run)}"

    def settled(self, run: RunId) -> str:
        return f"{self.prefix}settled:{RunId(run)}"

    def made(self, run: RunId) -> str:
        return f"{self.prefix}made:{RunId(run)}"

    def message(self, name: str) -> tuple[str, str]:
        """Name the hash and the field of `kind/id` or `kind/id/more`.

        All messages of one id share a small hash.
        """
        kind, _, rest = name.partition("/")
        about, _, more = rest.partition("/")
        if _ABOUT.fullmatch(about) is None:
            raise InvalidId(f"{ascii(name)[:80]} is not the name of a message.")
        return f"{self.prefix}message:{about}", f"{kind}/{more}" if more else kind

    def ts(self, workspace: WorkspaceId, channel: ChannelId, ts: str) -> str:
        """Name the hash of that timestamp's hour since 1970.

        An entry in a small hash takes half the bytes of a key.
        """
        seconds = ts.partition(".")[0]
        hour = int(seconds) // 3600 if seconds.isdecimal() else 0
        return f"{self.prefix}ts:{WorkspaceId(workspace)}:{ChannelId(channel)}:{hour}"

    def settings(self, channel: ChannelId) -> str:
        return f"{self.prefix}settings:{ChannelId(channel)}"

    def person(self, user: UserId) -> str:
        return f"{self.prefix}person:{UserId(user)}"

    def joined(self, user: UserId) -> str:
        return f"{self.prefix}joined:{UserId(user)}"

    def members(self, channel: ChannelId) -> str:
        return f"{self.prefix}members:{ChannelId(channel)}"

    def waits(self, name: UserId | GroupId | ChannelId) -> str:
        return f"{self.prefix}waits:{_named(name)}"

    def waits_not(self, user: UserId | GroupId | ChannelId) -> str:
        return f"{self.prefix}waits_not:{_named(user)}"

    def decided(self, name: UserId | GroupId | ChannelId) -> str:
        return f"{self.prefix}decided:{_named(name)}"

    def runs(self, requester: UserId) -> str:
        return f"{self.prefix}runs:{UserId(requester)}"

    def permission(self, permission: PermissionId) -> str:
        return f"{self.prefix}permission:{PermissionId(permission)}"

    def once(self, attempt: AttemptId) -> str:
        return f"{self.prefix}once:{AttemptId(attempt)}"

    def api_key(self, key: ApiKeyId) -> str:
        return f"{self.prefix}api_key:{ApiKeyId(key)}"

    def api_rate(self, key: ApiKeyId) -> str:
        return f"{self.prefix}api_rate:{ApiKeyId(key)}"

    def api_asking(self, key: ApiKeyId) -> str:
        return f"{self.prefix}api_asking:{ApiKeyId(key)}"

    def api_open(self, key: ApiKeyId) -> str:
        return f"{self.prefix}api_open:{ApiKeyId(key)}"

    def passkeys(self, user: UserId) -> str:
        return f"{self.prefix}passkeys:{UserId(user)}"

    def proposal(self, proposal: Digest) -> str:
        return f"{self.prefix}proposal:{Digest(proposal)}"

    def challenge(self, nonce: Digest) -> str:
        return f"{self.prefix}challenge:{Digest(nonce)}"

    def audit_day(self, day: date) -> str:
        return f"{self.prefix}audit:day:{day.isoformat()}"

    def renewing(self, workspace: WorkspaceId) -> str:
        return f"{self.prefix}renewing:{WorkspaceId(workspace)}"

    def confirming(self, nonce: Digest) -> str:
        return f"{self.prefix}confirming:{Digest(nonce)}"

    def session(self, cookie: Digest) -> str:
        return f"{self.prefix}session:{Digest(cookie)}"

    def signed_out(self, workspace: WorkspaceId, user: UserId) -> str:
        return f"{self.prefix}signed_out:{WorkspaceId(workspace)}:{UserId(user)}"

    def mailed(self, user: UserId) -> str:
        return f"{self.prefix}mailed:{UserId(user)}"

    def worker(self, worker: WorkerId) -> str:
        return f"{self.prefix}worker:{WorkerId(worker)}"


def _named(name: UserId | GroupId | ChannelId) -> UserId | GroupId | ChannelId:
    """Read the id of a list's owner; its first letter tells its kind."""
    return name if isinstance(name, UserId | ChannelId) else GroupId.named(name) or UserId(name)
