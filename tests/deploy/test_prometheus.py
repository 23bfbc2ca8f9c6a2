"""The rules of deploy/prometheus, by promtool: each fault fires its own alert and no other."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from countersign.metrics import REGISTRY
from tests.deploy.alert_cases import CASES, promtool_test

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FOLDER: Final = ROOT / "deploy" / "prometheus"
BOARD: Final = ROOT / "deploy" / "grafana" / "countersign.json"


def rules() -> list[dict[str, Any]]:
    """All rules of both files."""
    return [
        rule
        for name in ("rules.yml", "alerts.yml")
        for group in yaml.safe_load((FOLDER / name).read_text())["groups"]
        for rule in group["rules"]
    ]


ALERTS: Final = {rule["alert"]: rule for rule in rules() if "alert" in rule}


@pytest.fixture
def promtool() -> str:
    if (path := shutil.which("promtool")) is None:
        pytest.skip("promtool is not on the PATH: install Prometheus.")
    return path


def run(promtool: str, *arguments: str | Path) -> None:
    done = subprocess.run([promtool, *arguments], check=False, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_rules_and_configuration(promtool: str) -> None:
    run(promtool, "check", "rules", FOLDER / "rules.yml", FOLDER / "alerts.yml")
    run(promtool, "check", "config", FOLDER / "scrape.yml")


def test_each_fault_fires_its_own_alert_alone(promtool: str, tmp_path: Path) -> None:
    tests = [promtool_test(case, ALERTS[case.firing[0]]["labels"]["severity"] if case.firing else "") for case in CASES]
    files = [str(FOLDER / name) for name in ("rules.yml", "alerts.yml")]
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": files, "evaluation_interval": "5s", "tests": tests}))
    run(promtool, "test", "rules", file)


def test_every_alert_has_a_test_case() -> None:
    assert {case.firing[0] for case in CASES if case.firing} == ALERTS.keys()


def test_every_alert_links_to_its_runbook() -> None:
    """Each says what it means, how to confirm it, what to do, and what is safe meanwhile."""
    page = (ROOT / "docs" / "runbooks.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    assert sections.keys() == ALERTS.keys()
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
        assert re.findall(r"^\*\*(.+?)\*\*", sections[name], re.M) == ["Means", "Confirm", "Do", "Safe meanwhile"], name


def metrics_in(expression: str) -> set[str]:
    """The names of metrics and of recorded series in an expression."""
    return set(re.findall(r"\b(?:countersign|process)[_:][a-z0-9_:]+", re.sub(r'"[^"]*"', "", expression)))


def known() -> set[str]:
    """Every name that a process exposes or a rule records."""
    names = {rule["record"] for rule in rules() if "record" in rule}
    for family in REGISTRY.collect():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        names |= {f"{family.name}{end}" for end in ends}
    return names


def test_every_rule_names_metrics_that_exist() -> None:
    named = set().union(*(metrics_in(rule["expr"]) for rule in rules()))
    assert len(named) > 20
    assert named - known() == set()


def queries() -> list[str]:
    """Every query of the board."""
    panels = json.loads(BOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def test_every_dashboard_query_names_existing_metrics() -> None:
    named = [metrics_in(query) for query in queries()]
    assert len(named) > 30
    assert set().union(*named) - known() == set()


def test_dashboard_shows_every_metric() -> None:
    """A metric that nobody looks at is one too many, but for one that only an alert needs."""
    shown = set().union(*(metrics_in(query) for query in queries()))
    alerted = set().union(*(metrics_in(rule["expr"]) for rule in rules()))
    ours = {name for name in known() if name.startswith("countersign_") and not name.endswith(("_count", "_sum"))}
    assert ours - shown - alerted == set()


def test_promtool_parses_every_dashboard_query(promtool: str, tmp_path: Path) -> None:
    """They are rules here, because promtool parses nothing else."""
    file = tmp_path / "queries.yml"
    found = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries())]
    file.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": found}]}))
    run(promtool, "check", "rules", "--lint=none", file)


def test_drill_table_names_existing_alerts() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    named = set(re.findall(r"^\| .*\| `(\w+)` \| \[runbook\]", page, re.M))
    assert len(named) > 8 and named <= ALERTS.keys()
