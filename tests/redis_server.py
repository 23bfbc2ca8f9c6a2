"""One real Redis for the whole test session, and a namespace of its own for each test.

`REDIS_URL` or `TEST_REDIS_URL` in the environment names a server to use; otherwise an embedded one is started
in a temporary folder. A test that leaves a key without an end fails, unless `WITHOUT_TTL` of countersign.store.keys or
countersign.runs.job_queue names the key's pattern and the reason.

Load with `pytest_plugins = ["tests.redis_server"]` in the top conftest.
"""

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

import pytest
import redis

from countersign.store import acl


def url_of(user: str, url: str, namespace: str) -> str:
    """The address of the embedded server for the namespace's `web` or `worker`; a given one, or a Cluster, may know no
    such users.
    """
    if _given() or "+" in url:
        return url
    own = name_of(user, namespace)
    (line,) = (line for line in acl.acl("", namespace).splitlines() if line.startswith(f"user {user} "))
    with redis.Redis.from_url(url) as admin:
        if re.search(rf"{{{namespace}(-work)?}}:", str(admin.execute_command("ACL GETUSER", user))):  # they are for it
            return acl.url_of(user, url)
        password = acl.password_of(own, urlsplit(url).password or "")
        admin.execute_command("ACL SETUSER", own, "reset", f">{password}", "on", *line.split()[4:])
    return acl.url_of(own, url)


def name_of(user: str, namespace: str) -> str:
    """The name of a namespace's user: each test has its own, on one server."""
    return f"{user}-{namespace}"


def _given() -> str | None:
    return os.environ.get("TEST_REDIS_URL") or os.environ.get("REDIS_URL")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the session's server. Its data may be flushed by nobody: use `namespace`."""
    if given := _given():
        yield given
        return
    command = [sys.executable, "-m", "countersign.store.embedded_server", str(tmp_path_factory.mktemp("redis"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url, "The embedded Redis did not start; its words are above."
            with redis.Redis.from_url(url) as client:  # nobody kills this one: its disk costs time and shows nothing
                client.config_set("appendonly", "no")
            yield url
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def redis_janitor(redis_url: str) -> Iterator["redis.Redis"]:
    """A plain synchronous client for the checks after a test."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def namespace(redis_janitor: "redis.Redis") -> Iterator[str]:
    """A prefix nobody else uses, `t` and 8 hex digits; its keys are checked and deleted after the test.

    A key belongs to it when the namespace is in its name, with or without braces (hash tags) around it.
    """
    name = "t" + secrets.token_hex(4)
    yield name
    if not _given():
        redis_janitor.acl_deluser(*(name_of(user, name) for user in acl.USERS))
    keys = sorted(redis_janitor.scan_iter(f"*{name}*", count=10_000))
    if not keys:
        return
    endless = [key for key in keys if redis_janitor.ttl(key) == -1]
    redis_janitor.delete(*keys)
    unnamed = [key for key in endless if not _may_stay(re.sub(rf"^\{{?{name}(-T\w+)?(-work(-k\w+)?)?\}}?:", "", key))]
    assert not unnamed, f"Keys without a TTL and without a reason in WITHOUT_TTL: {unnamed}"


def _may_stay(key: str) -> bool:
    from countersign.runs import area, job_queue
    from countersign.store import keys

    patterns = keys.WITHOUT_TTL | job_queue.WITHOUT_TTL | area.WITHOUT_TTL
    return any(fnmatchcase(key, pattern) for pattern in patterns)
