"""The site of docs/: built strictly, so a broken link or anchor fails, and readable without a network."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent.parent
ZENSICAL = HERE / ".docs-tools" / "bin" / "zensical"


def test_site_is_built_without_broken_links(tmp_path: Path) -> None:
    """Search finds the pages, and no page loads anything from elsewhere."""
    if not ZENSICAL.exists():
        pytest.skip("The generator isn't set up: make docs")
    [site] = re.findall(r"^SITE := ((?:.*\\\n)*.*)", (HERE / "Makefile").read_text(), re.M)
    for pattern in site.replace("\\\n", " ").split():
        for path in HERE.glob(pattern):
            place = tmp_path / ".site" / "pages" / path.relative_to(HERE)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(path, place) if path.is_dir() else shutil.copy(path, place)
    shutil.copy(HERE / "mkdocs.yml", tmp_path)
    command = [str(ZENSICAL), "build", "--strict", "-f", "mkdocs.yml"]
    done = subprocess.run(command, cwd=tmp_path, check=False, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    built = tmp_path / ".site" / "html"
    assert "requires_approval" in (built / "search.json").read_text()
    for page in built.rglob("*.html"):
        assert not re.search(r'<(?:script|link|img)[^>]* (?:src|href)="?https?:', page.read_text()), page
