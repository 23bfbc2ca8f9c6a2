"""`countersign hook`: ask people in Slack before a coding agent acts.

    countersign hook install claude-code      shows what changes in the settings, and writes it
    countersign hook doctor                   checks the settings, the rules and the service
    countersign hook claude-code              is what the settings call; also codex, gemini and copilot

docs/coding-agents.md describes the rules, and what a hook cannot see.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from countersign.hook.protocols import BLOCK, PROTOCOLS

AGENTS = tuple(PROTOCOLS)


def main(arguments: Sequence[str]) -> int:
    """Run one verb, or answer an agent; whatever goes wrong then blocks the call."""
    if arguments and arguments[0] in AGENTS:
        return _answer(arguments)
    parser = argparse.ArgumentParser(
        prog="countersign hook", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="{install,doctor,claude-code,codex,…}")
    install = verbs.add_parser("install", help="write the hook into an agent's settings")
    install.add_argument("agent", choices=AGENTS)
    install.add_argument("--rules", type=Path, metavar="FILE", help="rules (default: ~/.config/countersign/hook.yaml)")
    install.add_argument("--yes", action="store_true", help="write without asking")
    doctor = verbs.add_parser("doctor", help="check settings, rules and service")
    doctor.add_argument("agent", nargs="*", metavar="AGENT", help=f"of {', '.join(AGENTS)}; by default all with a hook")
    for verb in (install, doctor):
        verb.add_argument("--project", action="store_true", help="the settings of this folder, not of this account")
    given = parser.parse_args(arguments)
    from countersign.domain.errors import CountersignError
    from countersign.hook import install as steps
    from countersign.hook.shell_commands import read_script

    try:
        read_script("true")  # a hook without its packages would block every call
        if given.verb == "doctor":
            if unknown := [name for name in given.agent if name not in AGENTS]:
                parser.error(f"unknown agents: {', '.join(unknown)}")
            return steps.doctor(given.agent, project=given.project)
        return steps.install(given.agent, project=given.project, rules=given.rules, yes=given.yes)
    except ModuleNotFoundError as missing:
        print(_sentence(missing), file=sys.stderr)
    except (CountersignError, OSError) as wrong:
        print(wrong, file=sys.stderr)
    return 1


def _answer(arguments: Sequence[str]) -> int:
    """Answer an agent on standard output. With status 2 every agent blocks the call and shows standard error."""
    agent, *rest = arguments
    try:
        parser = argparse.ArgumentParser(prog=f"countersign hook {agent}")
        parser.add_argument("--rules", type=Path, metavar="FILE")
        parser.add_argument("--wait", type=float, metavar="SECONDS", help="the same as `wait` in the rules")
        given = parser.parse_args(rest)
        from countersign.hook.gate import answer

        logging.disable(logging.CRITICAL)  # standard error is the reason that the model reads
        data = sys.stdin.buffer.read()
        print(asyncio.run(answer(PROTOCOLS[agent], data, given.rules, given.wait)), end="", flush=True)
    except SystemExit as end:
        return 0 if end.code == 0 else BLOCK
    except BaseException as wrong:  # a hook that fails in any other way would let the call run
        print(f"Countersign: {_sentence(wrong)} The call was not made.", file=sys.stderr)
        return BLOCK
    return 0


def _sentence(wrong: BaseException) -> str:
    from countersign.domain.errors import CountersignError

    if isinstance(wrong, CountersignError):
        return str(wrong)
    if isinstance(wrong, ModuleNotFoundError):
        return f"The hook needs the package {wrong.name}. Run: pip install 'countersign-slack[hook]'."
    return f"The hook failed ({type(wrong).__name__}: {wrong})."
