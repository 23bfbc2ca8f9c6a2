"""The wheel: one name beside everybody else's, and the demo from it."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.demo.test_story import five_free_ports

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
OTHERS = "openai-agents==0.24.0"
"""Its package is called `agents`, as our folder is."""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the wheel, what the lock says, and somebody else's `agents`."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, HERE], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    lock = HERE / "requirements.lock"
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, "-c", lock, wheel, OTHERS], check=True)
    return python


def test_the_wheel_brings_one_name(python: Path, tmp_path: Path) -> None:
    names = "sorted({f.parts[0] for f in m.files('countersign-slack')})"
    whose = f"import agents, importlib.metadata as m; print(agents.Agent, {names})"
    done = subprocess.run([python, "-c", whose], cwd=tmp_path, check=True, text=True, stdout=subprocess.PIPE)
    assert "agents.agent.Agent" in done.stdout
    brought = set(re.findall(r"'([^']+)'", done.stdout.split(">", 1)[1]))
    assert {name for name in brought if "dist-info" not in name and name != ".."} == {"countersign"}


def test_the_wheels_demo_shows_its_page(python: Path, tmp_path: Path) -> None:
    command = [str(python.with_name("countersign")), "demo", "--port", str(five_free_ports())]
    theirs = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "SMTP_URL", "PYTHONPATH")}
    demo = subprocess.Popen(
        command, cwd=tmp_path, env=theirs, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert demo.stdout is not None
    try:
        lines: list[str] = []
        for line in demo.stdout:
            lines.append(line)
            if page := re.search(r"Slack +(http\S+) +open this", line):
                with urllib.request.urlopen(page[1]) as answer:
                    assert b"<html" in answer.read()
                break
        else:
            raise AssertionError("".join(lines))
    finally:
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate()
    assert demo.returncode == 0, rest
    assert (tmp_path / ".data" / "demo" / "redis").is_dir()
