"""S1–S4."""

from agents.teams.chat import TEAM as TEAM
