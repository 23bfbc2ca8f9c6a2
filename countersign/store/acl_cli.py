"""`countersign acl`: the file of Redis' users for a namespace; docs/security.md says what to do with it."""

import argparse
import os
import sys

from countersign.store import acl


def main(arguments: list[str]) -> int:
    """The exit status: 0 if the file was printed, 2 if there cannot be such a namespace."""
    parser = argparse.ArgumentParser(prog="countersign acl", description=__doc__)
    parser.add_argument("--namespace", default=os.environ.get("NAMESPACE") or "countersign", help="default: NAMESPACE")
    try:
        print(acl.written_for(parser.parse_args(arguments).namespace), end="")
    except ValueError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    return 0
