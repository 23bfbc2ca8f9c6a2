"""docs/deploying.md and the files of deploy/ agree: paths, targets, versions, and values of the chart."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.test_chart import names, one, rendered, variables_of

HERE = Path(__file__).resolve().parents[2]
PAGE = (HERE / "docs" / "deploying.md").read_text()
VERSION = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["version"]


def test_page_names_files_and_targets_that_exist() -> None:
    paths = set(re.findall(r"\b(deploy/[\w./-]*\w|requirements-\w+\.lock)", PAGE)) - {
        "deploy/secrets",  # make-secrets makes it
        "deploy/prometheus/alerts.yml",  # alerts are a part of their own
    }
    assert len(paths) >= 5
    assert [path for path in paths if not (HERE / path).exists()] == []
    targets = set(re.findall(r"\bmake ([a-z]+)", PAGE))
    assert targets and targets <= set(re.findall(r"^([a-z-]+):", (HERE / "Makefile").read_text(), re.M))


def test_versions_of_deploy_are_the_projects() -> None:
    chart = yaml.safe_load((HERE / "deploy" / "helm" / "countersign" / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
    assert f"localhost/countersign:{VERSION}}}" in (HERE / "deploy" / "compose.yaml").read_text()
    assert set(re.findall(r"countersign(?::|_slack-)(\d+\.\d+\.\d+)", PAGE)) == {VERSION}


@pytest.mark.slow
def test_chart_renders_with_the_values_of_the_page() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    values: dict[str, Any] = yaml.safe_load(example)
    for path, value in re.findall(r"--set ((?:image|ingress)\.\w+)=(\S+)", PAGE):
        section, name = path.split(".")
        values.setdefault(section, {})[name] = {"true": True}.get(value, value)
    things = rendered(values)
    assert sorted(names(things, "Deployment")) == ["web", "worker-main", "worker-payments"]
    given = variables_of(one(things, "Deployment", "worker-payments"))
    assert {"TEAMS", "COUNTERSIGN_KEY_FILE", "OPENAI_API_KEY_FILE"} <= given.keys()
    secrets = re.findall(r"secret generic ([\w-]+)", PAGE)
    assert secrets == ["countersign-web", "countersign-worker"]
    for name, secret in zip(("web", "worker-main"), secrets, strict=True):
        [used] = {
            source["secret"]["name"]
            for volume in one(things, "Deployment", name)["spec"]["template"]["spec"]["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
        }
        assert used == secret
