"""A release: made from its tag alone, the same bytes twice, and verified by whoever downloads it."""

import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["version"]
ENVIRONMENT = {
    **os.environ,
    "IMAGE": "no",
    **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "x"),
    **dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z"),
}


def run(*command: str | Path, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT | env, text=True, capture_output=True)


def checkout(folder: Path) -> Path:
    """This tree as it is, committed, with its tag and a dated changelog."""
    if not (HERE / ".deploy" / "bin" / "cyclonedx-py").exists():
        pytest.skip("the tools of a release are not installed: run make deploy-tools")
    listed = run("git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", folder=HERE)
    for name in listed.stdout.splitlines():
        if (HERE / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / name, folder / name)
    log = folder / "CHANGELOG.md"
    log.write_text(
        re.sub(rf"^## {re.escape(VERSION)} – .*$", f"## {VERSION} – 2026-01-01", log.read_text(), flags=re.M)
    )
    for tools in (".venv", ".deploy"):
        (folder / tools).symlink_to(HERE / tools)
    for command in ("init --quiet", "add --all", "commit --quiet --message=x", f"tag v{VERSION}"):
        done = run("git", "-c", "init.defaultBranch=main", *command.split(), folder=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = checkout(tmp_path_factory.mktemp("checkout"))
    done = run(folder / "deploy" / "build-release", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "dist" / "release"


def test_two_builds_of_a_tag_are_bit_identical(release: Path, tmp_path: Path) -> None:
    """In another folder, zone and umask, and at another time of the files."""
    folder = checkout(tmp_path)
    command = f"umask 077; exec '{folder}/deploy/build-release'"
    done = run("sh", "-c", command, folder=tmp_path, TZ="Asia/Tokyo", LC_ALL="C.UTF-8")
    assert done.returncode == 0, done.stderr
    sums = [path.joinpath("SHA256SUMS").read_text() for path in (release, folder / "dist" / "release")]
    assert sums[0] == sums[1]
    assert len(sums[0].splitlines()) == 6


def test_release_contains_its_listed_files(release: Path) -> None:
    with zipfile.ZipFile(release / f"countersign_slack-{VERSION}-py3-none-any.whl") as wheel:
        assert f"countersign_slack-{VERSION}.dist-info/METADATA" in wheel.namelist()
    with tarfile.open(release / f"countersign_slack-{VERSION}.tar.gz") as sdist:
        assert f"countersign_slack-{VERSION}/pyproject.toml" in sdist.getnames()
    with tarfile.open(release / f"countersign-chart-{VERSION}.tgz") as chart:
        assert {"countersign/Chart.yaml", "countersign/values.schema.json"} <= set(chart.getnames())
    bill = json.loads((release / f"countersign-{VERSION}.cdx.json").read_text())
    locked = re.findall(r"^(\S+?)(?:\[[^]]*\])?==(\S+)", (HERE / "requirements-runtime.lock").read_text(), re.M)
    assert {(part["name"], part["version"]) for part in bill["components"]} == set(locked)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == VERSION


def test_release_is_verified_from_an_empty_folder(release: Path, tmp_path: Path) -> None:
    """With its signature, where minisign is installed; a changed, added or missing file is refused."""
    shutil.copytree(release, tmp_path / "release")
    there = tmp_path / "release"
    verify = shutil.copy(HERE / "deploy" / "verify-release", tmp_path)
    key: list[str | Path] = []
    if shutil.which("minisign"):
        made = run("minisign", "-G", "-W", "-p", "key.pub", "-s", "key.sec", folder=tmp_path)
        assert made.returncode == 0, made.stderr
        run("minisign", "-S", "-s", tmp_path / "key.sec", "-m", "SHA256SUMS", folder=there)
        key = [tmp_path / "key.pub"]
    done = run(verify, "release", *key, folder=tmp_path, INSTALL="no")
    assert (done.returncode, "All 6 files" in done.stdout) == (0, True), done.stderr

    wheel = next(there.glob("*.whl"))
    content = wheel.read_bytes()
    wheel.write_bytes(content[:-1] + b"x")
    assert "were changed" in run(verify, "release", *key, folder=tmp_path, INSTALL="no").stderr
    wheel.unlink()
    assert "missing" in run(verify, "release", *key, folder=tmp_path, INSTALL="no").stderr
    wheel.write_bytes(content)
    (there / "extra.whl").touch()
    assert "not of the release: extra.whl" in run(verify, "release", *key, folder=tmp_path, INSTALL="no").stderr
    (there / "extra.whl").unlink()
    if key:
        (there / "SHA256SUMS").write_text((there / "SHA256SUMS").read_text() + "\n")
        assert "not of this key" in run(verify, "release", *key, folder=tmp_path, INSTALL="no").stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("git tag -d v{version}", "has no tag"),
        ("git tag -d v{version} && git tag v9.9.9", "the tag is v9.9.9 and pyproject.toml says"),
        ("echo >> README.md", "has changes that are not in v"),
        (
            "sed -i 's/ – 2026-01-01/ – unreleased/' CHANGELOG.md && git commit -qam x && git tag -f v{version}",
            "no date for",
        ),
    ],
)
def test_release_is_built_from_a_tag_only(change: str, said: str, tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    assert run("sh", "-c", change.format(version=VERSION), folder=folder).returncode == 0
    done = run(folder / "deploy" / "build-release", folder=folder)
    assert done.returncode == 2
    assert said.lower() in done.stderr.lower() and "Nothing was released." in done.stderr
    assert not (folder / "dist" / "release").exists()
