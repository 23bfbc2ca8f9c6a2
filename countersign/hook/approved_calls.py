"""Notes on this machine about approved calls and their requests.

They hold how often a call was approved, and which request waits for an outcome. If they are lost or wrong, the service
is asked more often, or hears no outcome.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from countersign.hook.tool_calls import ToolCall


def count_of(key: str) -> int:
    """Return how often the call of this key was approved."""
    try:
        return int(_path("count", key).read_text())
    except (OSError, ValueError):
        return 0


def note_count(key: str, count: int) -> None:
    """Note how often the call of this key was approved."""
    _write(_path("count", key), str(count))


def note_request(call: ToolCall, arguments: Mapping[str, Any], request: str) -> None:
    """Note the request of a call that is about to run with these arguments."""
    _write(_path("request", _name(call, arguments)), request)


def take_request(call: ToolCall, arguments: Mapping[str, Any]) -> str:
    """Return the request of a call that ran, once; "" if none is noted."""
    path = _path("request", _name(call, arguments))
    try:
        request = path.read_text()
        path.unlink()
    except OSError:
        return ""
    return request


def _name(call: ToolCall, arguments: Mapping[str, Any]) -> str:
    return json.dumps([call.agent, call.session, call.tool, arguments], sort_keys=True)


def _path(kind: str, name: str) -> Path:
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "countersign" / "hook"
    return folder / f"{kind}-{hashlib.sha256(name.encode()).hexdigest()}"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(text)
    except OSError:
        pass
