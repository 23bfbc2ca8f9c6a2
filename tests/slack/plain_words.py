"""The words that no view shows: names of functions, JSON, and how it works inside."""

import re
from collections.abc import Iterator
from typing import Final

_INTERNAL: Final = re.compile(
    r"\b(wants to run|arguments?|digest|lease|journal|verb|snooze[sd]?|True|False|workers?)\b"
    r"|[a-z]+_[a-z_]+|[{\[]|python -m|127\.0\.0"
)
"""Words and signs that say how it works inside."""
_TOOLS: Final = re.compile(r"refund_order|look_up|send_mail|open_ticket|run_tests|carry_out|list_due|search_notes")
"""Tools of the samples and of the example teams: in boxes they are not shown either."""
_IN_BOXES: Final = re.compile(r"\bapi_key\b|[{\[]\"|\": ")
"""Names of arguments as code has them, and JSON: not even in the boxes of what is judged and of what was changed."""
_EXACT: Final = re.compile(r"<[^>]*>|:[a-z_0-9]+:|⟦[^⟧]*⟧|`[^`]*`")
"""Marks, and what stands between backticks because it is meant exactly."""


def speaks_plainly(blocks: object, foreign: str = "") -> None:
    """Assert that nothing in the blocks says how it works; `foreign`: words that others wrote."""
    own = [text for text in texts_of(blocks, skip=("rich_text_preformatted",)) if not foreign or foreign not in text]
    ours = "\n".join(_EXACT.sub("", text) for text in own)
    assert not _INTERNAL.search(ours), _INTERNAL.search(ours)
    everything = "\n".join(_EXACT.sub("", text) for text in texts_of(blocks))
    for inner in (_TOOLS, _IN_BOXES):
        assert not inner.search(everything), inner.search(everything)


def texts_of(value: object, skip: tuple[str, ...] = ()) -> Iterator[str]:
    """Each text of the blocks, but those in blocks of the types to skip."""
    if isinstance(value, dict) and value.get("type") not in skip:
        if isinstance(text := value.get("text"), str):
            yield text
        for inner in value.values():
            yield from texts_of(inner, skip)
    if isinstance(value, list):
        for inner in value:
            yield from texts_of(inner, skip)
