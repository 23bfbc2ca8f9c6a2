"""The manifest asks Slack for exactly what the code uses."""

import re
from pathlib import Path
from typing import Any

import yaml

from bot.slack import app, routes
from bot.slack import http as web
from localslack.config import read_manifest

ROOT = Path(__file__).parents[2]
SCOPES_OF = {
    "apps_connections_open": set(),
    "auth_test": set(),
    "chat_appendStream": {"chat:write"},
    "chat_delete": {"chat:write"},
    "chat_postEphemeral": {"chat:write"},
    "chat_postMessage": {"chat:write"},
    "chat_startStream": {"chat:write"},
    "chat_stopStream": {"chat:write"},
    "chat_update": {"chat:write"},
    "conversations_history": {"channels:history", "groups:history", "im:history"},
    "conversations_info": {"channels:read", "groups:read"},
    "conversations_members": {"channels:read", "groups:read"},
    "conversations_open": {"im:write"},
    "conversations_replies": {"channels:history", "groups:history", "im:history"},
    "files_upload_v2": {"files:write"},
    "usergroups_list": {"usergroups:read"},
    "users_conversations": {"channels:read", "groups:read"},
    "users_info": {"users:read"},
    "users_list": {"users:read"},
    "views_open": set(),
    "views_publish": set(),
    "views_update": set(),
}
"""Bot scopes of each Web API method, from its page at https://docs.slack.dev/reference/methods."""


def manifest() -> Any:
    return yaml.safe_load((ROOT / "manifest.yml").read_text())


def http_variant() -> Any:
    """The manifest with what its head says done for HTTP."""
    text = (ROOT / "manifest.yml").read_text()
    text = re.sub(r"^( *)# ((?:request_)?url: )", r"\1\2", text, flags=re.M)
    return yaml.safe_load(text.replace("socket_mode_enabled: true", "socket_mode_enabled: false"))


def test_agent_manifest_differs_only_in_declaring_an_agent() -> None:
    """R6: `agent_view` cannot be undone, so it is in no app that somebody makes from manifest.yml."""
    agent, plain = yaml.safe_load((ROOT / "manifest-agents.yml").read_text()), manifest()
    assert agent["features"].pop("agent_view")["agent_description"]
    agent["oauth_config"]["scopes"]["bot"].remove("assistant:write")
    agent["settings"]["event_subscriptions"]["bot_events"].remove("agent_session_stopped")
    assert agent == plain
    assert read_manifest(ROOT / "manifest-agents.yml")["agent"] and not read_manifest(ROOT / "manifest.yml")["agent"]


def test_manifest_warns_beside_irreversible_lines() -> None:
    text = (ROOT / "manifest-agents.yml").read_text()
    for warning in ("CANNOT BE UNDONE", "guests cannot use it", "paid plan"):
        assert warning in text.partition("display_information")[0]
    (line,) = re.findall(r"^  agent_view: # (.+)$", text, re.M)
    assert line == "cannot be undone, excludes guests, needs a paid plan"
    assert not re.search(r"agent_view|assistant:write|agent_session", (ROOT / "manifest.yml").read_text())


def test_thread_replies_need_two_uncommented_manifest_lines() -> None:
    """Without them Slack does not send the app its own messages, which count against its events an hour."""
    text = re.sub(r"^( *)# (- message\..* # replies:)", r"\1\2", (ROOT / "manifest.yml").read_text(), flags=re.M)
    replies, plain = (
        one["settings"]["event_subscriptions"]["bot_events"] for one in (yaml.safe_load(text), manifest())
    )
    assert set(replies) - set(plain) == MESSAGES


def test_manifest_allows_organization_wide_installation() -> None:
    """Apps with `false` got no events in an Enterprise organization (docs/slack.md)."""
    assert manifest()["settings"]["org_deploy_enabled"] is True


def used_methods() -> set[str]:
    source = "\n".join(path.read_text() for path in (ROOT / "bot" / "slack").rglob("*.py"))
    called = set(re.findall(r"client\.([a-z]+_[a-zA-Z0-9_]+)\(", source))
    named = {name.replace(".", "_") for name in re.findall(r'"((?:chat|conversations|files|views)\.\w+)"', source)}
    return (called | named) - {"api_call"}


def test_manifest_declares_exactly_the_handled_commands() -> None:
    commands = manifest()["features"]["slash_commands"]
    assert {c["command"] for c in commands} == set(routes.commands())
    assert all(c["should_escape"] for c in commands)


def test_manifest_requests_exactly_the_needed_scopes() -> None:
    methods = used_methods()
    assert methods <= set(SCOPES_OF), f"say the scopes of {methods - set(SCOPES_OF)}"
    needed = set().union(*(SCOPES_OF[m] for m in methods)) | {"commands"}
    assert set(manifest()["oauth_config"]["scopes"]["bot"]) == needed == app.SCOPES


def test_manifest_declares_exactly_the_handled_shortcuts() -> None:
    """Commands do not work in threads; global shortcuts do."""
    shortcuts = manifest()["features"]["shortcuts"]
    assert [s["callback_id"] for s in shortcuts] == [*routes.SHORTCUTS]
    assert {s["type"] for s in shortcuts} == {"global"}
    assert all(len(s["name"]) <= 24 and len(s["description"]) <= 150 for s in shortcuts)
    assert read_manifest(ROOT / "manifest.yml")["shortcuts"] == tuple(routes.SHORTCUTS)


MESSAGES = {"message.channels", "message.groups"}
"""Subscriptions to what people write, which arrive as one type; the app's own messages tab is for reading only."""


def test_manifest_subscribes_to_exactly_the_handled_events() -> None:
    subscribed = set(manifest()["settings"]["event_subscriptions"]["bot_events"])
    assert subscribed == {"app_home_opened", "member_joined_channel", "app_uninstalled", "tokens_revoked"}
    assert set(routes.EVENTS) == subscribed | {"message", "agent_session_stopped"}


def test_manifest_enables_home_and_direct_messages() -> None:
    """R21: without the Messages tab a requester cannot be told directly."""
    home = manifest()["features"]["app_home"]
    assert home["home_tab_enabled"] and home["messages_tab_enabled"]
    assert home["messages_tab_read_only_enabled"], "nobody listens to what is written there"


def test_http_manifest_points_everything_at_the_served_path() -> None:
    http = http_variant()
    urls = [c["url"] for c in http["features"]["slash_commands"]] + [http["settings"]["interactivity"]["request_url"]]
    urls.append(http["settings"]["event_subscriptions"]["request_url"])
    assert len(urls) == 4
    assert all(url.endswith(web.EVENTS_PATH) for url in urls)
    assert http["settings"]["socket_mode_enabled"] is False
    assert manifest()["settings"]["socket_mode_enabled"] is True
