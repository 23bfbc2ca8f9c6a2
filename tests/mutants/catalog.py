"""The bugs that we plant: each breaks one promise in one place, and names the tests that must notice.

The rules are those that stand in the tests' docstrings.
"""

from typing import Final

from tests.mutants.adapters import ADAPTING
from tests.mutants.audit_log import RECORDING
from tests.mutants.decisions import DECIDING
from tests.mutants.gateway import GATEWAY
from tests.mutants.identifiers import NAMING
from tests.mutants.installations import INSTALLING
from tests.mutants.limits import BOUNDING
from tests.mutants.mutant import Bug
from tests.mutants.pages import PAGES
from tests.mutants.policy import POLICY
from tests.mutants.programs import ASKING
from tests.mutants.proofs import PROOFS
from tests.mutants.rendering import DRAWING
from tests.mutants.replay import REPLAYING
from tests.mutants.runs import RUNNING
from tests.mutants.shells import GATING
from tests.mutants.slack_delivery import DELIVERING
from tests.mutants.waiting import WAITING

BUGS: Final[tuple[Bug, ...]] = (
    *DECIDING,
    *PROOFS,
    *PAGES,
    *POLICY,
    *WAITING,
    *RUNNING,
    *REPLAYING,
    *DRAWING,
    *DELIVERING,
    *RECORDING,
    *NAMING,
    *BOUNDING,
    *INSTALLING,
    *ADAPTING,
    *GATEWAY,
    *ASKING,
    *GATING,
)
