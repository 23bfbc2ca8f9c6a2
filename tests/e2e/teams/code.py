"""S18."""

from agents.teams.code import TEAM as OURS
from tests.e2e.playing import watched

TEAM = watched(OURS)
