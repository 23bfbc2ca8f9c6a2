"""S8."""

from agents.teams.deploy import TEAM as OURS
from tests.e2e.team_parts import watched

TEAM = watched(OURS)
