"""Settings: secrets, how the app is reached, which rules of Slack are on."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Command:
    """A slash command as the app's manifest registers it."""

    command: str
    description: str = ""
    usage_hint: str = ""
    should_escape: bool = True


@dataclass(frozen=True)
class Config:
    """Durations are seconds, as in Slack's own documentation.

    `events_urls`: where signed HTTP requests go, one base per replica, in turn; empty means Socket Mode.
    `hint` stands on a page without messages.
    `commands`: None lets every command through, as if the app had registered it.
    `shortcuts`: callback ids of global shortcuts; None lets every one through.
    `event_delays`: waits before the second, third and fourth delivery of an event (Slack: at once, 1 min, 5 min),
    multiplied by `time_scale`. `events_an_hour`: further events of a workspace are dropped. `home_tab`: whether the
    app's Home is switched on; `agent`: whether it is declared an agent, where the workspace has such. For Slack's tiers
    the clock goes `hurry` times faster; `rates` replace them: calls a second by a pattern of methods.
    `file_uploads`: whether the admins allow files; `file_share_seconds`: from the end of an upload until its message
    stands. `replacing_drops_metadata`: whether a message that a response URL replaces loses its metadata.
    `redirect_urls`: where OAuth may send a browser back to. `token_rotation`: whether tokens of OAuth end,
    after `token_seconds`.
    """

    bot_token: str = "xoxb-local-bot"
    app_token: str = "xapp-local-app"
    signing_secret: str = "local-signing-secret"
    app_name: str = "Countersign"
    hint: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    events_urls: tuple[str, ...] = ()
    failover: bool = False
    commands: tuple[Command, ...] | None = None
    shortcuts: tuple[str, ...] | None = None
    home_tab: bool = True
    agent: bool = False
    file_uploads: bool = True
    file_share_seconds: float = 0.3
    replacing_drops_metadata: bool = False
    bot_events: frozenset[str] = frozenset({"app_home_opened"})
    events_an_hour: int = 30_000
    scopes: frozenset[str] | None = None
    client_id: str = "1234567890.1234567890"
    client_secret: str = "local-client-secret"
    redirect_urls: tuple[str, ...] = ()
    token_rotation: bool = False
    token_seconds: float = 43_200.0
    ack_seconds: float = 3.0
    trigger_seconds: float = 3.0
    event_delays: tuple[float, ...] = (0.0, 60.0, 300.0)
    time_scale: float = 1.0
    hurry: float = 1.0
    rates: Mapping[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    placeholder_title: str = "One moment"
    """Title of the window that the app opens until the content of the real one is there: a test waits past it."""
    wall_clock: Callable[[], float] = field(default=time.time, repr=False)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the settings of Slack's payloads from an app manifest (YAML).

    Raises ValueError with a sentence if the file is not a manifest.
    """
    manifest = yaml.safe_load(path.read_text("utf-8"))
    if not isinstance(manifest, dict):
        raise ValueError(f"{path} is not an app manifest: it should be a YAML mapping.")
    features = manifest.get("features") or {}
    settings = manifest.get("settings") or {}
    known = {"command", "description", "usage_hint", "should_escape"}
    commands = tuple(
        Command(**{"should_escape": False, **{key: value for key, value in entry.items() if key in known}})
        for entry in features.get("slash_commands") or []
    )
    shortcuts = tuple(s["callback_id"] for s in features.get("shortcuts") or [] if s["type"] == "global")
    events = (settings.get("event_subscriptions") or {}).get("bot_events") or []
    scopes = ((manifest.get("oauth_config") or {}).get("scopes") or {}).get("bot")
    name = (manifest.get("display_information") or {}).get("name")
    home_tab = bool((features.get("app_home") or {}).get("home_tab_enabled"))
    read: dict[str, Any] = {
        "commands": commands,
        "shortcuts": shortcuts,
        "bot_events": frozenset(events),
        "home_tab": home_tab,
    }
    read["agent"] = "agent_view" in features
    if scopes:
        read["scopes"] = frozenset(scopes)
    if name:
        read["app_name"] = str(name)
    return read
