"""Errors show stored text in ASCII: they end in logs and terminals (R15)."""

import json
from collections.abc import Callable

import pytest

from bot.slack import settings_proposals
from countersign.domain.errors import CountersignError
from countersign.domain.events import Event, EventType
from countersign.domain.hash_chain import Kept, Verifier, hash_of, read_head
from countersign.domain.ids import ChannelId, RequestId, RunId
from countersign.store.keys import Keys
from tests.sample_requests import NOW

HOSTILE = "\x1b[2J\u202eé"
"""Clears a terminal, and turns the rest of the line around."""
SETTINGS = json.dumps({"reviewers": HOSTILE}, ensure_ascii=False)


def proposal() -> None:
    settings_proposals.proposal_of(Event(EventType.SETTINGS_PROPOSED, NOW, data={"wanted": SETTINGS}))


def change_of_settings() -> None:
    parts = ("rules", "inherited", "before", "inherited_before")
    settings_proposals.effect_of(dict.fromkeys(parts, SETTINGS))


def schema_of_an_entry() -> None:
    entry = json.dumps({"schema": HOSTILE}, separators=(",", ":"))
    verifier = Verifier()
    verifier.take(Kept(entry, hash_of(entry)))
    raise ValueError(str(verifier.end()[0]))


@pytest.mark.parametrize(
    "read",
    [
        lambda: RunId(HOSTILE),
        lambda: RequestId(f"q{HOSTILE}"),
        lambda: ChannelId(HOSTILE),
        lambda: Keys("one").message(f"card/{HOSTILE}"),
        lambda: read_head(HOSTILE),
        proposal,
        change_of_settings,
        schema_of_an_entry,
    ],
    ids=["run", "request", "channel", "message", "head of the audit log", "proposal", "settings", "schema"],
)
def test_error_shows_stored_text_in_ascii(read: Callable[[], object]) -> None:
    with pytest.raises((CountersignError, ValueError)) as wrong:
        read()
    said = str(wrong.value)
    assert "u202e" in said and said.isprintable() and HOSTILE[-1] not in said
