"""`make setup` installs what the lock says, and nothing that the lock does not vouch for."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent.parent
OURS = Path(sys.executable).with_name("uv")
BROUGHT = Path(".venv/bin/uv")
"""What pip brings where a machine has no uv."""


def locked(*names: str) -> str:
    """The part of the lock that is about these packages."""
    lock = (HERE / "requirements.lock").read_text()
    parts = [re.search(rf"^{name}==.*\n(?:[ ].*\n)*", lock, re.M) for name in names]
    return "".join(part[0] for part in parts if part)


def make_setup(folder: Path, lock: str, uv: Path) -> subprocess.CompletedProcess[str]:
    (folder / "requirements.lock").write_text(lock)
    shutil.copy(HERE / "Makefile", folder)
    (folder / ".venv" / ".ready").unlink(missing_ok=True)
    command = ["make", "setup", f"PYTHON={sys.executable}", f"UV={uv}"]
    return subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def installed(folder: Path) -> set[str]:
    return {path.name.split("-")[0] for path in (folder / ".venv").glob("lib/*/site-packages/*.dist-info")}


@pytest.mark.parametrize("uv", [OURS, BROUGHT], ids=["the machine's uv", "a machine without uv"])
def test_setup_installs_exactly_the_lock(uv: Path, tmp_path: Path) -> None:
    """`make setup` removes what the lock does not have."""
    done = make_setup(tmp_path, locked("uv", "iniconfig", "execnet"), uv)
    assert (tmp_path / ".venv" / ".ready").exists(), done.stdout
    assert installed(tmp_path) - {"pip", "setuptools"} == {"uv", "iniconfig", "execnet"}

    done = make_setup(tmp_path, locked("uv", "iniconfig"), uv)
    assert done.returncode == 0, done.stdout
    assert installed(tmp_path) - {"pip", "setuptools"} == {"uv", "iniconfig"}


def test_setup_works_in_a_folder_with_a_space(tmp_path: Path) -> None:
    """R49: the command `countersign` runs from there."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    (folder / "countersign").mkdir()
    (folder / "countersign" / "__init__.py").touch()
    (folder / "countersign" / "__main__.py").write_text("import sys; print(sys.argv[1:])")
    done = make_setup(folder, locked("uv", "iniconfig"), OURS)
    assert done.returncode == 0, done.stdout
    command = [str(folder / ".venv" / "bin" / "countersign"), "web", "a b"]
    shown = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)
    assert shown.stdout == "['web', 'a b']\n", shown.stderr


@pytest.mark.parametrize(("package", "uv"), [("iniconfig", OURS), ("uv", BROUGHT)], ids=["by uv", "by pip"])
@pytest.mark.parametrize("hashes", [" --hash=sha256:" + 64 * "0", ""], ids=["another hash", "no hash"])
def test_setup_refuses_packages_without_a_locked_hash(package: str, uv: Path, hashes: str, tmp_path: Path) -> None:
    """Nothing of them is installed."""
    name_and_version = locked(package).split(" ")[0]
    done = make_setup(tmp_path, f"{name_and_version}{hashes}\n", uv)
    assert done.returncode != 0
    assert "hash" in done.stdout.lower()
    assert package not in installed(tmp_path)
    assert not (tmp_path / ".venv" / ".ready").exists()
