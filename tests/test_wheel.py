"""The wheel as somebody else gets it: one name beside all others, typed, with the demo and a team of their own."""

import ast
import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path
from shutil import which

import pytest

from localslack import LocalSlack
from tests.e2e.test_main_job import card, told
from tests.e2e.test_own_script import program_address
from tests.free_ports import free_ports
from tests.processes import Process, deployment

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
OTHERS = "openai-agents==0.24.0"
"""Its package is called `agents`, as our folder is."""
PACKAGES = ("countersign", "bot", "agents", "localslack", "demo")
NEEDED = ("**/*.py", "hook/*.yaml", "**/*.lua", "**/*.acl", "**/*.css", "**/*.html", "**/static/*", "py.typed")
PROGRAM = '''\
import asyncio
import json
from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, LLMMessage, ModelFamily, ModelInfo, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.teams import Action, Conclusion, DemoCall, Option, Proposal, Run, Team, Verdict, demo_turns, run_here


async def order(item: str, count: int) -> str:
    """Order an item."""
    return f"{count} {item} ordered."


def judge(proposal: Proposal) -> Verdict:
    return Verdict(Action.ALLOW if proposal.arguments["count"] < 5 else Action.ASK, "Five or more cost real money.")


def build(run: Run) -> AutoGenTeam:
    clerk = AssistantAgent("clerk", run.model("clerk"), workbench=run.tools("clerk", [order], ask=judge))
    return RoundRobinGroupChat([clerk], max_turns=1)


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    return Conclusion("; ".join(outcome.result for outcome in run.outcomes))


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    return [DemoCall("order", {"item": "pens", "count": 10})] if demo_turns(messages) == 0 else "Done."


TEAM = Team("stock", "orders", build, conclude, options=(Option("care", "How", ("usual",), "usual"),), demo=play)


def model() -> ReplayChatCompletionClient:
    call = FunctionCall("1", json.dumps({"item": "pens", "count": 10}), "order")
    usage = RequestUsage(0, 0)
    can = ModelInfo(
        vision=False,
        function_calling=True,
        json_output=True,
        family=ModelFamily.UNKNOWN,
        structured_output=False,
    )
    answer = CreateResult(finish_reason="function_calls", content=[call], usage=usage, cached=False)
    return ReplayChatCompletionClient([answer], model_info=can)


async def main() -> str:
    run = await run_here(
        build, "more pens", channel="C0GENERAL", requester="U0ALICE", model=model(), conclude=conclude
    )
    return run.result


if __name__ == "__main__":
    print(asyncio.run(main()))
'''
"""What the author of a team writes."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, HERE], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """An environment with the wheel and its dependencies, as in the lock, and somebody else's `agents`."""
    folder = wheel.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    lock = HERE / "requirements.lock"
    subprocess.run(
        [
            UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            python,
            "-c",
            lock,
            f"{wheel}[server,autogen,agent-framework]",
            OTHERS,
        ],
        check=True,
    )
    return python


class Installed(Process):
    """A process of the other environment, outside of the checkout."""

    def __init__(self, command: list[str | Path], folder: Path, env: dict[str, str]) -> None:
        super().__init__(Path(command[-1]).stem, env)
        self._command = command
        self._folder = folder

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._folder,
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


def test_wheel_has_one_top_level_name_and_all_files(wheel: Path) -> None:
    """Everything that the package needs is in it."""
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
    assert {file.split("/")[0] for file in files if ".dist-info/" not in file} == {"countersign"}
    needed = {
        path.relative_to(HERE).as_posix()
        for package in PACKAGES
        for pattern in NEEDED
        for path in (HERE / package).glob(pattern)
    }
    inside = {path if path.startswith("countersign/") else f"countersign/{path}" for path in needed}
    assert inside | {"countersign/demo/manifest.yml"} == {file for file in files if ".dist-info/" not in file}


def test_openai_agents_package_keeps_its_name(python: Path, tmp_path: Path) -> None:
    look = "import agents, countersign.agents; print(agents.Agent.__module__, countersign.agents.__name__)"
    done = subprocess.run([python, "-c", look], cwd=tmp_path, check=True, text=True, stdout=subprocess.PIPE)
    assert done.stdout.split() == ["agents.agent", "countersign.agents"]


