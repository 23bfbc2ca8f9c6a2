"""The commands of the README and of docs/commands.md do what they say: each is typed as it stands there."""

import re
from pathlib import Path

import pytest

from bot.slack.handlers.context import Services
from countersign.store.store import Store
from localslack import LocalSlack

HERE = Path(__file__).resolve().parent.parent.parent
PAGES = (HERE / "README.md").read_text() + (HERE / "docs/commands.md").read_text()
COMMANDS = re.findall(r"^\| `(/approvals[^`]*)` \|", PAGES, re.M)
THERE = {"@someone": "@bob", "@a-group": "@reviewers", "@leads": "@dave", "#leads": "#general", "@standin": "@dave"}
"""The pages' people and channels -> those of the local Slack."""


async def test_every_documented_command_is_understood(
    slack: LocalSlack, store: Store, bot_with_pages: Services
) -> None:
    alice = slack.user("alice")
    assert len(COMMANDS) >= 15
    for command in COMMANDS:
        typed = re.sub(r"[@#][\w-]+", lambda name: THERE.get(name[0], name[0]), command)
        reply = await alice.command(typed)
        assert reply.ok and not re.search("othing was changed|There is no|not one of", reply.text), (typed, reply.text)


@pytest.mark.parametrize("example", re.findall(r"^\| `/agent (\w+ [^`<]+)` \| .+ \| .+ \|$", PAGES, re.M))
def test_every_documented_team_is_a_file(example: str) -> None:
    assert (HERE / "agents" / "teams" / f"{example.split()[0]}.py").exists()
