"""users.*, usergroups.*, auth.test, apps.connections.open, api.test."""

from .errors import Json, SlackError
from .methods import HUNDREDS, TIER_1, TIER_2, TIER_4, Arguments, Method
from .platform import Platform
from .workspace import User, UserGroup, Workspace


def user_json(platform: Platform, user: User) -> Json:
    workspace = platform.workspace
    shown: Json = {
        "id": user.id,
        "team_id": user.team_id,
        "name": user.name,
        "deleted": user.deleted,
        "real_name": user.real_name,
        "tz": "Etc/UTC",
        "tz_label": "UTC",
        "tz_offset": 0,
        "profile": {
            "real_name": user.real_name,
            "real_name_normalized": user.real_name,
            "display_name": user.name,
            "display_name_normalized": user.name,
            "team": user.team_id,
        },
        "is_bot": user.is_bot,
        "is_app_user": False,
    }
    if not user.deleted:
        shown |= {
            "is_admin": user.is_admin,
            "is_owner": user.is_owner,
            "is_primary_owner": False,
            "is_restricted": user.is_restricted,
            "is_ultra_restricted": False,
        }
    if workspace.id not in user.teams and not _is_met(workspace, user):
        shown["is_stranger"] = True
    if user.enterprise:
        shown["enterprise_user"] = {
            "id": user.id,
            "enterprise_id": user.enterprise,
            "enterprise_name": user.enterprise,
            "teams": user.enterprise_teams,
            "is_admin": False,
            "is_owner": False,
        }
    return shown


def _is_met(workspace: Workspace, user: User) -> bool:
    """Tell whether the user shares a channel with the app.

    Slack never marks such a user as a stranger.

    https://docs.slack.dev/reference/objects/user-object
    """
    rooms = (c.members for c in workspace.channels.values() if not c.is_im)
    return any(user.id in members and workspace.bot_user in members for members in rooms)


def _info(platform: Platform, args: Arguments) -> Json:
    user = platform.workspace.users.get(args.text("user"))
    if user is None:
        raise SlackError("user_not_found")
    return {"user": user_json(platform, user)}


def _list(platform: Platform, args: Arguments) -> Json:
    workspace = platform.workspace
    users = [user_json(platform, user) for user in workspace.users.values() if workspace.id in user.teams]
    page, cursor = args.page(users, default=1000)
    return {"members": page, "response_metadata": {"next_cursor": cursor}}


def _group_json(platform: Platform, group: UserGroup, with_users: bool) -> Json:
    shown: Json = {
        "id": group.id,
        "team_id": platform.workspace.id,
        "is_usergroup": True,
        "name": group.name,
        "handle": group.handle,
        "date_delete": 1 if group.disabled else 0,
        "user_count": len(group.users),
    }
    return {**shown, "users": group.users} if with_users else shown


def _groups(platform: Platform, args: Arguments) -> Json:
    with_users, disabled = args.flag("include_users"), args.flag("include_disabled")
    groups = [g for g in platform.workspace.groups.values() if disabled or not g.disabled]
    return {"usergroups": [_group_json(platform, group, with_users) for group in groups]}


def _group_users(platform: Platform, args: Arguments) -> Json:
    group = platform.workspace.groups.get(args.text("usergroup"))
    if group is None or (group.disabled and not args.flag("include_disabled")):
        raise SlackError("no_such_subteam")
    return {"users": [user for user in group.users if not platform.workspace.users[user].deleted]}


def _auth_test(platform: Platform, args: Arguments) -> Json:
    workspace = platform.workspace
    shown: Json = {
        "url": f"{platform.base_url}/",
        "team": workspace.name,
        "user": workspace.users[workspace.bot_user].name,
        "team_id": workspace.id,
        "user_id": workspace.bot_user,
        "bot_id": workspace.bot_id,
        "is_enterprise_install": platform.org_wide,
    }
    if workspace.enterprise:
        shown["enterprise_id"] = workspace.enterprise
    return shown


def _connect(platform: Platform, args: Arguments) -> Json:
    base = platform.base_url.replace("http://", "ws://")
    return {"url": f"{base}/link/?ticket={platform.socket.ticket()}&app_id={platform.workspace.app_id}"}


def _api_test(platform: Platform, args: Arguments) -> Json:
    if error := args.text("error"):
        raise SlackError(error, args=args.values)
    return {"args": args.values}


METHODS = {
    "users.info": Method(_info, TIER_4, ("users:read",), reads=True),
    "users.list": Method(_list, TIER_2, ("users:read",), reads=True),
    "usergroups.list": Method(_groups, TIER_2, ("usergroups:read",), reads=True),
    "usergroups.users.list": Method(_group_users, TIER_2, ("usergroups:read",), reads=True),
    "auth.test": Method(_auth_test, HUNDREDS),
    "apps.connections.open": Method(_connect, TIER_1),
    "api.test": Method(_api_test),
}
