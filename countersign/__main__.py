"""The command `countersign`, with its processes and verbs."""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

_NEEDED: Final = "`pip install 'countersign-slack[server,autogen]'` installs all that runs teams and the service."
_PROCESSES = {
    "demo": ("demo.__main__", "Try everything in your browser: no Slack, Redis or model needed."),
    "web": ("bot.__main__", "Run the process that talks to Slack."),
    "worker": ("agents.__main__", "Run a worker, which runs teams of agents."),
    "mcp": (".frameworks.mcp_server", "Let MCP clients ask people in Slack."),
    "resume": (".frameworks.resume", "Restart programs that stopped to wait for people."),
    "doctor": (".doctor", "Check the settings and what they reach, and say what to fix."),
    "acl": (".store.acl", "Print the Redis access control list for a namespace."),
}
"""They read what follows their name themselves, and load nothing of the other commands."""
_VERBS = {
    "audit": "Read, check and export the record of decisions.",
    "keys": "Create, list and revoke the keys of programs.",
    "policy": "Check and try out the workspace's policy.",
}
_WITH_VERBS = {"policy": ".policy.cli", "audit": "bot.audit.cli", "keys": "bot.api.keys_cli"}


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status; 2 for an unknown command."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command, *rest = arguments or [""]
    if command in _PROCESSES and rest and command in ("web", "worker"):
        print(f"countersign {command} takes no arguments; its settings come from the environment.", file=sys.stderr)
        return 0 if rest[0] in ("-h", "--help") else 2
    try:
        if command in _PROCESSES:
            status: int = _loaded(_PROCESSES[command][0]).main(rest)
            return status
        return _with_verbs(arguments, (command,) if command in _WITH_VERBS else tuple(_WITH_VERBS))
    except ModuleNotFoundError as missing:
        if command in ("", "-h", "--help"):
            print(_help(), end="")
            return 0
        print(f"countersign {command} needs the package {missing.name}. {_NEEDED}", file=sys.stderr)
        return 2


def _help() -> str:
    """Return the help for an installation without the packages of the server."""
    commands = {**{name: line for name, (_, line) in _PROCESSES.items()}, **_VERBS}
    lines = [f"  {name:<9} {line}" for name, line in sorted(commands.items())]
    return "\n".join(["Usage: countersign COMMAND", "", "Commands:", *lines, "", _NEEDED, ""])


def _with_verbs(arguments: list[str], loaded: tuple[str, ...]) -> int:
    """Run a command that has verbs, or the help or completion of all."""
    import typer

    from countersign.terminal import command_line, run

    app = command_line("Slack approvals for AutoGen agents.", add_completion=True)
    for name, (_, line) in _PROCESSES.items():
        app.command(name, help=line)(lambda: None)
    for name in loaded:
        verbs: typer.Typer = _loaded(_WITH_VERBS[name]).app
        app.add_typer(verbs, name=name)
    if "policy" in loaded:
        _loaded("bot.audit.suggest_cli")  # adds a verb of its own: it reads the record, which the library does not know
    return run(app, arguments, "countersign")


def _loaded(name: str) -> Any:
    """Load a process's module: inside this package when installed, else beside it."""
    top = name.split(".")[0]
    return import_module(f".{name}" if top and find_spec(f".{top}", __package__) else name, __package__)


if __name__ == "__main__":
    sys.exit(main())
