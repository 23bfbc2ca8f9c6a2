"""The file of Redis' users: each for one namespace, and a worker for its own area of it alone (R27)."""

import asyncio
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.domain.api_keys import id_of
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
    TeamName,
    UserId,
    WorkerId,
    WorkspaceId,
)
from countersign.runs import area
from countersign.runs.area import AreaKeys
from countersign.store import acl, keys
from countersign.store.embedded_server import _binary
from countersign.store.keys import Keys
from tests.repetitions import times

WEB = re.findall(r"^\| `\{ns\}:(\S+?)` \| ([a-z ]+) \|", keys.__doc__ or "", re.M)
WORK = [kind for kind in re.findall(r"^\| `(\S+?)` \|", area.__doc__ or "", re.M) if kind != "jobs:*"]
MADE_OF: dict[str, list[type[Id]]] = {
    "request:<id>": [RequestId],
    "run:<id>": [RunId],
    "settled:<run>": [RunId],
    "made:<run>": [RunId],
    "message:<id>": [RequestId],
    "ts:<workspace>:<channel>:<hour>": [WorkspaceId, ChannelId],
    "once:<attempt>": [AttemptId],
    "worker:<id>": [WorkerId],
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
    "api_key:<id>": [ApiKeyId],
    "api_rate:<id>": [ApiKeyId],
    "api_asking:<id>": [ApiKeyId],
    "api_open:<id>": [ApiKeyId],
    "passkeys:<user>": [UserId],
    "challenge:<digest>": [Digest],
    "proposal:<digest>": [Digest],
    "confirming:<digest>": [Digest],
    "session:<digest>": [Digest],
    "mailed:<user>": [UserId],
    "signed_out:<workspace>:<user>": [WorkspaceId, UserId],
    "lease:<run>": [RunId],
    "journal:<run>": [RunId],
    "answer:<digest>": [Digest],
}
"""Kinds of keys with ids in them; the method of `Keys` or `AreaKeys` has the kind's name."""
NOT_OF_IDS = {"audit:day:<day>"}
ODD = ["qx}:run:1", "}:request:", "a:b", "*", "q*", "q?", "q[a]", "q1\n", "\nq1", "", " q1", "q1}", "q1\x00", "qé"]
Names = Keys | AreaKeys


def key_of(names: Names, kind: str, ids: list[str]) -> str:
    made: Any = getattr(names, kind.partition(":")[0])
    if kind.startswith("message"):
        return str(made(f"card/{ids[0]}")[0])
    return str(made(*ids, "1795359233.143338") if kind.startswith("ts") else made(*ids))


def reaching(text: str, key: str) -> set[str]:
    """The users whose patterns let them read or write this key."""
    lines = [line.split() for line in text.splitlines() if line.startswith(("user web ", "user worker"))]
    return {user for _, user, *rules in lines if any(rule[0] == "~" and fnmatchcase(key, rule[1:]) for rule in rules)}


def test_every_kind_of_key_has_an_acl_test() -> None:
    assert {kind for kind in [*dict(WEB), *WORK] if "<" in kind} == {*MADE_OF} | NOT_OF_IDS


@pytest.mark.parametrize("kind", [*dict(WEB), *WORK])
@settings(max_examples=times(5, 200))
@given(data=st.data())
def test_any_key_is_reachable_by_its_own_users_only(data: st.DataObject, kind: str) -> None:
    """R27: over all patterns of the file, and all ids that there can be."""
    ids = [data.draw(st.from_regex(made.form, fullmatch=True)) for made in MADE_OF.get(kind, ())]
    for names, users in (
        (Keys("shop-1"), {"web"}),
        (AreaKeys("shop-1"), {"web", "worker"}),
        (AreaKeys("shop-1", id_of(TeamName("pay"))), {"web", "worker-pay"}),
    ):
        if (kind in WORK) != isinstance(names, AreaKeys):
            continue
        key = key_of(names, kind, ids) if ids else names.prefix + re.sub("<[a-z]+>", "web", kind)
        assert reaching(acl.written_for("shop-1", ["pay", "mail"]), key) == users
        assert reaching(acl.written_for("shop"), key) == set()


def test_key_is_not_built_from_an_invalid_id() -> None:
    """R27: whatever breaks out of a pattern, of all of its places."""
    for kind in MADE_OF:
        whole = ["q1" if made is RequestId else "T1" if made is WorkspaceId else "" for made in MADE_OF[kind]]
        for odd in ODD:
            for place in range(len(whole)):
                with pytest.raises(InvalidId):
                    key_of(
                        AreaKeys("shop") if kind in WORK else Keys("shop"),
                        kind,
                        [*whole[:place], odd, *whole[place + 1 :]],
                    )


@pytest.mark.parametrize("namespace", ["", "a*", "{a}", "a b", "a:b", "a\n", "x" * 61, "shop-work", "shop-work-kpay"])
def test_namespace_with_pattern_characters_is_refused(namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    """R27: nor the name of another namespace's workers' area."""
    with pytest.raises(ValueError, match="cannot be a namespace"):
        Keys(namespace)
    assert acl.main(["--namespace", namespace]) == 2
    assert capsys.readouterr().out == ""


def test_acl_command_prints_the_file_for_a_namespace(
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
    assert patterns and all(pattern.startswith(("{shop}:", "{shop-work}:")) for pattern in patterns)


@pytest.mark.parametrize("left", ["<ADMIN>", "<WEB>", "<WORKER>", "<YOUR NAMESPACE>", ""])
async def test_redis_refuses_an_acl_file_with_placeholders(left: str, tmp_path: Path) -> None:
    """The file works only after the command has filled it in."""
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
