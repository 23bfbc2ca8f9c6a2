"""Names of the slash commands, for every sentence that names one.

Slack gives a name to the app that was installed last, so both are settings. `web` sets them once, before it draws.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class SlashCommands:
    """The commands as people type them."""

    agent: str = "/agent"
    approvals: str = "/approvals"


NAMES: Final = SlashCommands()
