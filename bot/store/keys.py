"""The names of everything in Redis. All share one hash tag, so that one script may touch them on a Cluster.

| key | type | holds | ends |
|---|---|---|---|
| `{ns}:request:<id>` | string | a request: `version schema`, newline, JSON (packed) | 30 days after its run |
| `{ns}:run:<id>` | string | a run, likewise | 30 days after it ended |
| `{ns}:lease:<run>` | hash | `fence`, `owner`, `until` (ms, server's clock) | with its run |
| `{ns}:settled:<run>` | set | settled requests of a run that goes on, which a rebuilt run finds again | with its run |
| `{ns}:journal:<run>` | hash | recorded effects of the run | with its run |
| `{ns}:answer:<digest>` | string | a model's answer, where MODEL_CONFIG says that answers are kept | as it says |
| `{ns}:message:<name>` | string | a Slack message of ours and what it shows | 400 days after it was last drawn |
| `{ns}:ts:<workspace>:<channel>:<ts>` | string | the request that this Slack message belongs to | with its message |
| `{ns}:once:<attempt>` | string | an attempt that was refused and recorded | 1 day |
| `{ns}:team:<worker>` | string | the teams a worker announces | 15 s, renewed |
| `{ns}:settings:<channel>` | string | a channel's settings, likewise versioned | never |
| `{ns}:permission:<id>` | string | a standing permission, likewise; written by `web` alone | at its end |
| `{ns}:permission:index` | sorted set | permissions that were not revoked, by their end (ms) | never |
| `{ns}:defaults` | string | the default rules, from the environment of `web` | never |
| `{ns}:workspace` | string | the Slack workspace that `web` belongs to | never |
| `{ns}:rulebook` | string | the workspace's policy, from the file that `web` read at its start | never |
| `{ns}:pending` | sorted set | undecided requests by deadline (ms; +inf without one) | never |
| `{ns}:active` | sorted set | runs that have not ended and are not parked, by creation (ms) | never |
| `{ns}:parked` | sorted set | parked runs, likewise: no worker holds them in memory | never |
| `{ns}:undelivered` | sorted set | settled requests whose run did not hear of it yet, by when (ms) | never |
| `{ns}:workers` | sorted set | workers by when their announcement ends (ms) | never |
| `{ns}:events` | stream | everything that happened: audit log and outbox | never |
| `{ns}:scribe` | hash | lease of the scribe, as for a run | never |
| `{ns}:confirmed` | string | written before each WAIT, so that it speaks of everything before | 1 min |
| `{ns}:wake` | channel | hints: `request <id>` with the settled request after a newline, `run <id>`, `due` | – |
"""

from datetime import timedelta
from typing import Final

from bot.core.ids import AttemptId, ChannelId, Digest, RequestId, RunId, WorkspaceId
from bot.core.standing import PermissionId

KEPT: Final = timedelta(days=30)
"""How long ended runs and their requests stay readable."""
KEPT_MESSAGE: Final = timedelta(days=400)
"""How long we know which Slack messages are ours: longer than any card can wait to be clicked."""
KEPT_ATTEMPT: Final = timedelta(days=1)

WITHOUT_TTL: Final[dict[str, str]] = {
    "request:*": "until its run ends: however long that waits, a rebuilt run must find what was decided",
    "run:*": "until it ends; ended ones get a TTL",
    "lease:*": "its fence must keep growing as long as the run lives; gets its run's TTL at the end",
    "settled:*": "while its run lives; gets its run's TTL at the end",
    "journal:*": "the run is rebuilt from it as long as it lives; gets its run's TTL at the end",
    "settings:*": "settings stay until somebody changes them",
    "permission:index": "one key; entries that ended are dropped when another is added",
    "defaults": "one key; rewritten at each start of web",
    "workspace": "one key; rewritten at each start of web",
    "rulebook": "one key; rewritten at each start of web",
    "pending": "one key; empties as requests are settled",
    "active": "one key; empties as runs end",
    "parked": "one key; empties as runs go on",
    "undelivered": "one key; empties as runs take the decisions",
    "workers": "one key; entries that ended are dropped at each announcement",
    "events": "the audit log and the outbox; nothing that was not delivered may be trimmed",
    "scribe": "one key; its fence must keep growing",
}
"""Keys that may stay without a TTL, and why; a test fixture holds every key against this list."""


class Keys:
    """The keys of one namespace (one workspace's installation)."""

    def __init__(self, namespace: str) -> None:
        self.prefix: Final = f"{{{namespace}}}:"
        self.permissions: Final = self.prefix + "permission:index"
        self.defaults: Final = self.prefix + "defaults"
        self.workspace: Final = self.prefix + "workspace"
        self.rulebook: Final = self.prefix + "rulebook"
        self.pending: Final = self.prefix + "pending"
        self.active: Final = self.prefix + "active"
        self.parked: Final = self.prefix + "parked"
        self.undelivered: Final = self.prefix + "undelivered"
        self.workers: Final = self.prefix + "workers"
        self.events: Final = self.prefix + "events"
        self.scribe: Final = self.prefix + "scribe"
        self.confirmed: Final = self.prefix + "confirmed"
        self.wake: Final = self.prefix + "wake"

    def request(self, request: RequestId) -> str:
        return f"{self.prefix}request:{request}"

    def run(self, run: RunId) -> str:
        return f"{self.prefix}run:{run}"

    def lease(self, run: RunId) -> str:
        return f"{self.prefix}lease:{run}"

    def settled(self, run: RunId) -> str:
        return f"{self.prefix}settled:{run}"

    def journal(self, run: RunId) -> str:
        return f"{self.prefix}journal:{run}"

    def answer(self, question: Digest) -> str:
        return f"{self.prefix}answer:{question}"

    def message(self, name: str) -> str:
        return f"{self.prefix}message:{name}"

    def ts(self, workspace: WorkspaceId, channel: ChannelId, ts: str) -> str:
        return f"{self.prefix}ts:{workspace}:{channel}:{ts}"

    def settings(self, channel: ChannelId) -> str:
        return f"{self.prefix}settings:{channel}"

    def permission(self, permission: PermissionId) -> str:
        return f"{self.prefix}permission:{permission}"

    def once(self, attempt: AttemptId) -> str:
        return f"{self.prefix}once:{attempt}"

    def team(self, worker: str) -> str:
        return f"{self.prefix}team:{worker}"
