"""Payloads that Slack sends when a person does something.

Source: https://docs.slack.dev/reference/interaction-payloads
"""

from typing import Any

from .errors import Json
from .inputs import FIELDS, Values
from .modals import View
from .oauth import ORGANIZATION
from .platform import Platform
from .workspace import Channel, Message, User


def _user(user: User) -> Json:
    return {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team_id}


def _common(platform: Platform, user: User) -> Json:
    workspace = platform.workspace
    enterprise = ORGANIZATION if platform.by_organization else workspace.enterprise
    return {
        "user": _user(user),
        "api_app_id": workspace.app_id,
        "token": "local",
        "team": {"id": workspace.id, "domain": workspace.domain}
        | ({"enterprise_id": workspace.enterprise} if workspace.enterprise else {}),
        "enterprise": {"id": enterprise, "name": enterprise} if enterprise else None,
        "is_enterprise_install": platform.by_organization,
    }


def action_of(platform: Platform, element: Json, chosen: Json) -> Json:
    """The entry in `actions` for an element.

    `chosen` carries what was chosen (`selected_option`, `value`, …).
    """
    micros = int(platform.workspace.wall_clock() * 1_000_000)
    action: Json = {
        "action_id": element["action_id"],
        "block_id": element["block_id"],
        "type": element["type"],
        "action_ts": f"{micros // 1_000_000}.{micros % 1_000_000:06d}",
    }
    if element["type"] == "button":
        action |= {name: element[name] for name in ("text", "value", "style", "url", "confirm") if name in element}
    elif element["type"] == "overflow":
        action["selected_option"] = chosen.get("selected_option")
    else:
        field, _ = FIELDS[element["type"]]
        action[field] = chosen.get(field)
        if "placeholder" in element:
            action["placeholder"] = element["placeholder"]
    return action


def message_click(
    platform: Platform, user: User, channel: Channel, message: Message, action: Json, state: Values
) -> Json:
    """block_actions of a message, ephemeral or not."""
    container: Json = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": channel.id,
        "is_ephemeral": message.ephemeral,
    }
    if message.thread_ts:
        container["thread_ts"] = message.thread_ts
    token = platform.response_urls.issue(channel.id, user.id, message.ts, message.ephemeral)
    payload = {
        "type": "block_actions",
        **_common(platform, user),
        "container": container,
        "trigger_id": platform.triggers.issue(user.id),
        "channel": {"id": channel.id, "name": "directmessage" if channel.is_im else channel.name},
        "state": {"values": state},
        "response_url": f"{platform.base_url}/actions/{token}",
        "actions": [action],
    }
    if not message.ephemeral:
        payload["message"] = platform.message_json(message)
    if platform.by_organization and channel.is_org_shared:
        payload["team"] = None  # slack-bolt, request/internals.py
    return payload


def view_click(platform: Platform, user: User, view: View, action: Json) -> Json:
    """block_actions in a modal or a Home."""
    inside = view.id if view.json["type"] == "modal" else None
    return {
        "type": "block_actions",
        **_common(platform, user),
        "container": {"type": "view", "view_id": view.id},
        "trigger_id": platform.triggers.issue(user.id, inside),
        "view": view.full(),
        "actions": [action],
    }


def submission(platform: Platform, user: User, view: View) -> Json:
    urls = []
    for block_id, actions in view.values.items():
        for element in (b["element"] for b in view.blocks if b["type"] == "input" and b["block_id"] == block_id):
            if element.get("response_url_enabled"):
                channel: Any = actions[element["action_id"]].get(FIELDS[element["type"]][0])
                token = platform.response_urls.issue(channel, user.id)
                urls.append(
                    {
                        "block_id": block_id,
                        "action_id": element["action_id"],
                        "channel_id": channel,
                        "response_url": f"{platform.base_url}/actions/{token}",
                    }
                )
    return {
        "type": "view_submission",
        **_common(platform, user),
        "trigger_id": platform.triggers.issue(user.id, view.id),
        "view": view.full(),
        "response_urls": urls,
    }


def closed(platform: Platform, user: User, view: View, is_cleared: bool) -> Json:
    return {"type": "view_closed", **_common(platform, user), "view": view.full(), "is_cleared": is_cleared}


def shortcut(platform: Platform, user: User, callback_id: str) -> Json:
    """A global shortcut: it is in no channel and has no response URL."""
    return {
        "type": "shortcut",
        **_common(platform, user),
        "callback_id": callback_id,
        "trigger_id": platform.triggers.issue(user.id),
        "action_ts": f"{platform.workspace.wall_clock():.6f}",
    }


def command(platform: Platform, user: User, channel: Channel, name: str, text: str) -> Json:
    workspace = platform.workspace
    token = platform.response_urls.issue(channel.id, user.id)
    enterprise = ORGANIZATION if platform.by_organization else workspace.enterprise
    grid = {"enterprise_id": enterprise, "enterprise_name": enterprise}
    return {
        "token": "local",
        **(grid if enterprise else {}),
        "team_id": workspace.id,
        "team_domain": workspace.domain,
        "channel_id": channel.id,
        "channel_name": "directmessage" if channel.is_im else channel.name,
        "user_id": user.id,
        "user_name": user.name,
        "command": name,
        "text": text,
        "api_app_id": workspace.app_id,
        "is_enterprise_install": str(platform.by_organization).lower(),
        "response_url": f"{platform.base_url}/commands/{token}",
        "trigger_id": platform.triggers.issue(user.id),
    }
