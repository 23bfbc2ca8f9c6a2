"""`countersign doctor`: the checks of a start, all at once, with what to do.

    countersign doctor web                     the settings, Redis and Slack, as `web` would use them
    countersign doctor worker                  the settings, Redis, the model and the teams, as a worker would
    countersign doctor client                  whether a program reaches the service, and whether its key is good
    countersign doctor client --card "#x"      the same, and posts a test card in #x

Nothing is changed, except that `--card` posts. It ends with 1 if something is to be fixed.
"""

import argparse
import asyncio
import logging
import os
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Final, TypeVar

from countersign.client.client import AsyncClient
from countersign.client.connection import Address
from countersign.client.questions import Question
from countersign.domain.errors import CountersignError, WrongSettings
from countersign.secret_files import is_given

T = TypeVar("T")
_ANSWER_WITHIN: Final = 10.0
_SAYS: Final = {"web": ("SLACK_BOT_TOKEN", "SLACK_CLIENT_ID"), "client": ("COUNTERSIGN_URL", "COUNTERSIGN_KEY")}
"""The variables by which a process is known, if the command does not name one."""
_SERVER: Final = {"web": "bot.doctor", "worker": "agents.doctor"}
_CARD: Final = "Nothing runs, whatever you decide: somebody wants to know whether cards arrive."


class Findings:
    """The findings of the checks, printed as they come."""

    def __init__(self) -> None:
        self.problems = 0

    def good(self, sentence: str) -> None:
        """Print what is as it should be."""
        print(f"ok   {sentence}")

    def wrong(self, sentence: str) -> None:
        """Print what is to be fixed."""
        self.problems += 1
        print(f"FIX  {sentence}")

    def wrong_settings(self, wrong: WrongSettings) -> None:
        """Print each setting that is to be fixed."""
        for problem in wrong.problems:
            self.wrong(problem)

    def ops_port(self, port: int) -> None:
        """Print where probes and Prometheus find the process."""
        none = "OPS_PORT is not set, so nothing can probe this process or read its metrics."
        self.good(f"Probes and metrics are at port {port}." if port else none)

    def read(self, read: Callable[[], T]) -> T | None:
        """Read the settings; None if something is to be fixed."""
        try:
            found = read()
        except WrongSettings as wrong:
            self.wrong_settings(wrong)
            return None
        self.good("The settings can be read.")
        return found

    async def check(self, name: str, check: Awaitable[T], good: str | Callable[[T], str]) -> T | None:
        """Make one check and print its outcome; None if something is to be fixed."""
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                found = await check
        except WrongSettings as wrong:
            self.wrong_settings(wrong)
        except CountersignError as wrong:
            self.wrong(str(wrong))
        except TimeoutError:
            self.wrong(
                f"{name} does not answer within {_ANSWER_WITHIN:g} s. Check its address, and the network between."
            )
        else:
            self.good(good if isinstance(good, str) else good(found))
            return found
        return None


async def check_client(findings: Findings, card: str) -> None:
    """Check whether a program reaches the service; post a test card in this channel."""

    async def reached() -> str:
        async with AsyncClient(timeout=_ANSWER_WITHIN / 2) as client:
            await client.pending()
        return f"{Address.of(None, None).url} answers and knows the key."

    async def posted() -> str:
        async with AsyncClient(timeout=_ANSWER_WITHIN / 2) as client:
            title, key = "A test card of `countersign doctor`", uuid.uuid4().hex
            await client.submit(Question(card, title, _CARD, key=key))
        return f"A test card is on its way to {card}."

    if await findings.check("COUNTERSIGN_URL", reached(), str) is not None and card:
        await findings.check("COUNTERSIGN_URL", posted(), str)


def process_of(environment: Mapping[str, str]) -> str:
    """Name the process that the environment has settings for.

    Without any it is a worker, or a program where no worker is installed.
    """
    installed = "worker" if find_spec("autogen_agentchat") else "client"
    return next((name for name, some in _SAYS.items() if any(is_given(one, environment) for one in some)), installed)


def main(arguments: Sequence[str] = ()) -> int:
    """Run the checks; return 0, or 1 if something is to be fixed."""
    parser = argparse.ArgumentParser(
        prog="countersign doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("process", nargs="?", choices=("web", "worker", "client"), help="by default, by the settings")
    parser.add_argument("--card", default="", metavar="CHANNEL", help="post a test card there, as a program")
    given = parser.parse_args(arguments)
    process = given.process or ("client" if given.card else process_of(os.environ))
    if given.card and process != "client":
        parser.error("--card is for programs: countersign doctor client --card …")
    findings = Findings()
    print(f"Checking {process}:")
    logging.disable(logging.CRITICAL)  # the findings say it
    try:
        _run(findings, process, given.card)
    finally:
        logging.disable(logging.NOTSET)
    print("All is well." if not findings.problems else f"{findings.problems} to fix.")
    return 1 if findings.problems else 0


def _run(findings: Findings, process: str, card: str) -> None:
    if process == "client":
        asyncio.run(check_client(findings, card))
    else:
        name = _SERVER[process]
        module = import_module(
            f".{name}" if find_spec(f".{name.partition('.')[0]}", __package__) else name, __package__
        )
        asyncio.run(module.check(findings))
