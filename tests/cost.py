"""What the tests cost: seconds of processor by file, with all the processes that they start (`pytest --cost`).

Wall time says how busy the machine was; this says how much there is to do. It is read from `/proc`, where a file is
done with, so that what a server or a worker of the tests spends is its file's too.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STARTING = "(imports and collection)"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cost", type=int, nargs="?", const=20, metavar="N", help="say what the N (20) dearest files cost"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--cost"):
        config.pluginmanager.register(Cost(config), "cost")


class Cost:
    """Of one pytest process; that of pytest-xdist adds up what its workers say."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._by_file: dict[str, float] = defaultdict(float)
        self._before = 0.0

    def _add(self, what: str) -> None:
        now = spent()
        self._by_file[what] += now - self._before
        self._before = now

    def pytest_collection_finish(self) -> None:
        self._add(STARTING)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[Any]:
        result = yield
        if nextitem is None or nextitem.path != item.path:
            self._add(item.nodeid.partition("::")[0])
        return result

    def pytest_sessionfinish(self) -> None:
        if (output := getattr(self._config, "workeroutput", None)) is not None:
            output["cost"] = dict(self._by_file)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        for name, seconds in getattr(node, "workeroutput", {}).get("cost", {}).items():
            self._by_file[name] += seconds

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section(f"{sum(self._by_file.values()):.0f} s of processor; the dearest files")
        dearest = sorted(self._by_file.items(), key=lambda spent: spent[1], reverse=True)
        for name, seconds in dearest[: self._config.getoption("--cost")]:
            terminalreporter.write_line(f"{seconds:8.1f} s  {name}")


def spent() -> float:
    """Seconds of processor of this process and of all below it, the dead ones too."""
    if not Path("/proc/self/stat").exists():
        return sum(os.times()[:4])
    ticks: dict[int, int] = {}
    below: dict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        ticks[int(path.parent.name)] = sum(map(int, fields[11:15]))
        below[int(fields[1])].append(int(path.parent.name))
    family = [os.getpid()]
    for pid in family:
        family += below[pid]
    return sum(ticks.get(pid, 0) for pid in family) / os.sysconf("SC_CLK_TCK")
