"""The file of Redis' users: for one namespace, and so that no key of one kind is a key of another kind (R27)."""

import asyncio
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.store.two_users import Sides, denied

from countersign.domain.errors import InvalidId
from countersign.domain.ids import (
    ApiKeyId,
    AttemptId,
    ChannelId,
    Digest,
    GroupId,
    Id,
    PermissionId,
    RequestId,
    RunId,
    UserId,
    WorkerId,
    WorkspaceId,
)
from countersign.store import acl, keys
from countersign.store.embedded_server import _binary
from countersign.store.keys import Keys
from tests.repetitions import times

ROWS = re.findall(r"^\| `\{ns\}:(\S+?)` \| [a-z ]+ \|.*\| (web|worker|both) \|$", keys.__doc__ or "", re.M)
MADE_OF: dict[str, list[type[Id]]] = {
    "request:<id>": [RequestId],
    "asked:<id>": [RequestId],
    "run:<id>": [RunId],
    "origin:<run>": [RunId],
    "lease:<run>": [RunId],
    "settled:<run>": [RunId],
    "journal:<run>": [RunId],
    "made:<run>": [RunId],
    "answer:<digest>": [Digest],
    "message:<id>": [RequestId],
    "ts:<workspace>:<channel>:<hour>": [WorkspaceId, ChannelId],
    "once:<attempt>": [AttemptId],
    "noted:<attempt>": [AttemptId],
    "team:<worker>": [WorkerId],
    "settings:<channel>": [ChannelId],
    "person:<user>": [UserId],
    "joined:<user>": [UserId],
    "members:<channel>": [ChannelId],
    "permission:<id>": [PermissionId],
    "waits:<name>": [GroupId],
    "waits_not:<user>": [UserId],
    "decided:<name>": [UserId],
    "runs:<user>": [UserId],
    "renewing:<workspace>": [WorkspaceId],
    "program_state:<id>": [RequestId],
    "api_key:<id>": [ApiKeyId],
    "api_rate:<id>": [ApiKeyId],
    "api_asking:<id>": [ApiKeyId],
    "api_open:<id>": [ApiKeyId],
}
"""Kinds of keys with ids in them; the method of `Keys` has the kind's name."""
NOT_OF_IDS = {"ended:<side>", "audit:day:<day>"}
ODD = ["qx}:asked:1", "}:request:", "a:b", "*", "q*", "q?", "q[a]", "q1\n", "\nq1", "", " q1", "q1}", "q1\x00", "qé"]


def key_of(names: Keys, kind: str, ids: list[str]) -> str:
    made: Any = getattr(names, kind.partition(":")[0])
    if kind.startswith("message"):
        return str(made(f"card/{ids[0]}")[0])
    return str(made(*ids, "1795359233.143338") if kind.startswith("ts") else made(*ids))


def writers(text: str, key: str) -> set[str]:
    """The users whose patterns let them write this key, or add to this list."""
    lines = [line.split() for line in text.splitlines() if line.startswith(("user web ", "user worker "))]
    found = set()
    for _, user, *rules in lines:
        # In parentheses stand rules for single commands; of these only an added report is written.
        line = re.sub(r"\((?!\+rpush)[^)]*\)", "", " ".join(rules)).replace("(", "").replace(")", "")
        patterns = [rule[1:] for rule in line.split() if rule.startswith("~")]
        if any(fnmatchcase(key, pattern) for pattern in patterns):
            found.add(user)
    return found


def test_each_kind_of_key_is_looked_at() -> None:
    assert {kind for kind, _ in ROWS if "<" in kind} == {*MADE_OF} | NOT_OF_IDS


