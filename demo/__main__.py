"""Countersign on embedded parts, with a local Slack in the browser.

Each part is a process of its own; Ctrl-C ends them all.

Redis and the local Slack keep their data in the data folder, so runs that wait survive a restart of the demo, with
their cards and threads. A team file that changes is loaded again: another worker takes over what the last one ran.
"""

import argparse
import asyncio
import os
import secrets
import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from countersign.store.embedded_server import EmbeddedRedis, EmbeddedRedisError

from . import scripted_model
from .login import CLIENT, PEOPLE
from .processes import BESIDE, HERE, ROOT, answers, process, work

MANIFEST: Final = (ROOT or HERE) / "manifest.yml"
LOOPBACK: Final = "127.0.0.1"
_FIRST: Final = "/agent email tell the vendor we need 10% off"


async def run(data: Path, port: int, stop: asyncio.Event) -> None:
    """Run the demo until `stop` is set or one of its processes ends.

    It uses ten ports from `port` on.

    All start at once, because most of the time goes into imports: `web` and the worker wait for their dependencies.
    """
    ports = range(port, port + 10)
    slack_port, mail_port, smtp_port, web_port, redis_port, api_port, model_port, ops_port, login_port, review_port = (
        ports
    )
    _all_free(slack_port, mail_port, smtp_port, web_port, api_port, model_port, ops_port, login_port, review_port)
    bot_token, app_token = f"xoxb-{secrets.token_hex(12)}", f"xapp-{secrets.token_hex(12)}"
    async with AsyncExitStack() as stack:

        async def start(name: str, module: str, *args: str, **env: str) -> asyncio.subprocess.Process:
            started = await stack.enter_async_context(process(name, module, *args, **env))
            processes[name] = started
            return started

        processes: dict[str, asyncio.subprocess.Process] = {}
        slack = await start(
            "slack",
            "localslack",
            f"--port={slack_port}",
            f"--manifest={MANIFEST}",
            "--event=message.channels",  # replies in the thread of the team `chat`
            f"--state={data / 'slack.json'}",
            f"--hint=As alice, in #general, type: {_FIRST}",
            LOCALSLACK_BOT_TOKEN=bot_token,
            LOCALSLACK_APP_TOKEN=app_token,
        )
        mail = await start(
            "mail",
            "demo.mailbox",
            f"--smtp-port={smtp_port}",
            f"--http-port={mail_port}",
            f"--maildir={data / 'mailbox'}",
        )
        review = f"http://localhost:{review_port}"
        login = await start("login", "demo.login", f"--port={login_port}", f"--client={review}/sign-in/callback")
        providers, people = await asyncio.to_thread(_login_files, data, login_port)
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
            ADMINS=os.environ.get("ADMINS", "U0DAVE"),
            PORT=str(web_port),
            API_PORT=str(api_port),
            OPS_PORT=str(ops_port),
            STOP_DELAY="0s",
            THREAD_REPLIES="yes",
            PUBLIC_URL=review,
            PAGES_PORT=str(review_port),
            OIDC_PROVIDERS=str(providers),
            OIDC_PEOPLE=str(people),
            PASSKEY_COOLING_OFF="0s",
            LAST_KNOWN_FOR="1h",
        )
        worker = {
            **common,
            "REDIS_URL": redis["worker"],
            "SMTP_URL": os.environ.get("SMTP_URL", f"smtp://{LOOPBACK}:{smtp_port}"),
            "DATA_DIR": str(data),
        }
        working = asyncio.create_task(work(worker), name="worker")
        stack.push_async_callback(_ended, working)
        pages = {"slack": f"http://{LOOPBACK}:{slack_port}/", "mail": f"http://{LOOPBACK}:{mail_port}/"}
        pages["review"] = f"{review}/"
        await answers(pages["slack"], slack)
        await answers(pages["mail"], mail)
        await answers(f"http://localhost:{login_port}/keys", login)
        await answers(f"http://{LOOPBACK}:{ops_port}/readyz", web)
        key = await _key(data / "api-key", redis["web"])
        pages["model"] = await stack.enter_async_context(scripted_model.served(LOOPBACK, model_port))
        interface = {"api": f"http://{LOOPBACK}:{api_port}", "key": key}
        print(_WELCOME.format(**pages, **interface, **redis, python=_python(), first=_FIRST), flush=True)
        waits = [asyncio.create_task(p.wait(), name=name) for name, p in processes.items()]
        stopped = asyncio.create_task(stop.wait(), name="stop")
        done, _ = await asyncio.wait([*waits, working, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (*waits, stopped):
            task.cancel()
        if stopped not in done:
            raise RuntimeError(f"The process “{done.pop().get_name()}” ended by itself; see its output above.")
        print("Stopping; pending requests are kept.", flush=True)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _python() -> str:
    """This interpreter, as somebody types it here."""
    program = Path(sys.executable)
    return shlex.quote(str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program))


_WELCOME: Final = """
  Slack     {slack}   open this
  Mailbox   {mail}
  Inbox     {review}   the same requests outside of Slack: sign in as bob

  1. In #general, as alice, type:  {first}
  2. Act as bob (top left), open #approvals, and answer the card: Approve, Request changes, or more behind ⋯.
  3. Approved? The mail is in the mailbox.
     To approve with a passkey from now on, type as bob in #approvals: /approvals proof passkey
  4. More: /agent deploy deploy shop 2.1 to staging          /agent research what is tea made from
           /agent support order 17 came broken, pay it back  /agent code add up 3, 4 and 35
           /agent chat find a date; delete the old list      /agent invoices pay what is due
           /agent access read billing for carol, 2 hours

  Your own programs can ask people, too (docs/ask-from-python.md). In another terminal:
    export COUNTERSIGN_URL={api} COUNTERSIGN_KEY={key}
    {python} -c 'import asyncio, countersign; print(asyncio.run(countersign.ask("#approvals", "Shall we?")))'
  For the examples of README.md and docs/adapters.md without an OpenAI key, use this model, which plays a script:
    export OPENAI_BASE_URL={model} OPENAI_API_KEY=demo OPENAI_AGENTS_DISABLE_TRACING=1
  To add another worker, connect it to Redis:
    export REDIS_URL={worker}
  The record of what was decided:
    REDIS_URL={web} {python} -m countersign audit report

  Ctrl-C stops everything; pending requests are kept.
"""


async def _key(file: Path, redis: str) -> str:
    """The key of programs that ask; the same one each time."""
    if known := await asyncio.to_thread(lambda: file.read_text() if file.exists() else ""):
        return known
    command = [sys.executable, "-m", f"{BESIDE}bot.api.keys_cli", "create"]
    making = await asyncio.create_subprocess_exec(
        *command,
        "--name=demo",
        "--channel=C0APPROVALS",
        "--channel=C0GENERAL",
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": redis},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    token, problem = await making.communicate()
    if making.returncode or not token.strip():
        raise RuntimeError(f"Could not create a key for programs: {problem.decode().strip()}")
    await asyncio.to_thread(_keep, file, token.decode().strip())
    return token.decode().strip()


def _login_files(data: Path, port: int) -> tuple[Path, Path]:
    """Write the files that say where people log in, and which Slack user each of them is."""
    issuer, providers, people = f"http://localhost:{port}", data / "providers.yaml", data / "people.yaml"
    providers.write_text(f"- name: Demo login\n  issuer: {issuer}\n  client_id: {CLIENT}\n")
    entries = (f"- issuer: {issuer}\n  subject: demo-{name}\n  user: {user}\n" for name, user in PEOPLE.items())
    people.write_text("".join(entries))
    return providers, people


def _keep(file: Path, token: str) -> None:
    file.touch(mode=0o600)
    file.write_text(token)


def _all_free(*ports: int) -> None:
    taken = []
    for port in ports:
        try:
            socket.create_server((LOOPBACK, port)).close()
        except OSError:
            taken.append(str(port))
    if taken:
        raise RuntimeError(
            f"Port {', '.join(taken)} is taken; nothing was started. Use others: countersign demo --port 5000"
        )


async def _redis(stack: AsyncExitStack, folder: Path, port: int) -> dict[str, str]:
    """Return the address of each process.

    The embedded server knows them apart; a server of your own may not.
    """
    if url := os.environ.get("REDIS_URL"):
        return {"web": url, "worker": url}
    server = await stack.enter_async_context(
        EmbeddedRedis(folder, port, namespace=os.environ.get("NAMESPACE") or "countersign")
    )
    return {user: server.url_of(user) for user in ("web", "worker")}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="countersign demo", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".data/demo"), help="folder for what is stored")
    parser.add_argument("--port", type=int, default=4000, help="the first of ten ports")
    options = parser.parse_args(arguments)

    async def until_interrupted() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run(options.data.resolve(), options.port, stop)

    options.data.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(until_interrupted())
    except (RuntimeError, TimeoutError, EmbeddedRedisError) as wrong:
        print(wrong, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
