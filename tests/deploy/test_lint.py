"""The Containerfile and the shell scripts of deploy/ by their linters, which `make deploy-tools` installs."""

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parents[2]
TOOLS = HERE / ".deploy" / "bin"
SCRIPTS = sorted(path for path in (HERE / "deploy").iterdir() if path.is_file() and path.suffix == "")
SCRIPTS.remove(HERE / "deploy" / "Containerfile")


def told(tool: str, *arguments: Path) -> str:
    if not (TOOLS / tool).exists():
        pytest.skip(f"{tool} is not installed: run make deploy-tools")
    return subprocess.run([TOOLS / tool, *arguments], text=True, stdout=subprocess.PIPE).stdout


def test_containerfile_passes_its_linter(tmp_path: Path) -> None:
    assert told("hadolint", HERE / "deploy" / "Containerfile") == ""
    (tmp_path / "Containerfile").write_text("FROM debian\nRUN cd /tmp\n")
    assert "DL3006" in told("hadolint", tmp_path / "Containerfile")


def test_deploy_scripts_pass_their_linter() -> None:
    assert len(SCRIPTS) >= 3
    assert told("shellcheck", *SCRIPTS) == ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_deploy_script_stops_at_its_first_failure(script: Path) -> None:
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in script.read_text()
    assert script.stat().st_mode & 0o111
