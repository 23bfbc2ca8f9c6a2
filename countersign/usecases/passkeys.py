"""Enrol, name and revoke passkeys, and make codes with which people enrol.

Each step is an event: the audit log keeps it, and it is posted to the approvals channel and to the person.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from countersign.domain import passkeys
from countersign.domain.errors import CountersignError, InvalidInput, NotFound
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, UserId, WorkspaceId
from countersign.domain.passkeys import NewCredential, Passkey, Passkeys
from countersign.domain.people import Actor
from countersign.domain.proof import Proof, Proved, why_not_proved, with_evidence
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, update
from countersign.usecases.ports import Change, Put, Seen, Store

_NONE: Final = "There is no such passkey. Nothing was changed."


async def of(store: Store, workspace: WorkspaceId, user: UserId) -> Seen[Passkeys]:
    """Read a person's passkeys, which may be empty."""
    seen = await store.passkeys(user)
    return seen or Seen(Passkeys(workspace, user), 0, await store.now())


async def enrol(
    store: Store,
    actor: Actor,
    credential: NewCredential,
    name: str,
    *,
    proved: Proved | None = None,
    codes: Sequence[str] = (),
    cooling_off: timedelta = passkeys.COOLING_OFF,
    attempt: AttemptId | None = None,
) -> Passkey:
    """Enrol a passkey for the session's person.

    `credential` was checked by `bot.passkeys.registered`. `proved` is a proof of `passkeys.enrolment_statement`.
    InvalidInput, with nothing changed but an event, if these do not suffice.
    """

    async def propose() -> Swap[Passkey] | Refuse:
        seen = await of(store, actor.workspace, actor.user)
        said = passkeys.enrolment_statement(actor.workspace, actor.user)
        try:
            if proved is not None and (wrong := why_not_proved(Proof.OIDC, proved, said, seen.now)) is not None:
                raise InvalidInput(f"{wrong.value} No passkey was enrolled.")
            done = passkeys.enrol(
                seen.value, credential, name, seen.now, proved=proved, codes=codes, cooling_off=cooling_off
            )
        except InvalidInput as wrong_input:
            return _refused(seen, actor, actor.user, wrong_input, attempt)
        return Swap(
            Change(passkeys=(Put(done.passkeys, seen.version),), events=(await _told(store, done.event),)), done.passkey
        )

    return (await update(store, propose)).value


async def make_code(
    store: Store,
    admin: Actor,
    admins: frozenset[UserId],
    user: UserId,
    proved: Proved,
    attempt: AttemptId | None = None,
) -> str:
    """Make a code with which this user can enrol one passkey; it is shown once.

    `proved` is a proof of `passkeys.code_statement` by the admin's passkey. InvalidInput, with an event, if the admin
    may not.
    """

    async def propose() -> Swap[str] | Refuse:
        seen = await of(store, admin.workspace, user)
        why_not = passkeys.why_no_code(admin, user, admins)
        said = passkeys.code_statement(admin.workspace, admin.user, user)
        if why_not is None and (wrong := why_not_proved(Proof.PASSKEY, proved, said, seen.now)) is not None:
            why_not = f"{wrong.value} No code was made."
        if why_not is not None:
            return _refused(seen, admin, user, InvalidInput(why_not), attempt)
        after, code, event = passkeys.make_code(seen.value, admin.user, seen.now)
        change = Change(
            passkeys=(Put(after, seen.version),), events=(await _told(store, with_evidence(event, proved)),)
        )
        return Swap(change, code)

    return (await update(store, propose)).value


async def make_code_by_operator(store: Store, workspace: WorkspaceId, user: UserId, operator: str) -> str:
    """Make a code on the command line, for the first people and after a loss."""

    async def propose() -> Swap[str]:
        seen = await of(store, workspace, user)
        after, code, event = passkeys.make_code(seen.value, f"operator {operator}", seen.now)
        return Swap(Change(passkeys=(Put(after, seen.version),), events=(await _told(store, event),)), code)

    return (await update(store, propose)).value


async def revoke(store: Store, user: UserId, credential: str, actor: Actor, admins: frozenset[UserId]) -> Passkeys:
    """Revoke one passkey of this user; a revoked passkey stays as it was.

    Its owner and admins may, without a proof, because revoking weakens nothing. NotFound if the passkey does not exist.
    """

    async def propose() -> Keep[Passkeys] | Swap[Passkeys] | Refuse:
        seen = await of(store, actor.workspace, user)
        if (why_not := passkeys.why_not_revoke(seen.value, actor, admins)) is not None:
            return _refused(seen, actor, user, InvalidInput(why_not), None)
        return await _revoked(store, seen, credential, str(actor.user))

    return (await update(store, propose)).value


async def revoke_by_operator(
    store: Store, workspace: WorkspaceId, user: UserId, credential: str, operator: str
) -> Passkeys:
    """Revoke one passkey on the server's command line."""

    async def propose() -> Keep[Passkeys] | Swap[Passkeys] | Refuse:
        return await _revoked(store, await of(store, workspace, user), credential, f"operator {operator}")

    return (await update(store, propose)).value


async def rename(store: Store, actor: Actor, credential: str, name: str) -> Passkeys:
    """Rename the actor's own passkey."""

    async def propose() -> Swap[Passkeys] | Refuse:
        seen = await of(store, actor.workspace, actor.user)
        if seen.value.get(credential) is None:
            return Refuse(NotFound(_NONE))
        after = passkeys.renamed(seen.value, credential, name)
        return Swap(Change(passkeys=(Put(after, seen.version),)), after)

    return (await update(store, propose)).value


async def _revoked(
    store: Store, seen: Seen[Passkeys], credential: str, by: str
) -> Keep[Passkeys] | Swap[Passkeys] | Refuse:
    if seen.value.get(credential) is None:
        return Refuse(NotFound(_NONE))
    changed = passkeys.revoke(seen.value, credential, by, seen.now)
    if changed is None:
        return Keep(seen.value)
    after, event = changed
    return Swap(Change(passkeys=(Put(after, seen.version),), events=(await _told(store, event),)), after)


async def _told(store: Store, event: Event) -> Event:
    """Name the channel in which the event is posted: where cards go by default."""
    defaults = await store.defaults()
    return event if defaults is None else replace(event, data={**event.data, "channel": defaults.approvals_channel})


def _refused(
    seen: Seen[Passkeys], actor: Actor, holder: UserId, error: CountersignError, attempt: AttemptId | None
) -> Refuse:
    data = {"holder": str(holder), "why": str(error)}
    event = Event(EventType.ENROLMENT_REFUSED, seen.now, workspace=actor.workspace, user=actor.user, data=data)
    return Refuse(error, Change(events=(event,), once=attempt))
