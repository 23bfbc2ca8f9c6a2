"""Names of the slash commands: settings, since Slack gives a name to the app that was installed last."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bot.settings import WebSettings
from bot.slack.views.settings_text import greeting
from countersign.domain.slash_commands import NAMES, SlashCommands
from countersign.store.store import Store
from localslack import LocalSlack
from localslack.config import Command
from localslack.errors import CannotDo
from localslack.fixtures import UNHURRIED
from tests.sample_requests import APPROVALS, GENERAL, rules
from tests.slack.test_token_refused import served

ROOT = Path(__file__).parents[2]
TYPED = re.compile(r"(?<![\w/.])/(agent|approvals)(?![\w/.-])")
OURS = {"agent_command": "/ask-agents", "approvals_command": "/decide"}


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in fields(SlashCommands):
        monkeypatch.setattr(NAMES, field.name, getattr(NAMES, field.name))


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The texts of a module that are no docstrings, each with its line."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.lineno, node.value


def test_texts_take_command_names_from_the_settings() -> None:
    """Else it would tell people of another app's command."""
    files = [path for folder in ("bot", "countersign") for path in (ROOT / folder).rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files
        if path.name != "slash_commands.py"
        for line, text in strings(ast.parse(path.read_text()))
        if TYPED.search(text)
    ]
    assert len(files) > 100 and found == []


def test_greeting_names_the_commands_of_the_settings() -> None:
    NAMES.agent = "/ask-agents"
    NAMES.approvals = "/decide"
    for channel in (APPROVALS, GENERAL):
        drawn = str(greeting(channel, rules()))
        assert "`/ask-agents`" in drawn and not TYPED.search(drawn)


async def test_renamed_commands_are_served_and_named_in_replies(store: Store, redis_url: str) -> None:
    """`web` with the settings, and an app whose manifest has the same names."""
    registered = tuple(Command(name) for name in OURS.values())
    async with (
        LocalSlack(**UNHURRIED, commands=registered) as slack,
        served(slack, store, redis_url, **OURS) as starting,
    ):
        await starting
        await slack.wait_connected(1)
        alice = slack.user("alice")
        for typed in (
            "/ask-agents help",
            "/ask-agents stop",
            "/ask-agents status",
            "/decide help",
            "/decide tiemout 5m",
        ):
            reply = await alice.command(typed, channel="#general")
            assert reply.ok and re.search("`/(ask-agents|decide)", reply.text), reply
            assert not TYPED.search(reply.text)
        with pytest.raises(CannotDo):
            await alice.command("/agent help", channel="#general")


@pytest.mark.parametrize("wrong", ["agent", "/Agent", "/an agent", "/" + "a" * 32, "/decide"])
def test_wrong_command_names_are_refused(wrong: str) -> None:
    given: dict[str, Any] = {"slack_bot_token": "xoxb-1", "slack_app_token": "xapp-1", **OURS, "agent_command": wrong}
    with pytest.raises(ValueError, match=r"agent_command|AGENT_COMMAND"):
        WebSettings(**given)
