"""Countersign on embedded parts, with a local Slack in the browser.

Each part is a process of its own; Ctrl-C ends them all.

Redis keeps its data in the data folder, so runs that wait survive a restart of the demo. Slack here is localslack,
which forgets everything when it ends.
"""

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from countersign.store.redis.embedded_server import EmbeddedRedis, EmbeddedRedisError

BESIDE: Final = __package__.removesuffix("demo")
"""The package around the others: none in a checkout, `countersign.` where it is installed."""
HERE: Final = Path(__file__).resolve().parent
ROOT: Final = None if BESIDE else HERE.parent
MANIFEST: Final = (ROOT or HERE) / "manifest.yml"
READY_WITHIN: Final = 60.0
LOOPBACK: Final = "127.0.0.1"


@asynccontextmanager
async def process(name: str, module: str, *args: str, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m …` as a process of its own, its words with its name before them.

    Ended politely, then not.
    """
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"{BESIDE}{module}",
        *args,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    speaking = asyncio.create_task(_repeat(name, running))
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        try:
            async with asyncio.timeout(15):
                await running.wait()
        except TimeoutError:
            running.kill()
            await running.wait()
        await speaking


async def _repeat(name: str, running: asyncio.subprocess.Process) -> None:
    assert running.stdout is not None
    async for line in running.stdout:
        print(f"  {name:8} {line.decode(errors='replace').rstrip()}", flush=True)


async def answers(url: str, running: asyncio.subprocess.Process) -> None:
    """Return when the address answers 200.

    RuntimeError if its process ends or takes too long.
    """
    async with aiohttp.ClientSession() as session, asyncio.timeout(READY_WITHIN):
        while running.returncode is None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise RuntimeError(f"{url} does not answer: its process ended; its words are above.")


async def run(data: Path, port: int, stop: asyncio.Event) -> None:
    """Run the demo until `stop` is set or one of its processes ends.

    It uses five ports from `port` on.

    All start at once, because most of the time goes into imports: `web` and the worker wait for what is not there yet.
    """
    slack_port, mail_port, smtp_port, web_port, redis_port = range(port, port + 5)
    _all_free(slack_port, mail_port, smtp_port, web_port)
    bot_token, app_token = f"xoxb-{secrets.token_hex(12)}", f"xapp-{secrets.token_hex(12)}"
    async with AsyncExitStack() as stack:

        async def start(name: str, module: str, *args: str, **env: str) -> asyncio.subprocess.Process:
            started = await stack.enter_async_context(process(name, module, *args, **env))
            processes[name] = started
            return started

        processes: dict[str, asyncio.subprocess.Process] = {}
        slack = await start(
            "slack",
            *("localslack", "--port", str(slack_port), "--bot-token", bot_token, "--app-token", app_token),
            *("--manifest", str(MANIFEST)),
        )
        mail = await start(
            "mail",
            *("demo.mailbox", "--smtp-port", str(smtp_port), "--http-port", str(mail_port)),
            *("--maildir", str(data / "mailbox")),
        )
        redis = await _redis(stack, data / "redis", redis_port)
        common = {"LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING")}
        web = await start(
            "web",
            "bot",
            **common,
            REDIS_URL=redis["web"],
            SLACK_BOT_TOKEN=bot_token,
            SLACK_APP_TOKEN=app_token,
            SLACK_API_URL=f"http://{LOOPBACK}:{slack_port}/api/",
            REVIEWERS=os.environ.get("REVIEWERS", "S0REVIEWERS"),
            PORT=str(web_port),
        )
        await start(
            "worker",
            "agents",
            **common,
            REDIS_URL=redis["worker"],
            SMTP_URL=os.environ.get("SMTP_URL", f"smtp://{LOOPBACK}:{smtp_port}"),
            DATA_DIR=str(data),
        )
        pages = {"slack": f"http://{LOOPBACK}:{slack_port}/", "mail": f"http://{LOOPBACK}:{mail_port}/"}
        await answers(pages["slack"], slack)
        await answers(pages["mail"], mail)
        await answers(f"http://{LOOPBACK}:{web_port}/healthz", web)
        print(_WELCOME.format(**pages), flush=True)
        waits = [asyncio.create_task(p.wait(), name=name) for name, p in processes.items()]
        stopped = asyncio.create_task(stop.wait(), name="stop")
        done, _ = await asyncio.wait([*waits, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (*waits, stopped):
            task.cancel()
        if stopped not in done:
            raise RuntimeError(f"The process “{done.pop().get_name()}” ended by itself; its words are above.")
        print("Ending; what waits is kept.", flush=True)


_WELCOME: Final = """
  Slack     {slack}   open this
  Mailbox   {mail}

  1. In #general, as alice, type:  /agent email tell the vendor we need 10% off
  2. Act as bob (top left), open #approvals, and answer the card: Respond, Reject or Approve.
  3. Approved? The mail is in the mailbox.
  4. More: /agent deploy deploy shop 2.1 to staging          /agent research what is tea made from
           /agent support order 17 came broken, pay it back  /agent code add up 3, 4 and 35
           /agent chat find a date; delete the old list                Ctrl-C ends everything.
"""


def _all_free(*ports: int) -> None:
    taken = []
    for port in ports:
        try:
            socket.create_server((LOOPBACK, port)).close()
        except OSError:
            taken.append(str(port))
    if taken:
        raise RuntimeError(f"Port {', '.join(taken)} is taken; nothing was started. Use others: make demo PORT=5000")


async def _redis(stack: AsyncExitStack, folder: Path, port: int) -> dict[str, str]:
    """The address of each process.

    The embedded server knows them apart, one of the person's own may not.
    """
    if given := os.environ.get("REDIS_URL"):
        return {"web": given, "worker": given}
    server = await stack.enter_async_context(
        EmbeddedRedis(folder, port, namespace=os.environ.get("NAMESPACE") or "countersign")
    )
    return {user: server.url_of(user) for user in ("web", "worker")}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="countersign demo", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".data/demo"), help="folder that keeps what is stored")
    parser.add_argument("--port", type=int, default=4000, help="the first of five ports")
    given = parser.parse_args(arguments)

    async def until_told() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run(given.data.resolve(), given.port, stop)

    given.data.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(until_told())
    except (RuntimeError, TimeoutError, EmbeddedRedisError) as wrong:
        print(wrong, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
