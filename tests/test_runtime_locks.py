"""The locks of what runs in production: versions of the tested lock, and nothing that only development needs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
MAKEFILE = (HERE / "Makefile").read_text()
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())
ROOT = "countersign-slack (pyproject.toml)"
LOCKS = ("requirements-web.lock", "requirements-runtime.lock")
DEVELOPMENT = {
    "pytest",
    "hypothesis",
    "mypy",
    "ruff",
    "playwright",
    "uv",
    "hatchling",
    "django",
    "celery",
    "matplotlib",
}


def packages(lock: str) -> dict[str, str]:
    """Each package's part of the lock, by its name without extras."""
    parts = re.findall(r"^(\S+?)(?:\[[^]]*\])?==(.*\n(?:[ ].*\n)*)", (HERE / lock).read_text(), re.M)
    return dict(parts)


def version(part: str) -> str:
    return part.split()[0]


def hashes(part: str) -> set[str]:
    return set(re.findall(r"sha256:[0-9a-f]{64}", part))


def extras(lock: str) -> set[str]:
    """The extras that `make lock` gives to the lock."""
    variable = {"requirements-web.lock": "WEB_EXTRAS", "requirements-runtime.lock": "RUNTIME_EXTRAS"}[lock]
    [given] = re.findall(rf"^{variable} := (.*)$", MAKEFILE, re.M)
    found = set(re.findall(r"--extra (\S+)", given))
    return found | (extras("requirements-web.lock") if "$(WEB_EXTRAS)" in given else set())


@pytest.mark.parametrize("lock", LOCKS)
def test_runtime_lock_is_part_of_the_tested_lock(lock: str) -> None:
    tested = packages("requirements.lock")
    for name, part in packages(lock).items():
        assert name in tested, f"{name}: run make lock"
        assert version(part) == version(tested[name]), f"{name}: run make lock"
        assert hashes(part) and hashes(part) <= hashes(tested[name]), name


@pytest.mark.parametrize("lock", LOCKS)
def test_runtime_lock_has_nothing_without_a_reason(lock: str) -> None:
    """Each package is needed by the project's extras or by another package of the lock."""
    locked = packages(lock)
    for name, part in locked.items():
        reasons = {
            re.sub(r"\[.*\]", "", one) for one in re.findall(r"^\s+#\s+(?:via )?(?!-c |via$)(\S.*)$", part, re.M)
        }
        assert reasons and reasons <= {ROOT, *locked}, (name, reasons)
    assert not DEVELOPMENT & locked.keys()


@pytest.mark.parametrize("lock", LOCKS)
def test_runtime_lock_names_what_its_extras_need(lock: str) -> None:
    wanted = [*PROJECT["project"]["dependencies"]]
    for extra in extras(lock):
        wanted += PROJECT["project"]["optional-dependencies"][extra]
    assert {re.split(r"[\[<>=~ ]", need)[0].lower() for need in wanted} <= packages(lock).keys()


def test_web_lock_contains_no_agent_framework() -> None:
    web, both = packages("requirements-web.lock"), packages("requirements-runtime.lock")
    assert web.keys() < both.keys() < packages("requirements.lock").keys()
    assert [name for name in web if re.match(r"autogen|agent-framework|openai|anthropic|ollama|azure|mcp$", name)] == []
    assert {"autogen-agentchat", "mcp", "agent-framework-core"} <= both.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lock", "modules"),
    [
        (LOCKS[0], "bot.__main__, bot.multi_workspace, bot.audit.cli, bot.audit.sql_copy, bot.api.keys_cli"),
        (LOCKS[1], "bot.__main__, agents.__main__, agents.teams.access, agents.teams.email, autogen_ext.tools.mcp"),
    ],
)
def test_runtime_lock_is_enough_to_run(lock: str, modules: str, tmp_path: Path) -> None:
    """It is made of the packages that `make setup` has left in uv's cache; nothing is downloaded."""
    command = [str(UV), "pip", "install", "--quiet", "--offline", "--require-hashes", "--no-deps", "--no-build"]
    made = subprocess.run(
        [*command, "--python", sys.executable, "--target", str(tmp_path / "site"), "-r", str(HERE / lock)],
        text=True,
        capture_output=True,
    )
    if made.returncode and "network was disabled" in made.stderr.lower():
        pytest.skip("uv's cache has not all packages of the lock, and a test downloads nothing")
    assert made.returncode == 0, made.stderr
    program = f"import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; import {modules}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=HERE,
        env={"PYTHONPATH": f"{tmp_path / 'site'}:{HERE}".replace("site-packages", "")},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
