"""Names of the slash commands, for every sentence that names one.

If two apps use the same name, Slack picks the app installed last, so both names are settings. `web` sets them once,
before it draws.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class SlashCommands:
    """The commands as people type them."""

    agent: str = "/agent"
    approvals: str = "/approvals"


NAMES: Final = SlashCommands()
