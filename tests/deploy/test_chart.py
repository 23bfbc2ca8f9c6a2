"""The chart: Helm lints and renders it, the schemas of three Kubernetes accept it, and bad values are refused."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.settings import WebSettings
from countersign.process_settings import CommonSettings, WorkerSettings, secret_files, variables

HERE = Path(__file__).resolve().parents[2]
CHART = HERE / "deploy" / "helm" / "countersign"
PYTHON = HERE / ".deploy" / "bin" / "python"
PROCESSES: dict[str, type[CommonSettings]] = {"web": WebSettings, "worker": WorkerSettings}
KUBERNETES = ("1.31.0", "1.34.0", "1.37.0")
NOT_OF_KUBERNETES = {"ServiceMonitor", "PrometheusRule"}
RENDER = """
import json, sys
import helm_python
chart, values = sys.argv[1], json.load(sys.stdin)
helm_python.Chart.load(chart).validate_schema(values)
report = helm_python.lint(chart, values, strict=True)
files = helm_python.Chart.load(chart).render(values, name="approvals", namespace="prod")
wrong = [message["error"] for message in report["messages"] if message["severity"] > 1]
json.dump({"files": files, "lint": wrong + report["errors"]}, sys.stdout)
"""
VALIDATE = """
import json, sys
import kubernetes_validate
problems = []
for thing in json.load(sys.stdin):
    for version in sys.argv[1:]:
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.ValidationError as wrong:
            problems.append(f"{version} {thing['kind']}: {wrong.message}")
json.dump(problems, sys.stdout)
"""
KEY = {"name": "approvals", "key": "x"}
SOCKET_MODE = {"REDIS_URL": KEY, "SLACK_BOT_TOKEN": KEY, "SLACK_APP_TOKEN": KEY, "SLACK_SIGNING_SECRET": None}
ALL: dict[str, Any] = {
    "image": {"repository": "registry.example.com/countersign", "digest": f"sha256:{'a' * 64}"},
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {"NAMESPACE": "shop", "LOG_LEVEL": "DEBUG"},
    "web": {"replicas": 3, "settings": {"QUORUM": 2, "OWN_REQUESTS": False}, "preStop": {"sleep": {"seconds": 5}}},
    "ingress": {"enabled": True, "host": "approvals.example.com", "className": "nginx", "tlsSecret": "tls"},
    "workers": {
        "main": {"autoscaling": {"enabled": True}, "teams": "teams", "modelConfig": "models"},
        "payments": {
            "replicas": 1,
            "secrets": {"REDIS_URL": {"name": "payments", "key": "url"}, "COUNTERSIGN_KEY": KEY, "OPENAI_API_KEY": KEY},
            "data": {"persistentVolumeClaim": {"claimName": "payments"}},
            "egress": [],
        },
    },
    "networkPolicy": {"monitoring": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "rules": 'groups:\n- name: x\n  rules:\n  - alert: A\n    expr: "{{ 1 }}"\n'},
}


def tool(program: str, given: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    if not PYTHON.exists():
        pytest.skip("Helm and the schemas of Kubernetes are not installed: run make deploy-tools")
    return subprocess.run([PYTHON, "-c", program, *arguments], input=json.dumps(given), text=True, capture_output=True)


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    done = tool(RENDER, values, str(CHART))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["lint"] == []
    texts = [text for name, text in told["files"].items() if name.endswith(".yaml")]
    return [thing for text in texts for thing in yaml.safe_load_all(text) if thing]


def problems(things: list[dict[str, Any]], *versions: str) -> list[str]:
    done = tool(VALIDATE, [thing for thing in things if thing["kind"] not in NOT_OF_KUBERNETES], *versions)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def names(things: list[dict[str, Any]], kind: str) -> list[str]:
    return [
        thing["metadata"]["name"].removeprefix("approvals-countersign-") for thing in things if thing["kind"] == kind
    ]


def one(things: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    [found] = [
        thing
        for thing in things
        if (thing["kind"], thing["metadata"]["name"]) == (kind, f"approvals-countersign-{name}".rstrip("-"))
    ]
    return found


def variables_of(deployment: dict[str, Any]) -> dict[str, str]:
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


@pytest.fixture(scope="module")
def default() -> list[dict[str, Any]]:
    return rendered({})


@pytest.fixture(scope="module")
def full() -> list[dict[str, Any]]:
    return rendered(ALL)


def test_chart_refuses_secrets_and_its_own_settings() -> None:
    """Each secret comes by reference; the schema's list is complete."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    [refused, _] = schema["definitions"]["settings"]["propertyNames"]["not"]["anyOf"]
    secrets = {*secret_files(WebSettings), *secret_files(WorkerSettings)}
    own = set(re.findall(r"\{name: ([A-Z_]+), value", (CHART / "templates" / "_helpers.tpl").read_text()))
    for template in ("web.yaml", "workers.yaml"):
        own |= set(re.findall(r'"([A-Z_]{4,})" ["(]', (CHART / "templates" / template).read_text()))
    assert {"OPS_PORT", "API_URL", "TEAMS"} < own
    assert set(refused["enum"]) == secrets | own


@pytest.mark.slow
def test_chart_is_valid_for_three_versions_of_kubernetes(
    default: list[dict[str, Any]], full: list[dict[str, Any]]
) -> None:
    assert problems(default, *KUBERNETES) == []
    assert problems(full, *KUBERNETES) == []
    socket_mode = rendered({"web": {"secrets": SOCKET_MODE}})
    assert names(socket_mode, "Service") == ["api"]
    assert problems(socket_mode, KUBERNETES[-1]) == []
    assert problems([default[0] | {"spec": {"podSelectr": {}}}], *KUBERNETES) != [], "the schemas are strict"


