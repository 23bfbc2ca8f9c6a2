"""Finds the teams: the files of a folder, each with its `TEAM`."""

import importlib
import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from countersign.autogen.team import Team, Teams
from countersign.domain.ids import TeamName

from . import teams

log = logging.getLogger(__name__)
HERE: Final = Path(teams.__path__[0])


def find(folder: Path = HERE) -> Teams:
    """Load the team files of a folder, in the order of their names; files that begin with `_` are left alone."""
    result = Teams({}, {})
    for path in sorted(folder.glob("*.py")):
        if path.stem.startswith("_"):
            continue
        if TeamName.named(path.stem) is None:
            log.error("The file %s is left alone: its name cannot be that of a team.", path.name)
            continue
        try:
            team = getattr(_load(path), "TEAM", None)
        except (Exception, SystemExit) as error:
            log.exception("The team file %s does not load; the other teams work.", path.name)
            words = (str(error) or "no reason given").splitlines()[0][:200]
            result.broken[path.stem] = f"its file {path.name} does not load ({type(error).__name__}: {words})."
            continue
        if not isinstance(team, Team):
            result.broken[path.stem] = f"its file {path.name} has no “TEAM = Team(…)”."
        elif team.name in result.working:
            result.broken[path.stem] = f"its file {path.name} names itself “{team.name}”, as another file does."
        else:
            result.working[team.name] = team
    return result


def _load(path: Path) -> ModuleType:
    if path.parent == HERE:
        return importlib.import_module(f"{teams.__name__}.{path.stem}")
    spec = importlib.util.spec_from_file_location(f"team_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
