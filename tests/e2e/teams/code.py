"""S18."""

from agents.teams.code import TEAM as OURS
from tests.e2e.team_parts import watched

TEAM = watched(OURS)
