"""The manifest asks Slack for exactly what the code uses."""

import re
from pathlib import Path
from typing import Any

import yaml

from bot.slack import app, routes
from bot.slack import http as web

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


def agent_variant() -> Any:
    """The manifest with what its head says done for Slack's own means."""
    text = (ROOT / "manifest.yml").read_text()
    return yaml.safe_load(re.sub(r"^( *)# (agent_view:|  agent_description:|- .* # agent:)", r"\1\2", text, flags=re.M))


def test_the_agent_variant_declares_an_agent_and_listens_to_its_stop_button() -> None:
    """R6: without it Slack refuses sessions, and all is shown in ordinary messages."""
    agent, plain = agent_variant(), manifest()
    assert agent["features"]["agent_view"]["agent_description"]
    events = set(agent["settings"]["event_subscriptions"]["bot_events"])
    assert events - set(plain["settings"]["event_subscriptions"]["bot_events"]) == {"agent_session_stopped"}
    assert listened_to(events) == set(routes.EVENTS)
    scopes = [set(one["oauth_config"]["scopes"]["bot"]) for one in (agent, plain)]
    assert scopes[0] - scopes[1] == {"assistant:write"}


def used_methods() -> set[str]:
    source = "\n".join(path.read_text() for path in (ROOT / "bot" / "slack").rglob("*.py"))
    called = set(re.findall(r"client\.([a-z]+_[a-zA-Z0-9_]+)\(", source))
    named = {name.replace(".", "_") for name in re.findall(r'"((?:chat|conversations|files|views)\.\w+)"', source)}
    return (called | named) - {"api_call"}


def test_the_commands_are_those_that_somebody_listens_to() -> None:
    commands = manifest()["features"]["slash_commands"]
    assert {c["command"] for c in commands} == set(routes.COMMANDS)
    assert all(c["should_escape"] for c in commands)


def test_the_scopes_are_those_that_the_methods_need() -> None:
    methods = used_methods()
    assert methods <= set(SCOPES_OF), f"say the scopes of {methods - set(SCOPES_OF)}"
    needed = set().union(*(SCOPES_OF[m] for m in methods)) | {"commands"}
    assert set(manifest()["oauth_config"]["scopes"]["bot"]) == needed == app.SCOPES


MESSAGES = {"message.channels", "message.groups"}
"""Subscriptions to what people write, which arrive as one type; the app's own messages tab is for reading only."""


def listened_to(events: set[str]) -> set[str]:
    return {"message" if event in MESSAGES else event for event in events}


def test_the_events_are_those_that_somebody_listens_to() -> None:
    subscribed = set(manifest()["settings"]["event_subscriptions"]["bot_events"])
    assert subscribed - MESSAGES == {"app_home_opened", "member_joined_channel", "app_uninstalled", "tokens_revoked"}
    assert set(routes.EVENTS) == listened_to(subscribed) | {"agent_session_stopped"}


def test_the_home_is_switched_on_and_the_app_may_write_to_people_directly() -> None:
    """R21: without the Messages tab a requester cannot be told directly."""
    home = manifest()["features"]["app_home"]
    assert home["home_tab_enabled"] and home["messages_tab_enabled"]
    assert home["messages_tab_read_only_enabled"], "nobody listens to what is written there"


def test_the_http_variant_points_everything_at_the_served_path() -> None:
    http = http_variant()
    urls = [c["url"] for c in http["features"]["slash_commands"]] + [http["settings"]["interactivity"]["request_url"]]
    urls.append(http["settings"]["event_subscriptions"]["request_url"])
    assert len(urls) == 4
    assert all(url.endswith(web.EVENTS_PATH) for url in urls)
    assert http["settings"]["socket_mode_enabled"] is False
    assert manifest()["settings"]["socket_mode_enabled"] is True
