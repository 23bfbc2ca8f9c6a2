"""deploy/systemd: the units can be read, expose little, and set only settings that exist."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.settings import WebSettings
from countersign.process_settings import CommonSettings, WorkerSettings, secret_files, variables

UNITS = sorted((Path(__file__).resolve().parents[2] / "deploy" / "systemd").glob("*.service"))
PROCESSES: dict[str, type[CommonSettings]] = {"web": WebSettings, "worker": WorkerSettings}
LARGEST_EXPOSURE = 3.0
PROGRAM = "/opt/countersign/bin/countersign"


def analyze(*arguments: str) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(["systemd-analyze", *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_unit_sets_only_settings_that_exist(unit: Path) -> None:
    text = unit.read_text()
    [process] = re.findall(rf"^ExecStart={PROGRAM} (\w+)$", text, re.M)
    given = set(re.findall(r"^Environment=(\w+)=", text, re.M))
    files = secret_files(PROCESSES[process])
    assert given <= {*variables(PROCESSES[process]), *files.values()}
    assert not files.keys() & given, "secrets are credentials, which only root reads"
    credentials = set(re.findall(r"^LoadCredential=(\w+):/etc/countersign/", text, re.M))
    assert credentials == set(re.findall(r"=%d/(\w+)$", text, re.M))


@pytest.mark.slow
def test_systemd_accepts_the_units_without_a_warning(tmp_path: Path) -> None:
    """With another program in the place of ours, which is not installed here."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, shutil.which("true") or "/bin/true"))
    assert analyze("verify", *(str(tmp_path / unit.name) for unit in UNITS)) == ""
    wrong = tmp_path / "wrong.service"
    wrong.write_text("[Service]\nExecStart=/bin/true\nProtectSystm=strict\n")
    assert "ProtectSystm" in analyze("verify", str(wrong))


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_unit_exposes_little(unit: Path) -> None:
    told = analyze("security", "--offline=true", "--no-pager", str(unit))
    [exposure] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert float(exposure) <= LARGEST_EXPOSURE, told
