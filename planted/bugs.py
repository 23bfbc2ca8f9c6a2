"""The bugs that we plant: each breaks one promise in one place, and names the tests that must notice.

The rules are those that stand in the tests' docstrings.
"""

from typing import Final

from planted.bounding import BOUNDING
from planted.bug import Bug
from planted.deciding import DECIDING
from planted.drawing import DRAWING
from planted.naming import NAMING
from planted.policy import POLICY
from planted.recording import RECORDING
from planted.replaying import REPLAYING
from planted.running import RUNNING
from planted.waiting import WAITING

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
