"""Sessions of people who are signed in, and the cookies that name them."""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from countersign.domain.ids import Digest, UserId, WorkspaceId, digest_of
from countersign.store.sign_ins import SignIns

from .people_file import PeopleFile
from .providers import OidcIdentity, PendingSignIn

WORKING_DAY: Final = timedelta(hours=12)
_SIGN_IN_WITHIN: Final = timedelta(minutes=10)
_LONGEST_COOKIE: Final = 4000


class Session(BaseModel):
    """Somebody who is signed in. `secret` makes the tokens of their forms."""

    model_config = ConfigDict(frozen=True)

    workspace: WorkspaceId
    user: UserId
    identity: OidcIdentity
    secret: str
    began_at: datetime

    @property
    def id(self) -> Digest:
        """Name the session where others may read it."""
        return digest_of("session", self.secret)

    def token(self, subject: str) -> str:
        """Make the token of a form about this subject.

        Only a page of this session holds it.
        """
        return hmac.new(self.secret.encode(), subject.encode(), hashlib.sha256).hexdigest()

    def fits(self, token: str, subject: str) -> bool:
        """Tell whether a form comes from a page of this session about this subject."""
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self.token(subject).encode())


class SignedIn:
    """Sessions in Redis, by cookies."""

    def __init__(self, sign_ins: SignIns, people: PeopleFile, *, secure: bool) -> None:
        """`secure`: the pages are reached by https."""
        self._sign_ins = sign_ins
        self._people = people
        self._secure = secure
        prefix = "__Host-" if secure else ""
        self._session = f"{prefix}countersign"
        self._pending = f"{prefix}countersign-sign-in"

    async def session(self, request: Request) -> Session | None:
        """Return who sent this request.

        None if they are not signed in, or not known any more.
        """
        if (session := await self.stored(request)) is None:
            return None
        ended = await self._sign_ins.ended_at(session.workspace, session.user)
        person = self._people.person(session.identity)
        if ended is not None and session.began_at <= ended:
            await self._sign_ins.drop(request.cookies[self._session])
            return None
        if person is None or person.user != session.user or person.workspace not in (None, session.workspace):
            await self._sign_ins.drop(request.cookies[self._session])  # the file names them no more: they are out
            return None
        return session

    async def stored(self, request: Request) -> Session | None:
        """Return the session of this request.

        Its person may have been removed from the file of people since.
        """
        if not (cookie := request.cookies.get(self._session)) or len(cookie) > _LONGEST_COOKIE:
            return None
        if (stored := await self._sign_ins.get(cookie)) is None:
            return None
        try:
            return Session.model_validate_json(stored)
        except ValidationError:
            return None

    async def begin(
        self, request: Request, response: Response, workspace: WorkspaceId, user: UserId, identity: OidcIdentity
    ) -> None:
        """Sign somebody in under a new id.

        The browser's earlier id is no longer valid.
        """
        now = await self._sign_ins.now()
        session = Session(
            workspace=workspace,
            user=user,
            identity=identity,
            secret=secrets.token_urlsafe(32),
            began_at=now,
        )
        before, cookie = request.cookies.get(self._session), secrets.token_urlsafe(32)
        await self._sign_ins.put(cookie, session.model_dump_json().encode(), WORKING_DAY)
        if before and len(before) <= _LONGEST_COOKIE:
            await self._sign_ins.drop(before)
        self._set(response, self._session, cookie, WORKING_DAY)

    async def end(self, request: Request, response: Response) -> None:
        """Sign the sender of this request out."""
        if (cookie := request.cookies.get(self._session)) and len(cookie) <= _LONGEST_COOKIE:
            await self._sign_ins.drop(cookie)
        self.forget_session(response)

    async def end_all(self, workspace: WorkspaceId, user: UserId) -> None:
        """Sign somebody out in all browsers, also where a cookie was copied."""
        await self._sign_ins.end_all(workspace, user, WORKING_DAY)

    def forget_session(self, response: Response) -> None:
        """Have the browser forget a session that has ended."""
        response.delete_cookie(self._session, secure=self._secure, httponly=True, samesite="lax")

    def keep(self, response: Response, pending: PendingSignIn) -> None:
        """Store the pending sign-in in the browser's cookie."""
        self._set(response, self._pending, pending.model_dump_json().encode().hex(), _SIGN_IN_WITHIN)

    def pending(self, request: Request) -> PendingSignIn | None:
        """Read this browser's pending sign-in, if any."""
        cookie = request.cookies.get(self._pending, "")
        try:
            return PendingSignIn.model_validate_json(bytes.fromhex(cookie[:_LONGEST_COOKIE]))
        except ValueError:
            return None

    def forget(self, response: Response) -> None:
        """Have the browser forget its sign-in: each is used once."""
        response.delete_cookie(self._pending, secure=self._secure, httponly=True, samesite="lax")

    async def now(self) -> datetime:
        """Return the time by the clock of Redis."""
        return await self._sign_ins.now()

    def _set(self, response: Response, name: str, value: str, left: timedelta) -> None:
        # Lax, not Strict: people who follow a link from Slack, or return from the provider, must be signed in.
        response.set_cookie(
            name, value, max_age=int(left.total_seconds()), secure=self._secure, httponly=True, samesite="lax"
        )
