"""S10, S14, S17."""

from agents.teams.support import TEAM as OURS
from tests.e2e.team_parts import watched

TEAM = watched(OURS)