@pytest.mark.slow
def test_chart_sets_only_settings_that_exist(full: list[dict[str, Any]]) -> None:
    for name in names(full, "Deployment"):
        kind = PROCESSES[name.split("-")[0]]
        known = {*variables(kind), *secret_files(kind).values()}
        given = variables_of(one(full, "Deployment", name))
        assert given.keys() - {"OPENAI_API_KEY_FILE"} <= known, name
        assert not secret_files(kind).keys() & given.keys(), name


@pytest.mark.slow
def test_pods_have_no_privileges_and_are_probed(full: list[dict[str, Any]]) -> None:
    for name in names(full, "Deployment"):
        pod = one(full, "Deployment", name)["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        probes = {
            probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")
        }
        assert probes == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
        assert {"name": "ops", "containerPort": int(variables_of(one(full, "Deployment", name))["OPS_PORT"])} in (
            container["ports"]
        )
        assert container["image"].endswith(f"/countersign@sha256:{'a' * 64}")


@pytest.mark.slow
def test_each_worker_group_has_its_own_teams_and_secrets(full: list[dict[str, Any]]) -> None:
    groups = ["worker-main", "worker-payments"]
    for kind in ("Deployment", "PodDisruptionBudget", "NetworkPolicy"):
        assert sorted(names(full, kind)) == ["web", *groups]
    main, payments = (one(full, "Deployment", name) for name in groups)
    assert "replicas" not in main["spec"] and payments["spec"]["replicas"] == 1
    assert names(full, "HorizontalPodAutoscaler") == ["worker-main"]
    [metric] = one(full, "HorizontalPodAutoscaler", "worker-main")["spec"]["metrics"]
    assert metric["external"]["metric"] == {
        "name": "countersign_waiting",
        "selector": {"matchLabels": {"what": "runs"}},
    }
    assert variables_of(payments)["COUNTERSIGN_KEY_FILE"] == "/run/secrets/countersign/COUNTERSIGN_KEY"
    assert "COUNTERSIGN_KEY_FILE" not in variables_of(main)
    mounted = {
        entry["secret"]["name"]
        for volume in payments["spec"]["template"]["spec"]["volumes"]
        for entry in volume.get("projected", {}).get("sources", [])
    }
    assert mounted == {"payments", "approvals"}, "no secret of another group"
    assert variables_of(main)["TEAMS"] == "/teams" and "TEAMS" not in variables_of(payments)


@pytest.mark.slow
def test_network_policy_limits_workers_to_web_and_redis(full: list[dict[str, Any]]) -> None:
    """And opens web's Slack port alone to everybody."""
    policy = one(full, "NetworkPolicy", "worker-payments")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [[port["port"] for port in rule["ports"]] for rule in policy["egress"]] == [[53, 53], [6379], ["api"]]
    [monitoring] = policy["ingress"]
    assert [port["port"] for port in monitoring["ports"]] == ["ops"]
    web = one(full, "NetworkPolicy", "web")["spec"]["ingress"]
    open_to_all = [rule["ports"][0]["port"] for rule in web if {"ipBlock": {"cidr": "0.0.0.0/0"}} in rule["from"]]
    assert open_to_all == ["slack"]


@pytest.mark.slow
def test_monitoring_resources_match_the_prometheus_operator(full: list[dict[str, Any]]) -> None:
    rule = one(full, "PrometheusRule", "")
    assert rule["spec"]["groups"][0]["rules"] == [{"alert": "A", "expr": "{{ 1 }}"}]
    monitor = one(full, "ServiceMonitor", "")["spec"]
    service = one(full, "Service", "ops")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"web": {"settings": {"SLACK_BOT_TOKEN": "xoxb-1"}}}, "SLACK_BOT_TOKEN"),
        ({"settings": {"REDIS_URL_FILE": "/x"}}, "REDIS_URL_FILE"),
        ({"web": {"settings": {"PORT": 1}}}, "PORT"),
        ({"web": {"secrets": {"REDIS_URL": "redis://:secret@host"}}}, "REDIS_URL"),
        ({"web": {"replica": 3}}, "replica"),
        ({"web": {"auditKey": None}}, "auditKey"),
        ({"web": {"secrets": {"REDIS_URL": None}}}, "REDIS_URL"),
        ({"web": {"replicas": 5, "secrets": SOCKET_MODE}}, "at most 4 with Socket Mode"),
        ({"web": {"secrets": SOCKET_MODE}, "ingress": {"enabled": True, "host": "h"}}, "Slack sends no requests"),
        ({"web": {"secrets": {"SLACK_SIGNING_SECRET": None}}}, "SLACK_SIGNING_SECRET (signed HTTP) or SLACK_APP_TOKEN"),
        ({"ingress": {"enabled": True}}, "ingress.host"),
        ({"workers": {"Payments": {"secrets": {"REDIS_URL": KEY}}}}, "Payments"),
        ({"workers": {"payments": {"replicas": 2}}}, "secrets"),
        ({"prometheusRule": {"enabled": True}}, "prometheusRule.rules"),
        ({"networkPolicy": {"redisPorts": []}}, "redisPorts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_chart_values_are_refused(values: dict[str, Any], said: str) -> None:
    done = tool(RENDER, values, str(CHART))
    assert done.returncode != 0
    assert said in done.stderr
