"""Keep answers that wait for a proof of their author's identity.

A form whose answer needs more than a session is kept with a challenge that covers all of it. Its page asks for the
proof, and then the kept form counts with the proof. The challenge can be used once, within five minutes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.decision_attempts import Attempt
from countersign.domain.errors import InvalidInput, Refused
from countersign.domain.ids import AttemptId, Digest, digest_of, short_name
from countersign.domain.proof import CHALLENGE_LASTS, Challenge, OidcLogin, Proof, Statement
from countersign.store.sign_ins import SignIns
from countersign.usecases import attempt_refused, passkeys, proofs
from countersign.usecases.proofs import Shown

from ..passkeys import Site, assertion_options
from .block_html import Node
from .desk import Desk
from .providers import OidcIdentity, PendingSignIn
from .sessions import Session
from .window_forms import Entered

_NO_PASSKEY: Final = (
    "This needs your passkey, and you have none that can approve yet. Nothing was decided; open My passkeys to enrol "
    "one, or to see from when yours can."
)


class Confirmation(BaseModel):
    """An answer that waits for its proof.

    `about` are the requests, with the digests of the content that their page showed. `options` are for the browser's
    passkey, and `oidc_nonce` for the provider. `login` is the fresh login that was made for it. `registering` and
    `registration` are the nonce and the options of a new passkey.
    """

    model_config = ConfigDict(frozen=True)

    nonce: str
    session: Digest
    kind: Literal["answer", "answers", "enrol", "code", "settings"]
    needs: Proof | None
    form: dict[str, list[str]]
    back: str
    about: tuple[tuple[str, str], ...] = ()
    options: dict[str, Any] | None = None
    oidc_nonce: str = ""
    login: OidcLogin | None = None
    browser: str = ""
    registering: str = ""
    registration: dict[str, Any] | None = None

    @property
    def path(self) -> str:
        """The address of its page."""
        return f"/confirm/{self.nonce}"

    @property
    def waits_for_login(self) -> bool:
        """Tell whether the person must sign in again first."""
        return self.needs is Proof.OIDC and self.login is None


@dataclass(frozen=True, slots=True)
class ToConfirm:
    """Everything that a confirmation covers, as its page shows it.

    `label` is the button's action, `articles` are the contents, `entered` is the person's other input.
    """

    label: str
    articles: Sequence[Sequence[Node]] = ()
    entered: Sequence[tuple[str, str]] = ()


class Confirmations:
    """Confirmations in Redis, by the nonce of their challenge."""

    def __init__(self, sign_ins: SignIns, site: Site) -> None:
        self._sign_ins = sign_ins
        self.site = site

    async def of_answers(
        self,
        desk: Desk,
        session: Session,
        shown: Sequence[Shown],
        attempt: Attempt,
        needs: Proof,
        form: Entered,
        back: str,
    ) -> Confirmation:
        """Begin to confirm an answer to these requests.

        Refused if one of the answers would be refused with any proof.
        """
        challenge = await proofs.begin(desk.store, shown, attempt, session.id)
        mine = await passkeys.of(desk.store, session.workspace, session.user)
        if needs is Proof.PASSKEY and not mine.value.usable(mine.now):
            for one in shown:
                await attempt_refused(
                    desk.store,
                    AttemptId("w" + short_name(attempt.id, one.request, challenge.nonce, length=20)),
                    request=one.request,
                    workspace=session.workspace,
                    user=session.user,
                    verb=attempt.verb,
                    words=attempt.words,
                    refusal=Refusal.NEEDS_PASSKEY,
                )
        kind: Literal["answer", "answers"] = "answer" if back.startswith("/requests/") else "answers"
        about = tuple((str(one.request), str(one.digest)) for one in shown)
        return await self._keep(desk, session, challenge, kind=kind, needs=needs, form=form, back=back, about=about)

    async def of_statement(
        self,
        desk: Desk,
        session: Session,
        statement: Statement,
        kind: Literal["enrol", "code", "settings"],
        needs: Proof | None,
        form: Entered,
        back: str,
        **more: Any,
    ) -> Confirmation:
        """Begin to confirm a statement that is not an answer."""
        challenge = await proofs.begin_statement(desk.store, statement, session.id)
        return await self._keep(desk, session, challenge, kind=kind, needs=needs, form=form, back=back, **more)

    async def _keep(self, desk: Desk, session: Session, challenge: Challenge, **fields: Any) -> Confirmation:
        options = None
        if fields["needs"] is Proof.PASSKEY:
            seen = await passkeys.of(desk.store, session.workspace, session.user)
            usable = seen.value.valid if fields["kind"] == "enrol" else seen.value.usable(seen.now)
            if not usable:
                raise InvalidInput(_NO_PASSKEY)
            options = assertion_options(self.site, challenge, seen.value)
        fields["form"] = {name: list(values) for name, values in fields["form"].items()}
        made = Confirmation(
            nonce=challenge.nonce, session=session.id, options=options, oidc_nonce=challenge.oidc_nonce, **fields
        )
        await self._sign_ins.keep(made.nonce, made.model_dump_json().encode(), CHALLENGE_LASTS)
        return made

    async def read(self, session: Session, nonce: str) -> Confirmation:
        """Read a confirmation of this session.

        Refused if it has expired or belongs to another session.
        """
        stored = await self._sign_ins.kept(nonce)
        if stored is None:
            raise Refused(Refusal.PROOF_LATE, Refusal.PROOF_LATE.filled())
        try:
            found = Confirmation.model_validate_json(stored)
        except ValidationError:
            raise Refused(Refusal.PROOF_LATE, Refusal.PROOF_LATE.filled()) from None
        if found.session != session.id:
            raise Refused(Refusal.PROOF_NOT_YOURS, Refusal.PROOF_NOT_YOURS.filled())
        return found

    async def note_login(self, session: Session, nonce: str, identity: OidcIdentity, pending: PendingSignIn) -> None:
        """Note the fresh login that was made for a confirmation; it decides nothing yet.

        InvalidInput if the login was made for another confirmation.
        """
        found = await self.read(session, nonce)
        if pending.nonce != found.oidc_nonce:
            raise InvalidInput(Refusal.PROOF_WRONG.value)
        assert identity.authenticated_at is not None, "a login without a moment proves nothing"
        login = OidcLogin(identity.issuer, identity.subject, identity.authenticated_at, identity.acr, identity.amr)
        await self._sign_ins.change(
            nonce,
            found.model_copy(update={"login": login, "browser": digest_of(pending.verifier)})
            .model_dump_json()
            .encode(),
        )

    async def done(self, found: Confirmation) -> None:
        """Drop a confirmation; its challenge is spent, whatever the outcome."""
        await self._sign_ins.forget(found.nonce)
