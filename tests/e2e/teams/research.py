"""S6, S20."""

from agents.teams.research import TEAM as OURS
from tests.e2e.playing import watched

TEAM = watched(OURS)
