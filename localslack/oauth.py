"""OAuth: codes, tokens that end and are renewed, and uninstallation.

https://docs.slack.dev/authentication/installing-with-oauth and /using-token-rotation. Stricter than what is known: with
a refresh token its access token ends too, at once.
"""

import html
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlencode

from .config import Config
from .errors import Json, SlackError
from .workspace import Workspace

CODE_SECONDS = 10 * 60
ORGANIZATION = "E0LOCAL"
_NEED_TEAM = frozenset({"conversations.list", "usergroups.list", "users.conversations", "users.list"})
"""Methods that want a `team_id` with an organization's token: https://api.slack.com/enterprise/apps/changes-apis."""


class Installable(Protocol):
    """A workspace that the app may be in."""

    installed: bool

    @property
    def workspace(self) -> Workspace: ...


P = TypeVar("P", bound=Installable)


@dataclass
class Grant(Generic[P]):
    """A token for one workspace, or with `org` for many of an organization.

    `ends`: by the clock, None for never. `refused`: Slack's word once it is gone.
    """

    platform: P
    scopes: frozenset[str] | None
    ends: float | None = None
    refused: str = ""
    org: bool = False


@dataclass
class _Code(Generic[P]):
    platform: P
    client_id: str
    redirect_uri: str
    scopes: frozenset[str]
    user: str
    org: bool
    expires: float
    used: bool = False


