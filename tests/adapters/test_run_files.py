"""Files of runs that somebody else may have put there: `countersign resume` starts what they name."""

import json
import sys
from pathlib import Path

import pytest

from countersign.domain.errors import InvalidInput
from countersign.frameworks import resume
from countersign.frameworks.run_files import leave, opened, path_of, read

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="folders have other rights there")


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("COUNTERSIGN_KEY", f"csk_k{'2' * 12}_{'x' * 43}")


def saved(folder: Path, key: str) -> Path:
    with opened(folder, key, "Refund them.") as run:
        run.save(waits=["q1"])
    return path_of(folder, key)


def test_run_file_of_another_key_is_refused(tmp_path: Path) -> None:
    """R1: a copied file would continue the wrong run, under the wrong lock."""
    first, other = saved(tmp_path, "orders"), path_of(tmp_path, "mails")
    other.write_bytes(first.read_bytes())
    with pytest.raises(InvalidInput, match="run of another key"):
        read(other)
    with pytest.raises(InvalidInput, match="run of another key"), opened(tmp_path, "mails", "Refund them."):
        pass


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o703, 0o1777])
def test_run_folder_writable_by_others_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    """R9: whoever can write there would choose the program that starts."""
    folder, ran = tmp_path / "runs", tmp_path / "ran"
    path = saved(folder, "orders")
    run = json.loads(path.read_bytes())
    path.write_text(json.dumps({**run, "program": [sys.executable, "-c", f"open({str(ran)!r}, 'w')"]}))
    folder.chmod(mode)
    assert resume.main([str(folder)]) == 2
    assert "chmod go-w" in capsys.readouterr().err and not ran.exists()
    with pytest.raises(InvalidInput, match="chmod go-w"):
        leave(folder, "orders", [("q2", False)])
    folder.chmod(0o755)
    assert read(path_of(folder, "orders")).key == "orders"
