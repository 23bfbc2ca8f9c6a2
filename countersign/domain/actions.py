"""The fate of an action, by a policy, a hook's rules or a gateway's file."""

from enum import StrEnum


class Action(StrEnum):
    """The fate of an action, from the mildest to the strictest."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"

    @property
    def strictness(self) -> int:
        """Rank of the action; stricter actions rank higher."""
        return _FROM_MILDEST.index(self)


_FROM_MILDEST = list(Action)
