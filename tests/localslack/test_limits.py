"""Whatever an app sends, localslack answers as Slack would: an error code, never a crash."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from localslack.blocks import BLOCKS, INPUTS
from localslack.errors import SlackError
from localslack.payload_checks import check_message_blocks, check_metadata, check_view
from tests.localslack.slack_cases import CARD, MODAL, Json

WORDS = st.sampled_from([*BLOCKS, *INPUTS, "modal", "home", "plain_text", "mrkdwn", "rich_text_section", "x", ""])
KEYS = st.sampled_from(
    ["type", "text", "elements", "element", "accessory", "options", "initial_option", "block_id", "action_id", "blocks"]
)
LEAVES = st.none() | st.booleans() | st.integers() | WORDS
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


def spoil(value: Any, path: list[int], by: Any) -> Any:
    """The same thing with one part of it, found by the path, replaced."""
    if not path or not isinstance(value, dict | list) or not value:
        return by
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = spoil(value[key], path[1:], by)
    return copy


def survives(check: Any, *args: Any) -> None:
    try:
        check(*args)
    except SlackError as error:
        assert error.code


@given(st.lists(st.integers(0, 5), min_size=1, max_size=7), ANYTHING)
def test_malformed_blocks_and_views_are_refused_without_a_crash(path: list[int], by: Any) -> None:
    card = spoil(CARD, path, by)
    survives(check_message_blocks, card)
    view: Json = spoil(MODAL, path, by)
    survives(check_view, view, ("modal", "home"))
    survives(check_metadata, by)
