"""The way to Slack through a company's proxy, and with its certificate authority."""

import asyncio
import datetime
import ipaddress
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from localslack import LocalSlack

PROGRAM: Final = """
import asyncio, sys
from bot.slack import app

async def main():
    async with app.slack_clients("xoxb-local-bot", sys.argv[1]) as clients:
        identity = await app.identify(clients.reads)
        async with app.socket_mode(app.build(clients, identity), "xapp-local-app", clients.reads) as connected:
            while sys.argv[2] == "socket" and not await connected():
                await asyncio.sleep(0.01)
            print(identity.workspace)

asyncio.run(main())
"""
Pipe = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def piped(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    target.close()


async def joined(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, first: bytes = b""
) -> None:
    theirs = await asyncio.open_connection(host, port)
    theirs[1].write(first)
    await asyncio.gather(piped(reader, theirs[1]), piped(theirs[0], writer), return_exceptions=True)


@asynccontextmanager
async def listening(handle: Pipe, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate authority, and what a server at 127.0.0.1 shows that it signed."""
    now, names, keys = datetime.datetime.now(datetime.UTC), ("Our CA", "127.0.0.1"), {}
    for name in names:
        keys[name] = ec.generate_private_key(ec.SECP256R1())
        built = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]))
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == names[0], path_length=None), critical=True)
        )
        if name != names[0]:
            here = x509.IPAddress(ipaddress.ip_address(name))
            built = built.add_extension(x509.SubjectAlternativeName([here]), critical=False)
        signed = built.sign(keys[names[0]], hashes.SHA256())
        pem = signed.public_bytes(serialization.Encoding.PEM)
        (folder / f"{name}.pem").write_bytes(pem)
    key = keys[names[1]].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "127.0.0.1.pem", folder / "key.pem")
    return folder / "Our CA.pem", tls


@pytest.mark.slow
async def test_slack_is_reached_through_a_proxy_and_private_authority(slack: LocalSlack, tmp_path: Path) -> None:
    """R46: HTTPS_PROXY, NO_PROXY (which slack-sdk ignores) and SSL_CERT_FILE."""
    local, asked = urlsplit(slack.url).port, list[str]()
    authority, tls = certificate(tmp_path)
    assert local is not None

    async def slack_by_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await joined(reader, writer, "127.0.0.1", local)

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            method, target, rest = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
        except asyncio.IncompleteReadError:  # the program ends while it opens its second connection
            writer.close()
            return
        asked.append(f"{method.decode()} {target.decode()}")
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            host, _, port = target.decode().rpartition(":")
            await joined(reader, writer, host, int(port))
            return
        there = urlsplit(target.decode())  # a connection without TLS, as that of Socket Mode to a local Slack
        assert there.hostname is not None and there.port is not None
        path = f"{there.path}?{there.query}".encode()
        await joined(reader, writer, there.hostname, there.port, b" ".join([method, path, rest]))

    async def run(url: str, way: str, **environment: str) -> tuple[str, str]:
        clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, url, way),
            env={**clean, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await started.communicate()
        return out.decode().strip(), err.decode()

    async with listening(slack_by_tls, tls) as port, listening(proxy) as proxy_port:
        url, proxied = f"https://127.0.0.1:{port}/api/", f"http://127.0.0.1:{proxy_port}"
        out, err = await run(url, "api", HTTPS_PROXY=proxied, SSL_CERT_FILE=str(authority))
        assert out == "T0LOCAL", err
        assert asked and set(asked) == {f"CONNECT 127.0.0.1:{port}"}

        asked.clear()
        out, err = await run(url, "socket", HTTPS_PROXY=proxied, SSL_CERT_FILE=str(authority))
        assert out == "T0LOCAL", err
        assert any(one.startswith(f"GET ws://127.0.0.1:{local}/") for one in asked), asked

        asked.clear()
        for name in ("NO_PROXY", "no_proxy"):
            around = {name: "127.0.0.1", "HTTPS_PROXY": proxied, "HTTP_PROXY": proxied}
            out, err = await run(url, "socket", SSL_CERT_FILE=str(authority), **around)
            assert out == "T0LOCAL", err
        assert asked == []
