"""S6, S20."""

from agents.teams.research import TEAM as OURS
from tests.e2e.team_parts import watched

TEAM = watched(OURS)
