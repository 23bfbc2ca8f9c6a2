"""S8."""

from agents.teams.deploy import TEAM as OURS
from tests.e2e.playing import watched

TEAM = watched(OURS)
