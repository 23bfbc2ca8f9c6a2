"""The bugs that we plant: each breaks one promise in one place, and names the tests that must notice.

The rules are those that stand in the tests' docstrings.
"""

from typing import Final

from tests.mutants.bounding import BOUNDING
from tests.mutants.bug import Bug
from tests.mutants.deciding import DECIDING
from tests.mutants.drawing import DRAWING
from tests.mutants.naming import NAMING
from tests.mutants.policy import POLICY
from tests.mutants.recording import RECORDING
from tests.mutants.replaying import REPLAYING
from tests.mutants.running import RUNNING
from tests.mutants.waiting import WAITING

BUGS: Final[tuple[Bug, ...]] = (
    *DECIDING,
    *POLICY,
    *WAITING,
    *RUNNING,
    *REPLAYING,
    *DRAWING,
    *RECORDING,
    *NAMING,
    *BOUNDING,
)