def test_authors_types_are_checked_against_the_wheel(python: Path, tmp_path: Path) -> None:
    (tmp_path / "stock.py").write_text(PROGRAM)
    wrong = PROGRAM.replace("Verdict(Action.ALLOW", 'Verdict("pass"').replace("run.outcomes", "run.outcome")
    (tmp_path / "wrong.py").write_text(wrong)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "stock.py", "wrong.py"]
    done = subprocess.run(command, cwd=tmp_path, check=False, text=True, stdout=subprocess.PIPE)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [re.sub(r":\d+: .*\[", " [", line) for line in errors] == [
        "wrong.py [arg-type]",
        "wrong.py [attr-defined]",
    ], done.stdout


TYPED = """
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from countersign import ask_sync, requires_approval
from countersign.client import Call, Client
from countersign.teams import WorkerSettings


class Rollout(BaseModel):
    percent: int


@requires_approval("#general")
def refund(order: int) -> str:
    return f"{order} paid back."


def pay(approved: Mapping[str, Any]) -> str:
    return refund(approved["order"])


settings = WorkerSettings(park_after="0s")
filled_in: Rollout = ask_sync("#general", "Roll out?", form=Rollout)
with Client() as client:
    chosen: tuple[str, ...] = client.ask("#general", "Which region?", options=["eu", "us"]).chosen
    percent: int = client.ask("#general", "Roll out?", form=Rollout).percent
    call = Call("#general", "refund", {"order": 17})
    paid: str = client.perform(client.judge(call), call, pay)
"""


def test_mypy_and_pyright_agree_on_the_public_types(python: Path, tmp_path: Path) -> None:
    """What `ask` returns follows from `form`; a wrong argument of a decorated function is found."""
    if (pyright := which("pyright")) is None:
        pytest.skip("pyright isn't on the PATH: uv tool install 'pyright[nodejs]'")
    (tmp_path / "typed.py").write_text(TYPED)
    (tmp_path / "wrong.py").write_text(
        TYPED.replace('approved["order"]', '"17"').replace("percent: int = cl", "percent: str = cl")
    )
    checks: list[list[str | Path]] = [
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", python],
        [pyright, "--pythonpath", python],
    ]
    for check in checks:
        right = subprocess.run([*check, "typed.py"], cwd=tmp_path, check=False, text=True, stdout=subprocess.PIPE)
        assert right.returncode == 0, right.stdout
        wrong = subprocess.run([*check, "wrong.py"], cwd=tmp_path, check=False, text=True, stdout=subprocess.PIPE)
        assert len(re.findall(r"\berror:| - error", wrong.stdout)) == 2, wrong.stdout


async def test_program_asks_people_by_the_public_names(
    python: Path, slack: LocalSlack, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    """S5, S9: `countersign web` and a program with a key, which has no Redis, are all that runs from the wheel."""
    (tmp_path / "program.py").write_text(PROGRAM)
    async with deployment(slack, redis_url, namespace, tmp_path) as there:
        service = {
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_API_URL": slack.api_url,
            "SLACK_APP_TOKEN": slack.app_token,
            "REVIEWERS": "S0REVIEWERS",
            "PORT": "0",
        }
        web = Installed([python.with_name("countersign"), "web"], tmp_path, {**there.common, **service})
        there.processes.append(web)
        await web.start()
        await slack.wait_connected(1)
        program = Installed([python, tmp_path / "program.py"], tmp_path, await program_address(there))
        there.processes.append(program)
        await program.start()
        asked = await card(slack)
        assert (await slack.user("bob").click(asked, "Approve")).ok
        assert await program.wait() == 0, program.lines
        assert "10 pens ordered." in program.lines


async def test_worker_runs_teams_of_a_users_folder(
    python: Path, slack: LocalSlack, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    """A file that does not load is logged with its reason, and the other one is started from Slack."""
    folder = tmp_path / "teams"
    folder.mkdir()
    sharing = PROGRAM.replace("\n\n\nasync def order", "\nfrom ._shared import COUNT\n\n\nasync def order", 1)
    (folder / "stock.py").write_text(sharing.replace('"count": 10})] if', '"count": COUNT})] if'))
    (folder / "_shared.py").write_text("COUNT = 10\n")
    (folder / "broken.py").write_text("import warehouse\n")
    async with deployment(slack, redis_url, namespace, tmp_path) as there:
        await there.web()
        worker = Installed([python.with_name("countersign"), "worker"], tmp_path, {**there.agents, "TEAMS": "teams"})
        there.processes.append(worker)
        await worker.start()
        await worker.said("is ready; teams: stock")
        await worker.said(r"“broken” cannot be started: its file teams/broken.py does not load .*'warehouse'")
        reply = await slack.user("alice").command("/agent broken anything", channel="#general")
        assert "No module named 'warehouse'" in reply.text
        assert (await slack.user("alice").command("/agent stock more pens", channel="#general")).ok
        assert (await slack.user("bob").click(await card(slack), "Approve")).ok
        await told(slack, "10 pens ordered.")
        worker.lines.clear()  # the traceback of the broken file is for its author


async def test_demo_shows_its_page(python: Path, tmp_path: Path) -> None:
    command = [str(python.with_name("countersign")), "demo", "--port", str(free_ports(10))]
    env = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "SMTP_URL", "PYTHONPATH")}
    demo = Installed([*command], tmp_path, env)
    await demo.start()
    try:
        page = await demo.said(r"Slack +(http\S+) +open this")
        with await asyncio.to_thread(urllib.request.urlopen, page[1]) as response:
            assert b"<html" in response.read()
    finally:
        status = await demo.kill(signal.SIGINT)
    assert status == 0, demo.lines
    assert (tmp_path / ".data" / "demo" / "redis").is_dir()


