"""The registry of teams: the files of a folder, each with its `TEAM`."""

import hashlib
import importlib
import importlib.util
import logging
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final

from countersign.domain.ids import TeamName
from countersign.frameworks.autogen.team import Team, Teams

from . import teams

log = logging.getLogger(__name__)
EXAMPLES: Final = Path(teams.__path__[0])
_EXTRAS: Final = {
    "agent_framework": ("Microsoft Agent Framework", "agent-framework"),
    "agents": ("the OpenAI Agents SDK", "openai-agents"),
}
"""Packages of other frameworks: their names, and the extras that bring them."""


def files(folder: Path) -> list[Path]:
    """List the team files of a folder by name; `_` first makes a file no team."""
    return sorted(path for path in folder.glob("*.py") if not path.stem.startswith("_"))


def find(folder: Path = EXAMPLES) -> Teams:
    """Load the teams of a folder.

    Each file that cannot be used is logged, and its team announced with the reason.
    """
    result = Teams({}, {})
    for path in files(folder):
        if TeamName.named(path.stem) is None:
            log.error("The team file %s is ignored: its name cannot be that of a team.", path)
            continue
        problem = _add(path, result)
        if problem:
            result.broken[path.stem] = f"its file {path.name} {problem}."
            log.error("The team “%s” cannot be started: its file %s %s.", path.stem, path, problem)
    return result


def _add(path: Path, result: Teams) -> str:
    """Add the file's team; return why it cannot be used, if so."""
    try:
        team = getattr(_load(path), "TEAM", None)
    except (Exception, SystemExit) as error:
        if isinstance(error, ImportError) and (missing := _extra(error.name or "")):
            return missing
        log.exception("The team file %s failed.", path)
        words = (str(error) or "no reason given").splitlines()[0][:200]
        return f"does not load ({type(error).__name__}: {words})"
    if not isinstance(team, Team):
        return "has no “TEAM = Team(…)”"
    if team.name in result.working:
        return f"names itself “{team.name}”, as another file does"
    result.working[team.name] = team
    return ""


def _extra(module: str) -> str:
    """Say which extra brings this module; empty if none does."""
    if module.partition(".")[0] not in _EXTRAS or module.startswith(("agents.services", "agents.teams")):
        return ""
    package, extra = _EXTRAS[module.partition(".")[0]]
    here = "; not in a checkout, whose own folder has the name of its package" if module[:6] == __package__ else ""
    return f"needs {package} (pip install 'countersign-slack[{extra}]'{here})"


def _load(path: Path) -> ModuleType:
    if path.parent == EXAMPLES:
        return importlib.import_module(f"{teams.__name__}.{path.stem}")
    name = f"{_package(path.parent)}.{path.stem.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _package(folder: Path) -> str:
    """Name the package that a folder's files are in.

    It is beside the example teams, so that copies of them load too.
    """
    name = f"{__package__}.teams_{hashlib.sha256(bytes(folder.resolve())).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder.resolve())]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return name
