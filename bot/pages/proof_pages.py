"""Pages for proofs: a confirmation, one's own passkeys, everybody's for admins."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from countersign.domain import passkeys as rules
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.errors import CountersignError, InvalidInput, Refused, StoreUnavailable
from countersign.domain.ids import UserId, digest_of
from countersign.domain.passkeys import Passkeys
from countersign.domain.people import Actor
from countersign.domain.proof import Proof, Proved, new_nonce
from countersign.domain.requests import Request
from countersign.usecases import passkeys, proofs

from .. import passkeys as webauthn
from .block_html import names_in
from .confirmations import Confirmation, Confirmations, ToConfirm
from .desk import reader_of
from .door import Door, Visit
from .providers import SignIn, SignInProblem
from .window_forms import Entered, first

_TOKEN: Final = "passkeys"
_ADMINS_ONLY: Final = "Only workspace admins and people named in ADMINS can see this page."
_MOST_APPROVED: Final = 5
_log = logging.getLogger(__name__)
Decide = Callable[[Visit, Confirmation, Proved], Awaitable[Response]]
"""Decides the confirmed requests with the given proof."""
Show = Callable[[Visit, Confirmation], Awaitable[ToConfirm]]
"""Describes all that a confirmation covers."""


@dataclass(frozen=True, slots=True)
class PasskeyHolder:
    """A person with passkeys, and the requests that they decided last."""

    user: UserId
    name: str
    passkeys: Passkeys
    decided: tuple[Request, ...]


class ProofPages:
    """Pages for proofs.

    `decide`, `show`, `change_settings` and `show_settings` are of the pages that ask for them.
    """

    def __init__(
        self,
        door: Door,
        confirmations: Confirmations,
        sign_ins: Sequence[SignIn],
        decide: Decide,
        show: Show,
        change_settings: Decide,
        show_settings: Show,
        cooling_off: timedelta,
    ) -> None:
        self._door = door
        self._confirmations = confirmations
        self._sign_ins = sign_ins
        self._decide = decide
        self._show = show
        self._change_settings = change_settings
        self._show_settings = show_settings
        self._cooling_off = cooling_off

    @property
    def routes(self) -> list[Route]:
        """Return the routes of these pages."""
        told, deciding = self._door.told, self._door.deciding
        return [
            Route("/confirm/{nonce}", told(self._confirmation)),
            Route("/confirm/{nonce}", deciding(self._confirm), methods=["POST"]),
            Route("/confirm/{nonce}/sign-in", told(self._sign_in_again)),
            Route("/passkeys", told(self._mine)),
            Route("/passkeys", deciding(self._change_mine), methods=["POST"]),
            Route("/people", told(self._people)),
            Route("/people", deciding(self._change_people), methods=["POST"]),
        ]

    # A confirmation

    async def _confirmation(self, visit: Visit) -> Response:
        found = await self._confirmations.read(visit.session, visit.http.path_params["nonce"])
        shown = await self._shown(visit, found)
        return self._door.page(
            "confirm.html",
            200,
            visit,
            found=found,
            shown=shown,
            names=await names_in(visit.desk.directory, *shown.articles),
            sign={name: value for name, value in (("get", found.options), ("create", found.registration)) if value},
            provider=self._provider(visit).provider.name,
            token=visit.session.token(found.path),
        )

    async def _shown(self, visit: Visit, found: Confirmation) -> ToConfirm:
        """Describe the action to confirm: people sign only content that was shown."""
        match found.kind:
            case "answer" | "answers":
                return await self._show(visit, found)
            case "settings":
                return await self._show_settings(visit, found)
            case "enrol":
                return ToConfirm("Create the passkey", entered=[("Its name", first(found.form, "name"))])
            case "code":
                user = UserId(first(found.form, "user").strip())
                name = await visit.desk.directory.name(user)
                return ToConfirm("Make the code", entered=[("For", f"{name} ({user})")])

    async def _sign_in_again(self, visit: Visit) -> Response:
        found = await self._confirmations.read(visit.session, visit.http.path_params["nonce"])
        url, pending = await self._provider(visit).begin(found.path, proves=found.oidc_nonce)
        response = RedirectResponse(url, 303)
        self._door.signed_in.keep(response, pending)
        return response

    def _provider(self, visit: Visit) -> SignIn:
        """Return the provider with which this person signed in."""
        issuer = visit.session.identity.issuer
        for sign_in in self._sign_ins:
            if sign_in.provider.issuer == issuer:
                return sign_in
        raise SignInProblem("Your provider isn't configured any more. Nothing was decided; please sign in again.")

    async def _confirm(self, visit: Visit, form: Entered) -> Response:
        """Use the proof once, for the action it was given for."""
        try:
            found = await self._confirmations.read(visit.session, visit.http.path_params["nonce"])
        except Refused as wrong:
            await self._door.refuse(visit.session, visit.desk, visit.http, wrong.refusal, {})
        if not visit.session.fits(first(form, "token"), found.path):
            await self._door.refuse(visit.session, visit.desk, visit.http, Refusal.FORM_NOT_YOURS, found.form)
        proved = await self._proved(visit, found, form)
        await self._confirmations.done(found)
        if found.kind in ("answer", "answers"):
            assert proved is not None, "an answer without a proof needs no confirmation"
            return await self._decide(visit, found, proved)
        if found.kind == "settings":
            assert proved is not None, "looser rules need a proof"
            return await self._change_settings(visit, found, proved)
        if found.kind == "enrol":
            return await self._enrol(visit, found, proved, form)
        return await self._make_code(visit, found, proved)

    async def _proved(self, visit: Visit, found: Confirmation, form: Entered) -> Proved | None:
        store, session = visit.desk.store, visit.session
        if found.needs is Proof.PASSKEY:
            answer = first(form, "assertion")
            return await webauthn.prove(store, self._confirmations.site, session.user, session.id, found.nonce, answer)
        if found.needs is Proof.OIDC:
            pending = self._door.signed_in.pending(visit.http)
            if found.login is None or pending is None or digest_of(pending.verifier) != found.browser:
                raise InvalidInput("Sign in again first, in this browser. Nothing was decided.")
            return await proofs.prove_login(
                store, nonce=found.nonce, user=session.user, session=session.id, login=found.login
            )
        return None

    # One's own passkeys

    async def _mine(self, visit: Visit) -> Response:
        return await self._mine_page(visit)

    async def _mine_page(self, visit: Visit, status: int = 200, said: str = "") -> Response:
        seen = await passkeys.of(visit.desk.store, visit.session.workspace, visit.session.user)
        reader = await reader_of(visit.desk, visit.session.user)
        lost = bool(seen.value.keys) and not seen.value.valid
        return self._door.page(
            "passkeys.html",
            status,
            visit,
            keys=seen.value.valid,
            revoked=[key for key in seen.value.keys if key.revoked_at is not None],
            now=seen.now,
            needs=rules.needs(seen.value),
            asks_for_code=not seen.value.valid,
            lost=lost,
            said=said,
            is_admin=reader.is_admin,
            token=visit.session.token(_TOKEN),
        )

    async def _change_mine(self, visit: Visit, form: Entered) -> Response:
        await self._check(visit, form)
        desk, session, what = visit.desk, visit.session, first(form, "what")
        actor = await desk.directory.actor(session.user)
        try:
            if what == "enrol":
                made = await self._begin_enrolment(visit, actor, form)
                return RedirectResponse(made.path, 303)
            if what == "rename":
                await passkeys.rename(desk.store, actor, first(form, "passkey"), first(form, "name"))
            elif what == "revoke":
                await passkeys.revoke(desk.store, session.user, first(form, "passkey"), actor, desk.admins)
            elif what == "sign-out":
                await self._door.sign_out_everywhere(session, desk, session.user, "they asked for it", session.user)
                response = RedirectResponse("/sign-in?signed-out", 303)
                self._door.signed_in.forget_session(response)
                return response
        except StoreUnavailable:
            raise
        except CountersignError as wrong:
            return await self._mine_page(visit, 409, str(wrong))
        return RedirectResponse("/passkeys", 303)

    async def _check(self, visit: Visit, form: Entered) -> None:
        if not visit.session.fits(first(form, "token"), _TOKEN):
            await self._door.refuse(visit.session, visit.desk, visit.http, Refusal.FORM_NOT_YOURS, {})

    async def _begin_enrolment(self, visit: Visit, actor: Actor, form: Entered) -> Confirmation:
        """Begin to enrol a passkey; the required proof depends on existing passkeys."""
        desk, session = visit.desk, visit.session
        mine = (await passkeys.of(desk.store, session.workspace, session.user)).value
        has_code = any(code.strip() for code in form.get("code", ()))
        needs = Proof.PASSKEY if mine.valid else None if has_code else Proof.OIDC
        statement = rules.enrolment_statement(session.workspace, session.user, new_nonce())
        registering = await proofs.begin_statement(desk.store, statement, session.id)
        options = webauthn.registration_options(
            self._confirmations.site, registering, mine, actor.name or str(session.user)
        )
        return await self._confirmations.of_statement(
            desk,
            session,
            rules.enrolment_statement(session.workspace, session.user, new_nonce()),
            "enrol",
            needs,
            form,
            "/passkeys",
            registering=registering.nonce,
            registration=options,
        )

    async def _enrol(self, visit: Visit, found: Confirmation, proved: Proved | None, form: Entered) -> Response:
        desk, session = visit.desk, visit.session
        try:
            challenge = await proofs.take(desk.store, found.registering, session.user, session.id)
            if isinstance(challenge, Refusal):
                raise InvalidInput(challenge.value)
            credential = webauthn.registered(self._confirmations.site, challenge, first(form, "registration"))
            await passkeys.enrol(
                desk.store,
                await desk.directory.actor(session.user),
                credential,
                first(found.form, "name"),
                proved=proved,
                codes=[code for code in found.form.get("code", ()) if code.strip()],
                cooling_off=self._cooling_off,
            )
        except StoreUnavailable:
            raise
        except CountersignError as wrong:
            return await self._mine_page(visit, 409, str(wrong))
        return RedirectResponse("/passkeys", 303)

    # Everybody's passkeys

    async def _people(self, visit: Visit) -> Response:
        return await self._people_page(visit)

    async def _people_page(self, visit: Visit, status: int = 200, said: str = "", code: str = "") -> Response:
        desk = visit.desk
        reader = await reader_of(desk, visit.session.user)
        if not reader.is_admin:
            raise InvalidInput(_ADMINS_ONLY)
        holders = []
        for user in sorted(await desk.store.passkey_holders()):
            seen = await passkeys.of(desk.store, desk.workspace, user)
            decided = await desk.overview.decided(user, _MOST_APPROVED)
            by_them = tuple(one for one in decided if one.decision is not None and user in one.decision.by)
            holders.append(PasskeyHolder(user, await desk.directory.name(user), seen.value, by_them))
        return self._door.page(
            "people.html",
            status,
            visit,
            holders=holders,
            now=reader.now,
            said=said,
            code=code,
            token=visit.session.token(_TOKEN),
        )

    async def _change_people(self, visit: Visit, form: Entered) -> Response:
        await self._check(visit, form)
        desk, session = visit.desk, visit.session
        actor = await desk.directory.actor(session.user)
        user = UserId.named(first(form, "user").strip())
        try:
            if user is None:
                raise InvalidInput("Give the member ID of a Slack user, like U012AB3CD. Nothing was changed.")
            if first(form, "what") == "sign-out":
                return await self._sign_out(visit, user)
            if first(form, "what") == "revoke":
                await passkeys.revoke(desk.store, user, first(form, "passkey"), actor, desk.admins)
            elif first(form, "what") == "code":
                if (why_not := rules.why_no_code(actor, user, desk.admins)) is not None:
                    raise InvalidInput(why_not)
                statement = rules.code_statement(session.workspace, session.user, user, new_nonce())
                made = await self._confirmations.of_statement(
                    desk, session, statement, "code", Proof.PASSKEY, form, "/people"
                )
                return RedirectResponse(made.path, 303)
        except StoreUnavailable:
            raise
        except CountersignError as wrong:
            return await self._people_page(visit, 409, str(wrong))
        return RedirectResponse("/people", 303)

    async def _sign_out(self, visit: Visit, user: UserId) -> Response:
        """Sign somebody out everywhere; this weakens no rule, so it needs no proof."""
        desk, session = visit.desk, visit.session
        if not (await reader_of(desk, session.user)).is_admin:
            raise InvalidInput(_ADMINS_ONLY)
        await self._door.sign_out_everywhere(session, desk, user, "an admin signed them out", session.user)
        if user == session.user:
            return RedirectResponse("/sign-in?signed-out", 303)
        return await self._people_page(visit, 200, f"{await desk.directory.name(user)} is signed out everywhere.")

    async def _make_code(self, visit: Visit, found: Confirmation, proved: Proved | None) -> Response:
        desk, user = visit.desk, UserId(first(found.form, "user").strip())
        actor = await desk.directory.actor(visit.session.user)
        try:
            assert proved is not None, "a code needs a passkey"
            code = await passkeys.make_code(desk.store, actor, desk.admins, user, proved)
        except StoreUnavailable:
            raise
        except CountersignError as wrong:
            return await self._people_page(visit, 409, str(wrong))
        name = await desk.directory.name(user)
        said = f"Give this code to {name} yourself, in person or by a call that you made. It works once, for 24 hours:"
        return await self._people_page(visit, 200, said, code)