def test_asking_program_installs_few_packages(wheel: Path) -> None:
    """At most ten packages: httpcore, pydantic and what they need. Nothing of Slack, Redis or AutoGen is loaded."""
    folder = wheel.parent / "light"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    lock = HERE / "requirements.lock"
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, "-c", lock, wheel], check=True)
    listed = subprocess.run([UV, "pip", "freeze", "--python", python], check=True, capture_output=True, text=True)
    packages = {re.split(r"==| @ ", line)[0] for line in listed.stdout.splitlines()}
    assert packages <= {
        *("countersign-slack", "httpcore", "h11", "anyio", "certifi", "idna", "typing-extensions"),
        *("pydantic", "pydantic-core", "annotated-types", "typing-inspection"),
    }
    program = (
        "import countersign, sys\n"
        "countersign.client.Client, countersign.ask, countersign.slack_input, countersign.requires_approval\n"
        "print([one for one in ('redis', 'slack_sdk', 'slack_bolt', 'autogen_core', 'yaml') if one in sys.modules])\n"
        "try:\n    import countersign.teams\nexcept ImportError as missing:\n    print(missing)\n"
    )
    told = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True, cwd=folder)
    loaded, missing = told.stdout.splitlines()
    assert loaded == "[]"
    assert "pip install 'countersign-slack[server,autogen]'" in missing
    command = subprocess.run([python.with_name("countersign"), "web"], capture_output=True, text=True, cwd=folder)
    assert command.returncode == 2
    assert "countersign-slack[server,autogen]" in command.stderr
    told = subprocess.run([python.with_name("countersign"), "--help"], capture_output=True, text=True, cwd=folder)
    assert told.returncode == 0 and "countersign-slack[server,autogen]" in told.stdout
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERSIGN_")}
    doctor = [str(python.with_name("countersign")), "doctor"]
    told = subprocess.run(doctor, capture_output=True, text=True, cwd=folder, env=bare)
    assert told.returncode == 1 and "FIX  Set COUNTERSIGN_URL and COUNTERSIGN_KEY" in told.stdout, told.stderr
    for asks in (["run", "--", "true"], ["ask", "Deploy?"]):
        told = subprocess.run([doctor[0], *asks], capture_output=True, text=True, cwd=folder, env=bare)
        assert told.returncode == 2 and "Set COUNTERSIGN_URL and COUNTERSIGN_KEY" in told.stderr, told.stderr
    told = subprocess.run([doctor[0], "hook", "codex"], capture_output=True, text=True, cwd=folder, env=bare, input="{")
    assert told.returncode == 2 and "not valid JSON" in told.stderr


def test_wheel_messages_do_not_mention_a_checkout() -> None:
    """`make`, the project's folder and its virtual environment are only there."""
    checkout = re.compile(r"\bmake (demo|setup|test|lint|gallery|bench)\b|project's folder|pip install '?\.|\.venv/")
    for package in ("countersign", "bot", "agents", "localslack", "demo"):
        for path in (HERE / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and checkout.search(node.value):
                    assert node.value in docstrings(path), f"{path}: {node.value}"


def docstrings(path: Path) -> set[str]:
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (
        ast.get_docstring(one, clean=False) for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, nodes)
    )
    return {one for one in found if one}
