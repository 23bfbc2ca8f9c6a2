"""S7."""

from agents.teams.email import TEAM as TEAM
