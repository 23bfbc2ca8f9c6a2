"""Sentences of `/approvals away` and `back`."""

from typing import Final

from countersign.domain.delegation import Absence

from .slack_markup import mention, when

AWAY_HELP: Final = "*`/approvals away @standin until 2026-12-24`* (or `for 3d`) names who decides while you're away"
BACK_HELP: Final = "*`/approvals back`* ends it"
BACK: Final = "You're back. Your stand-in no longer decides in your place."
NOT_AWAY: Final = "You weren't away; nothing was changed."
_EXAMPLE: Final = "like `/approvals away @standin until 2026-12-24`, or `… for 3d`."
ONE_STAND_IN: Final = f"Name one stand-in; nothing was changed. Write it {_EXAMPLE}"
NO_END: Final = f"Say until when; nothing was changed. Write it {_EXAMPLE}"


def not_a_date(text: str) -> str:
    """Say that there is no such date."""
    return f"“{text}” isn't a date; nothing was changed. Write it {_EXAMPLE}"


def not_an_end(text: str) -> str:
    """Say that this cannot be the end of an absence."""
    return f"“{text}” isn't a date or a duration; nothing was changed. Write it {_EXAMPLE}"


def nobody_named(absence: Absence | None) -> tuple[str, str]:
    """Say what to give, and who stands in now: a sentence and its mrkdwn."""
    now = "You're not away now."
    if absence is not None:
        now = f"You're away until {_end(absence)}, and {mention(absence.stand_in)} decides in your place."
    return "Name a stand-in, and say until when", f", {_EXAMPLE} {now}"


def away(absence: Absence, *, informed: bool) -> str:
    """Say who decides until when; not `informed`: no message reached them."""
    stand_in = mention(absence.stand_in)
    note = "They've been notified." if informed else "The app couldn't message them; please tell them yourself."
    return (
        f"You're away until {_end(absence)}. {stand_in} decides in your place. {note} You can still decide; the two of "
        "you count as one. `/approvals back` ends it."
    )


def stand_in_message(absence: Absence) -> str:
    """Tell the stand-in for whom they decide, and until when."""
    return (
        f":wave: {mention(absence.user)} is away until {_end(absence)} and named you as their stand-in. Until then, "
        "you can decide on requests that need their review; the app's Home tab lists them."
    )


def _end(absence: Absence) -> str:
    return when(absence.until, absence.since)
