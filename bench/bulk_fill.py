"""Many waiting requests, written into Redis in bulk.

They are copies of one that the product made itself. A copy is a parked run with its question, journal, cards and index
entries. Its commands are one text with holes for the ids and moments, which have the same width in every copy.
Compressed values have such holes too: the text between them is deflated once, in blocks that do not refer to each other
(Z_FULL_FLUSH), and they stand in stored blocks between these (RFC 1951, 3.2.4). The product reads a copy like any other
record.
"""

import re
import socket
import time
import zlib
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import Question, request_id
from countersign.store.codec import decompress
from countersign.store.store import Store

_STRINGS: Final = (b"request", b"asked", b"run", b"origin")
_INDEXES: Final = (b"pending", b"parked", b"runs", b"waits")
_RECORD: Final = re.compile(rb"\A\d+ \d+\n")
_SECONDS: Final = re.compile(rb'(?<="ts":")\d{10}(?=\.)')
_BATCH: Final = 500


class Template:
    """The commands that write one waiting request, with holes where a copy differs."""

    def __init__(self, run: RunId, question: Question) -> None:
        self._question = question
        self._ids = {run.encode(): b"run", request_id(run, question).encode(): b"request"}
        self._moments: dict[bytes, int] = {}
        """Seconds of messages and milliseconds in indexes: those of a copy are earlier."""
        self._hours: dict[bytes, int] = {}
        """Six bytes that stand for the hour since 1970 of some seconds."""
        self._text = b""

    def copy(self, number: int) -> bytes:
        """The commands that write this copy."""
        run = RunId(f"r{number:08d}")
        holes = {b"run": run.encode(), b"request": request_id(run, self._question).encode()}
        holes |= {b"%d" % at: b"%d" % (at - number) for at in self._moments.values()}
        holes |= {mark: b"%d" % ((at - number) // 3600) for mark, at in self._hours.items()}
        return self._text % holes

    async def read(self, store: Store) -> None:
        """Read the original from its keys. Those that leave within a day are left out."""
        client, prefix, commands = store.client, store.keys.prefix.encode(), list[bytes]()
        keys = sorted([key async for key in client.scan_iter(f"{store.keys.prefix}*", count=1000)], reverse=True)
        for key in keys:  # timestamps before messages, so that their seconds are known
            family, _, about = key.removeprefix(prefix).partition(b":")
            if family == b"ts":
                commands += self._timestamps(key, await client.hgetall(key))
            elif family in _INDEXES:
                for member, score in await client.zrange(key, 0, -1, withscores=True):
                    if member in self._ids:
                        commands.append(_command(b"ZADD", key, self._moment(b"%d" % score), member))
            elif family in _STRINGS and about in self._ids:
                commands.append(_command(b"SET", key, self._value(await client.get(key))))
            elif family in (b"journal", b"message") and about in self._ids:
                fields = (await client.hgetall(key)).items()
                pairs = [part for field, raw in fields for part in (field, self._value(raw))]
                commands.append(_command(b"HSET", key, *pairs))
                if (ends := await client.pexpiretime(key)) > 0:
                    commands.append(_command(b"PEXPIREAT", key, b"%d" % ends))
        self._text = self._with_holes(b"".join(commands))

    def _timestamps(self, key: bytes, entries: dict[bytes, bytes]) -> list[bytes]:
        commands = []
        for ts, request in entries.items():
            if request in self._ids:
                mark = b"<h%03d>" % len(self._hours)
                self._hours[mark] = int(self._moment(ts.partition(b".")[0]))
                commands.append(_command(b"HSET", key.rpartition(b":")[0] + b":" + mark, ts, request))
        return commands

    def _moment(self, at: bytes) -> bytes:
        self._moments[at] = int(at)
        return at

    def _value(self, raw: bytes) -> bytes:
        """The value with its ids and moments uncompressed, each in a block of its own."""
        head = match[0] if (match := _RECORD.match(raw)) else b""
        body = raw[len(head) :]
        plain = decompress(body)
        for seconds in _SECONDS.findall(plain):
            self._moment(seconds)
        parts = re.split(b"(%b)" % b"|".join(map(re.escape, (*self._ids, *self._moments))), plain)
        if body == plain or len(parts) == 1:
            return raw
        deflated = b"".join(_stored(part) if place % 2 else _deflated(part) for place, part in enumerate(parts))
        return min(head + b"\x01" + deflated + b"\x03\x00", head + plain, key=len)

    def _with_holes(self, commands: bytes) -> bytes:
        text = commands.replace(b"%", b"%%")
        marks = self._ids | {at: at for at in self._moments} | {mark: mark for mark in self._hours}
        any_mark = re.compile(b"|".join(map(re.escape, sorted(marks, key=len, reverse=True))))
        return any_mark.sub(lambda match: b"%%(%b)b" % marks[match[0]], text)


def _deflated(plain: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(plain) + packer.flush(zlib.Z_FULL_FLUSH)


def _stored(plain: bytes) -> bytes:
    return b"\x00%b%b%b" % (len(plain).to_bytes(2, "little"), (len(plain) ^ 0xFFFF).to_bytes(2, "little"), plain)


def _command(*parts: bytes) -> bytes:
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))


async def template_of(store: Store, run: RunId) -> Template:
    """The template that a parked run and its one question make."""
    seen = await store.run(run)
    assert seen is not None
    request = await store.request(RequestId(next(iter(seen.value.open.values()))))
    assert request is not None
    assert len(run) == len("r00000000"), run
    template = Template(run, request.value.question)
    await template.read(store)
    return template


def fill(url: str, copy: Callable[[int], bytes], count: int, seconds: float) -> int:
    """Write this many copies, or as many as there is time for; return how many.

    Blocks: call it in a thread.
    """
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    until, written = time.monotonic() + seconds, 0
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(_command(b"AUTH", (address.password or "").encode()))
        assert connection.recv(100) == b"+OK\r\n"
        connection.sendall(_command(b"CONFIG", b"SET", b"appendonly", b"no"))  # nothing here must survive
        connection.sendall(_command(b"CLIENT", b"REPLY", b"OFF"))
        while written < count and time.monotonic() < until:
            numbers = range(written, min(written + _BATCH, count))
            connection.sendall(b"".join([copy(number) for number in numbers]))
            written = numbers.stop
        connection.sendall(_command(b"CLIENT", b"REPLY", b"ON"))
        answers = b""
        while answers.count(b"\r\n") < 2:
            answers += connection.recv(100)
        assert answers == b"+OK\r\n" * 2, answers
    return written