class OAuth(Generic[P]):
    """The app's credentials, codes and tokens, which the workspaces share."""

    def __init__(self, config: Config, clock: Callable[[], float]) -> None:
        self.platforms: list[P] = []
        self.granted: list[P] = []
        """The workspaces that have the app by an installation for the whole organization."""
        self._config = config
        self._clock = clock
        self._codes: dict[str, _Code[P]] = {}
        self._grants: dict[str, Grant[P]] = {}
        self._refresh: dict[str, str] = {}

    def grant_of(self, token: str) -> Grant[P]:
        """Look up the grant of a bot's token. Raises SlackError as Slack words it."""
        grant = self._grants.get(token)
        if grant is None:
            raise SlackError("invalid_auth")
        if grant.refused:
            raise SlackError(grant.refused)
        if grant.ends is not None and self._clock() >= grant.ends:
            raise SlackError("token_expired")
        return grant

    def scopes_of(self, token: str) -> frozenset[str] | None:
        """Look up the scopes that answers to this token tell; None if they tell none."""
        return grant.scopes if (grant := self._grants.get(token)) is not None and not grant.refused else None

    def meant(self, grant: Grant[P], method: str, team: str) -> P:
        """Find the workspace of a call; SlackError if an organization's token has none.

        Channels have the same ids in all workspaces here, so only `team_id` says which one is meant.
        """
        if not grant.org:
            return grant.platform
        if not team:
            if method in _NEED_TEAM:
                raise SlackError("missing_argument", ["[ERROR] missing required field: team_id"])
            return next(iter(self.granted), grant.platform)
        meant = next((platform for platform in self.platforms if platform.workspace.id == team), None)
        if meant is None:
            raise SlackError("team_not_found")
        if meant not in self.granted:
            raise SlackError("team_access_not_granted")
        return meant

    def grant_workspace(self, platform: P) -> None:
        """Give a workspace the app that the organization installed."""
        self.granted.append(platform)
        platform.installed = True

    def take_workspace(self, platform: P) -> None:
        """Take the app out of a workspace again."""
        self.granted.remove(platform)
        platform.installed = False

    def revoke_organization(self, why: str) -> None:
        """End the tokens for the whole organization."""
        for grant in self._grants.values():
            if grant.org and not grant.refused:
                grant.refused = why

    def give(self, token: str, platform: P) -> None:
        """A token that does not end, as an app's own page shows it."""
        self._grants[token] = Grant(platform, self._config.scopes)

    def page(self, query: dict[str, str]) -> str:
        """Draw the page that asks whether to install the app.

        SlackError for a link that Slack does not take.
        """
        self._check(query)
        rooms = "".join(f"<option>{html.escape(p.workspace.id)}</option>" for p in self.platforms)
        return (
            f"<title>{html.escape(self._config.app_name)}</title><form method=post>"
            f"<select name=workspace>{rooms}</select><button>Allow</button></form>"
        )

    def allow(self, platform: P, query: dict[str, str], user: str, *, org: bool = False) -> str:
        """Allow the app in a workspace; returns where Slack sends the browser."""
        scopes = self._check(query)
        code = f"{secrets.randbelow(10**12)}.{secrets.token_hex(32)}"
        expires = self._clock() + CODE_SECONDS
        self._codes[code] = _Code(
            platform, query["client_id"], query["redirect_uri"], scopes, platform.workspace.user(user).id, org, expires
        )
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query.get('state', '')})}"

    def code_of_another_app(self, platform: P, redirect_uri: str) -> str:
        """A code that Slack gave some other app for this workspace."""
        code = f"{secrets.randbelow(10**12)}.{secrets.token_hex(32)}"
        scopes, expires = frozenset({"chat:write"}), self._clock() + CODE_SECONDS
        self._codes[code] = _Code(platform, "9.9", redirect_uri, scopes, "U0ALICE", False, expires)
        return code

    def access(self, values: Json) -> Json:
        """`oauth.v2.access`: tokens for a code, or for a refresh token."""
        if values.get("client_id") != self._config.client_id:
            raise SlackError("invalid_client_id")
        if values.get("client_secret") != self._config.client_secret:
            raise SlackError("bad_client_secret")
        match values.get("grant_type", "authorization_code"):
            case "authorization_code":
                return self._by_code(values)
            case "refresh_token":
                return self._by_refresh(str(values.get("refresh_token", "")))
            case _:
                raise SlackError("invalid_grant_type")

    def revoke(self, platform: P, why: str) -> None:
        """End every token of a workspace."""
        for grant in self._grants.values():
            if grant.platform is platform and not grant.refused:
                grant.refused = why
        self._refresh = {t: a for t, a in self._refresh.items() if self._grants[a].platform is not platform}

    def _check(self, query: dict[str, str]) -> frozenset[str]:
        if query.get("client_id") != self._config.client_id:
            raise SlackError("invalid_client_id")
        if query.get("redirect_uri") not in self._config.redirect_urls:
            raise SlackError("bad_redirect_uri")
        scopes = frozenset(query.get("scope", "").split(",")) - {""}
        if not scopes:
            raise SlackError("no_scopes")
        if self._config.scopes is not None and (unknown := scopes - self._config.scopes):
            raise SlackError("invalid_scope", [f"[ERROR] {', '.join(sorted(unknown))}"])
        return scopes

    def _by_code(self, values: Json) -> Json:
        code = self._codes.get(str(values.get("code", "")))
        if code is None or code.client_id != self._config.client_id or self._clock() >= code.expires:
            raise SlackError("invalid_code")
        if code.used:
            raise SlackError("code_already_used")
        if values.get("redirect_uri") != code.redirect_uri:
            raise SlackError("bad_redirect_uri")
        code.used = True
        code.platform.installed = code.platform.installed or not code.org
        return self._tokens(code.platform, code.scopes, org=code.org) | {"authed_user": {"id": code.user}}

    def _by_refresh(self, token: str) -> Json:
        if not self._config.token_rotation or token not in self._refresh:
            raise SlackError("invalid_refresh_token")
        grant = self._grants[self._refresh.pop(token)]
        grant.refused = "token_revoked"
        assert grant.scopes is not None
        return self._tokens(grant.platform, grant.scopes, org=grant.org)

    def _tokens(self, platform: P, scopes: frozenset[str], *, org: bool) -> Json:
        workspace, rotation = platform.workspace, self._config.token_rotation
        token = ("xoxe.xoxb-1-" if rotation else "xoxb-") + secrets.token_hex(24)
        ends = self._clock() + self._config.token_seconds if rotation else None
        self._grants[token] = Grant(platform, scopes, ends, org=org)
        answer: Json = {
            "app_id": workspace.app_id,
            "access_token": token,
            "token_type": "bot",
            "scope": ",".join(sorted(scopes)),
            "bot_user_id": workspace.bot_user,
            "team": {"id": workspace.id, "name": workspace.name},
            "enterprise": None,
            "is_enterprise_install": False,
        }
        if org:
            enterprise = {"id": ORGANIZATION, "name": "Local organization"}
            answer |= {"team": None, "enterprise": enterprise, "is_enterprise_install": True}
        if rotation:
            refresh = f"xoxe-1-{secrets.token_hex(24)}"
            self._refresh[refresh] = token
            answer |= {"refresh_token": refresh, "expires_in": int(self._config.token_seconds)}
        return answer
