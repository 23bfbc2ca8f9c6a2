"""The command `countersign`: demo, web, worker, policy, audit, acl."""

import sys
from importlib import import_module
from importlib.util import find_spec

_COMMANDS = {
    "demo": ("demo.__main__", "try everything in your browser: no Slack, Redis or model needed"),
    "web": ("bot.__main__", "run the process that talks to Slack"),
    "worker": ("agents.__main__", "run a process that runs teams of agents"),
    "policy": (".policy.cli", "check or explain a policy file, or print its schema"),
    "audit": ("bot.audit.cli", "export or verify the audit record, or sign a receipt from it"),
    "acl": (".store.acl", "print Redis' access control list for a namespace"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status; 2 for an unknown command."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        print(_help())
        return 0
    if command not in _COMMANDS:
        print(f"There is no command “{command[:40]}”.\n{_help()}", file=sys.stderr)
        return 2
    if rest and command in ("web", "worker"):
        print(f"countersign {command} takes no arguments; its settings come from the environment.", file=sys.stderr)
        return 0 if rest[0] in ("-h", "--help") else 2
    status: int = import_module(_module(_COMMANDS[command][0]), __package__).main(rest)
    return status


def _module(name: str) -> str:
    """Name a process's module: a package inside this one when installed, beside it in a checkout."""
    top = name.split(".")[0]
    return f".{name}" if top and find_spec(f".{top}", __package__) else name


def _help() -> str:
    rows = (f"  {command:8}{line}" for command, (_, line) in _COMMANDS.items())
    return "\n".join(["usage: countersign COMMAND …", "", *rows, "", "countersign COMMAND --help says more."])


if __name__ == "__main__":
    sys.exit(main())
