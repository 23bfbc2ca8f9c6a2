"""Pinned tools: as servers first offered them, or as people accepted them.

A client sees the pinned description of a tool, never a newer one. So a server can't talk to a model, or change what a
call means, behind the back of the people who approve its calls.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from countersign.domain.calls import canonical
from countersign.domain.diffs import changed_lines
from countersign.domain.errors import InvalidInput
from countersign.whole_files import write_whole

Definition = Mapping[str, Any]
"""A tool as its server describes it: name, description, schemas, annotations."""
_VERSION: Final = 1


class Pins:
    """The file of pinned tools, by server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read()

    def known(self, server: str) -> dict[str, Definition]:
        """Return the pinned tools of a server by name."""
        return {name: pin["definition"] for name, pin in self._read().get(server, {}).items()}

    def changes(
        self, server: str, offered: Mapping[str, Definition]
    ) -> dict[str, tuple[Definition | None, Definition]]:
        """Return tools that differ from their pin, before and after.

        None for tools without a pin. A server that was never used has no changes: it is pinned as it is.
        """
        if server not in (servers := self._read()):
            self.accept(server, offered)
            return {}
        known = servers[server]
        return {
            name: (known[name]["definition"] if name in known else None, definition)
            for name, definition in offered.items()
            if name not in known or known[name]["digest"] != digest(definition)
        }

    def accept(self, server: str, tools: Mapping[str, Definition]) -> None:
        """Pin these tools."""
        pinned = {name: {"digest": digest(one), "definition": one} for name, one in tools.items()}
        servers = self._read()  # another gateway may have written meanwhile
        servers[server] = servers.get(server, {}) | pinned
        written = json.dumps({"version": _VERSION, "servers": servers}, indent=1, ensure_ascii=False)
        write_whole(self._path, written.encode(errors="surrogatepass"))

    def _read(self) -> dict[str, dict[str, dict[str, Any]]]:
        try:
            read = json.loads(self._path.read_text())
            servers: dict[str, dict[str, dict[str, Any]]] = read["servers"]
            pins = [pin for tools in servers.values() for pin in tools.values()]
            if read["version"] != _VERSION or any(pin["digest"] != digest(pin["definition"]) for pin in pins):
                raise ValueError
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise InvalidInput(
                f"{self._path} isn't a file of pinned tools, or was changed by hand. Restore it, or remove it to pin "
                "the tools as they are now."
            ) from None
        return servers


def digest(definition: Definition) -> str:
    """Return the digest of a tool's definition."""
    return hashlib.sha256(canonical(definition).encode(errors="surrogatepass")).hexdigest()


def described(changes: Mapping[str, tuple[Definition | None, Definition]]) -> str:
    """Describe changed tools for people, by each changed line of their definitions."""
    parts = []
    for name, (before, after) in sorted(changes.items()):
        lines = changed_lines("" if before is None else _lines(before), _lines(after))
        parts.append("\n".join([f"{'New' if before is None else 'Changed'} tool {name}", *lines]))
    return "\n\n".join(parts)


def _lines(definition: Definition) -> str:
    return json.dumps(definition, indent=2, ensure_ascii=False, sort_keys=True).replace("\\n", "\n")