@pytest.mark.parametrize(("kind", "by"), [row for row in ROWS if row[0] not in ("wake", "hints")], ids=lambda v: str(v))
@settings(max_examples=times(5, 200))
@given(data=st.data())
def test_whatever_its_ids_a_key_is_written_by_whom_its_table_names(data: st.DataObject, kind: str, by: str) -> None:
    """R27: over all patterns of the file, and all ids that there can be."""
    ids = [data.draw(st.from_regex(made.form, fullmatch=True)) for made in MADE_OF.get(kind, ())]
    key = key_of(Keys("shop-1"), kind, ids) if ids else Keys("shop-1").prefix + re.sub("<[a-z]+>", "web", kind)
    of_program = kind == "run:<id>" and RunId(ids[0]).of_program
    named = {"web", "worker"} if by == "both" else {by}
    assert writers(acl.written_for("shop-1"), key) == ({"web"} if of_program else named)
    assert writers(acl.written_for("shop"), key) == set()


def test_no_key_is_made_of_what_is_no_id() -> None:
    """R27: whatever breaks out of a pattern, of all of its places."""
    for kind in MADE_OF:
        whole = ["q1" if made is RequestId else "T1" if made is WorkspaceId else "" for made in MADE_OF[kind]]
        for odd in ODD:
            for place in range(len(whole)):
                with pytest.raises(InvalidId):
                    key_of(Keys("shop"), kind, [*whole[:place], odd, *whole[place + 1 :]])


@pytest.mark.parametrize("namespace", ["", "a*", "{a}", "a b", "a:b", "a\n", "x" * 61])
def test_a_namespace_that_is_a_pattern_is_none(namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="cannot be a namespace"):
        Keys(namespace)
    assert acl.main(["--namespace", namespace]) == 2
    assert capsys.readouterr().out == ""


def test_the_command_prints_the_file_for_a_namespace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAMESPACE", "shop")
    assert acl.main([]) == 0
    printed = capsys.readouterr().out
    assert printed == acl.written_for("shop")
    patterns = re.findall(
        r"[~&](\S+?)(?=[\s)])", "".join(line for line in printed.splitlines(True) if "user w" in line)
    )
    assert all(line.startswith("user ") for line in printed.splitlines()), "the server takes nothing else in this file"
    assert patterns and all(pattern.startswith("{shop}:") for pattern in patterns)


@pytest.mark.parametrize("left", ["<ADMIN>", "<WEB>", "<WORKER>", "<YOUR NAMESPACE>", ""])
async def test_the_server_does_not_start_while_a_placeholder_is_left(left: str, tmp_path: Path) -> None:
    text = "".join(line for line in acl.FILE.read_text().splitlines(True) if line.startswith("user "))
    for place in ("<ADMIN>", "<WEB>", "<WORKER>", "<YOUR NAMESPACE>"):
        text = text if place == left else text.replace(place, "shop" if " " in place else "a1" * 32)
    (tmp_path / "users.acl").write_text(text)
    server = await asyncio.create_subprocess_exec(
        *(str(_binary()), "--port", "0", "--unixsocket", "s", "--aclfile", "users.acl"),
        cwd=tmp_path,  # the server takes a path with a space for two arguments
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    if left:
        said, _ = await server.communicate()
        assert server.returncode == 1 and b"users.acl" in said
        return
    try:
        while b"eady to accept connections" not in await server.stdout.readline():
            assert server.returncode is None
    finally:
        server.terminate()
        await server.communicate()


async def test_a_worker_hears_nothing_of_other_namespaces(sides: Sides) -> None:
    """Their hints carry decided requests, with all that was asked, and the names of their keys the ids of people."""
    other = Keys("other").prefix
    for command in ("SCAN 0", "RANDOMKEY", "DBSIZE", "PUBSUB CHANNELS", "CLIENT TRACKING ON BCAST"):
        await denied(sides.agents, *command.split())
        await denied(sides.web, *command.split())
    for pattern in ("*", f"{other}*", f"{other}jobs:cancel:*", f"{sides.agents.keys.prefix}*"):
        await denied(sides.agents, "PSUBSCRIBE", pattern)
    await denied(sides.agents, "SUBSCRIBE", f"{other}wake")
    async with sides.agents.client.pubsub() as own:
        await own.psubscribe(f"{sides.agents.keys.prefix}jobs:cancel:*")
        await own.subscribe(sides.agents.keys.wake)
        heard = [await own.get_message(timeout=None) for _ in range(2)]
    assert {message["type"] for message in heard} == {"psubscribe", "subscribe"}
