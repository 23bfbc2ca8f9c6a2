"""`countersign gateway`: an MCP server in front of others, with people between.

The client talks to the gateway alone. It lists the tools of all servers behind it, judges each call by its rules and
the workspace's policy, asks people where they say so, and forwards exactly the approved arguments, once.
"""

import argparse
import asyncio
import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from countersign.client.connection import Address
from countersign.domain.errors import InvalidInput

WAIT: Final = 45.0
"""Seconds; many clients end a call after a minute."""


def main(arguments: list[str]) -> int:
    """Serve until standard input ends; 2 if something is missing or wrong."""
    parser = argparse.ArgumentParser(prog="countersign gateway", description=str(__doc__))
    parser.add_argument("config", type=Path, help="JSON file that names the servers, as MCP clients do, and the rules")
    parser.add_argument(
        "--wait", type=float, default=WAIT, help="seconds until a call returns without its result; 0: no limit"
    )
    parser.add_argument("--state", type=Path, help="folder of pinned tools and open calls; by default CONFIG.state")
    chosen = parser.parse_args(arguments)
    if find_spec("mcp") is None:
        print("The package `mcp` isn't installed. Run: pip install 'countersign-slack[mcp-gateway]'", file=sys.stderr)
        return 2
    from countersign.frameworks.mcp_gateway.config import Config
    from countersign.frameworks.mcp_gateway.server import LogWithoutSecrets, serve

    try:
        Address.of(None, None)
        config = Config.read(chosen.config)
        state: Path = chosen.state or chosen.config.with_name(chosen.config.name + ".state")
        state.mkdir(mode=0o700, exist_ok=True)
        handler = logging.StreamHandler()
        handler.setFormatter(LogWithoutSecrets(config))
        logging.basicConfig(handlers=[handler], level=logging.WARNING)
        asyncio.run(serve(config, state, chosen.wait))
    except (InvalidInput, OSError) as wrong:
        print(wrong, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0
