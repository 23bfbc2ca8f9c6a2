"""Notices about passkeys, in the approvals channel and to the passkey's owner."""

from datetime import datetime
from typing import Final

from countersign.domain.errors import InvalidInput
from countersign.domain.events import Event, EventType
from countersign.domain.ids import UserId
from countersign.text.safe_text import quoted

from .block_kit import Block, Drawing, context, plain, words
from .slack_markup import escape, mention, when

_ENROLLED_BY: Final = {
    "login": "after a login at the identity provider",
    "passkey": "confirmed with another of their passkeys",
}
_IF_NOT: Final = "If this looks wrong, revoke the passkey now: until then it can sign approvals."
_IF_NOT_YOU: Final = "If this wasn't you, tell an admin at once; an admin can revoke the passkey."
_LONGEST_NAME: Final = 60


def notices(event: Event) -> tuple[UserId, Drawing, Drawing]:
    """Draw the notices for the channel and for the person.

    InvalidInput if the event is damaged.
    """
    data = event.data
    try:
        holder = UserId(data["holder"])
        match event.type:
            case EventType.PASSKEY_ENROLLED:
                usable = datetime.fromisoformat(data["usable_at"])
                how = _ENROLLED_BY.get(data["enrolled_by"]) or f"with a code of {_makers(data['vouched_by'])}"
                from_when = f" It can approve {when(usable, event.at)}." if usable > event.at else ""
                theirs = f":key: {mention(holder)} enrolled a passkey, {how}.{from_when}"
                yours = f":key: A passkey was enrolled for you, {how}.{from_when}"
            case EventType.PASSKEY_REVOKED:
                theirs = (
                    f":key: {_maker(data['by'])} revoked a passkey of {mention(holder)}. It signs nothing any more."
                )
                yours = f":key: {_maker(data['by'])} revoked a passkey of yours. It signs nothing any more."
            case _:
                theirs = f":key: {_maker(data['by'])} made a code with which {mention(holder)} can enrol a passkey."
                yours = f":key: {_maker(data['by'])} made a code with which you can enrol a passkey."
    except (KeyError, ValueError) as wrong:
        raise InvalidInput(f"The event does not say what happened to a passkey ({ascii(str(wrong))[:200]}).") from None
    grants = event.type is not EventType.PASSKEY_REVOKED
    return holder, _drawing(theirs, event, _IF_NOT * grants), _drawing(yours, event, _IF_NOT_YOU * grants)


def _drawing(text: str, event: Event, then: str) -> Drawing:
    small: list[Block] = []
    if name := event.data.get("name", ""):
        small.append(plain(f"Its name: {quoted(name, _LONGEST_NAME)}"))
    if then:
        small.append(plain(then, 150))
    return Drawing(text, [words(text), *([context(*small)] if small else [])])


def _makers(text: str) -> str:
    """Name who handed over codes: users, or the operator's account."""
    makers = text.replace("operator ", "operator:").split(" ")
    return " and ".join(_maker(one.replace("operator:", "operator ")) for one in makers)


def _maker(name: str) -> str:
    user = UserId.named(name)
    return mention(user) if user is not None else f"the {escape(quoted(name, _LONGEST_NAME))}"
