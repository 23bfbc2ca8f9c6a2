"""Let people take part in a conversation of agents, and end it."""

from countersign.frameworks import extra

with extra("server,autogen"):
    from countersign.frameworks.autogen.people.conversation import ConversationOver, EndReason, turn_in
    from countersign.frameworks.autogen.people.human_input_modes import (
        HumanInputMode,
        any_of,
        every,
        last_line,
        when_from,
        when_said,
    )

__all__ = [
    "ConversationOver",
    "EndReason",
    "HumanInputMode",
    "any_of",
    "every",
    "last_line",
    "turn_in",
    "when_from",
    "when_said",
]
