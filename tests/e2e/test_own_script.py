"""A team in a program of one's own asks people through a running `web`, without a worker."""

import re
import signal
from pathlib import Path

from countersign.domain import api_keys
from countersign.runs.area import Area
from countersign.store.programs import ApiKeys
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from localslack import LocalSlack, text_of
from tests.autogen.harness import fact
from tests.e2e.test_main_job import card, settled
from tests.processes import Deployment, Process

README = Path(__file__).resolve().parent.parent.parent / "README.md"


def example() -> str:
    found = re.search(r"## In your own script\n.*?```python\n(.*?)```", README.read_text(), re.S)
    assert found
    return found[1]


async def script(there: Deployment, folder: Path, text: str, **env: str) -> Process:
    """A program with a key of its own, and without Redis."""
    (folder / "my_script.py").write_text(text)
    address = {} if "COUNTERSIGN_URL" in env else await program_address(there)
    mine = {"DATA_DIR": str(folder), "PYTHONPATH": str(folder), "LEASE": "5s", **address, **env}
    process = Process("my_script", mine, fork=True)
    there.processes.append(process)
    return await process.start()


async def program_address(there: Deployment) -> dict[str, str]:
    """Where `web` is, and a key for programs that ask in #general, made once."""
    async with connect(there.common["REDIS_URL"]) as client:
        store, area = Store(client, there.common["NAMESPACE"]), Area(client, there.common["NAMESPACE"])
        address = await fact(area.address)
        issued = api_keys.issue("script", ("C0GENERAL",), await store.now())
        await ApiKeys(store).put(issued.key)
        return {"COUNTERSIGN_URL": address.urls[0], "COUNTERSIGN_KEY": issued.token}


async def test_readme_example_asks_in_slack_and_continues(there: Deployment, slack: LocalSlack, tmp_path: Path) -> None:
    """S5, S9: no worker runs."""
    await there.web()
    program = await script(there, tmp_path, example())
    asked = await card(slack)
    assert "Shall this go out?" in text_of(asked)
    assert (await slack.user("bob").click(asked, "Approve")).ok
    await settled(slack, asked.ts)
    assert await program.wait() == 0
    assert "Approved by reviewer bob" in "\n".join(program.lines)
    await slack.wait_message("#general", lambda message: "Finished" in text_of(message))


async def test_killed_script_continues_where_it_was(there: Deployment, slack: LocalSlack, tmp_path: Path) -> None:
    """R4, R5: decided while nobody waited, and heard when it is started again."""
    await there.web()
    text = "import logging, os\nlogging.basicConfig(level='INFO')\n" + example()
    first = await script(there, tmp_path, text)
    run = (await first.said(r"resume='(\w+)'"))[1]
    asked = await card(slack)
    await first.kill(signal.SIGKILL)
    assert (await slack.user("bob").click(asked, "Approve")).ok
    again = text.replace('requester="@alice"', f'requester="@alice", resume="{run}"')
    second = await script(there, tmp_path, again)
    assert await second.wait() == 0
    assert len([m for m in slack.channel("#approvals").messages if "Shall this go out" in text_of(m)]) == 1


async def test_interrupted_script_says_how_to_continue(there: Deployment, slack: LocalSlack, tmp_path: Path) -> None:
    """The request stays open, and the script prints how to resume its run."""
    await there.web()
    text = "import logging\nlogging.basicConfig(level='INFO')\n" + example()
    program = await script(there, tmp_path, text)
    await card(slack)
    await program.kill(signal.SIGINT)
    assert any("left waiting" in line for line in program.lines)
    there.processes.remove(program)  # Python shows where it was interrupted


async def test_script_without_a_service_starts_nothing(there: Deployment, slack: LocalSlack, tmp_path: Path) -> None:
    web = await there.web()
    address = await program_address(there)
    await web.kill(signal.SIGTERM)
    program = await script(there, tmp_path, example(), **address)
    assert await program.wait() == 1
    assert any("`web` does not answer at http" in line for line in program.lines)
    there.processes.remove(program)


async def test_channel_without_the_app_starts_nothing(there: Deployment, slack: LocalSlack, tmp_path: Path) -> None:
    """R21: else the program waits, and nobody sees for what."""
    await there.web()
    program = await script(there, tmp_path, example().replace("#general", "C0NOWHERE"))
    assert await program.wait() == 1
    assert any("This key can ask in #general, not in C0NOWHERE" in line for line in program.lines)
    there.processes.remove(program)


async def test_unusable_model_starts_nothing(there: Deployment, slack: LocalSlack, tmp_path: Path) -> None:
    """What is wrong is said before there is a run that nobody goes on with; kept answers are a worker's too."""
    await there.web()
    program = await script(there, tmp_path, example(), MODEL_CONFIG=str(tmp_path / "none.yaml"))
    assert await program.wait() == 1
    assert any("MODEL_CONFIG" in line for line in program.lines)
    assert [m for m in slack.channel("#general").messages if m.user == "U0BOT"] == []
    there.processes.remove(program)


async def test_script_that_bypasses_slack_is_refused(there: Deployment, slack: LocalSlack, tmp_path: Path) -> None:
    """R19: a script's team is looked through as a worker's is."""
    await there.web()
    text = example().replace('input_func=run.human(title="Shall this go out?").input_func', "input_func=input")
    program = await script(there, tmp_path, text.replace(".words", ".result"))
    assert await program.wait() == 0
    assert any(line.startswith("The agent “human” asks by a function of its own") for line in program.lines)
    root = await slack.wait_message("#general", lambda message: "Failed" in text_of(message))
    await slack.wait_message("#general", lambda message: "run.reviewer" in text_of(message), thread=root.ts)
