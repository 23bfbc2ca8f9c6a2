"""The documents tell the truth: settings, diagrams, rules, ways of working, links, and why a package is needed."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from bot.settings import WebSettings
from countersign.domain import requests, runs
from countersign.metrics import REGISTRY, Repair
from countersign.process_settings import WorkerSettings, variables

HERE = Path(__file__).resolve().parent.parent
README = (HERE / "README.md").read_text()
ADAPTERS = (HERE / "docs" / "adapters.md").read_text()


@pytest.mark.parametrize("kind", [WebSettings, WorkerSettings])
def test_every_setting_is_documented_with_its_description(kind: type[WebSettings] | type[WorkerSettings]) -> None:
    page = (HERE / "docs" / "operations.md").read_text()
    for name, description in variables(kind).items():
        assert re.search(rf"^\| `{name}` \|.*\| {re.escape(description)} \|$", page, re.M), f"{name}: {description}"


def diagram(title: str) -> set[tuple[str, str, str]]:
    """The arrows of the Mermaid diagram with that title: (from, verb, to)."""
    page = (HERE / "docs" / "architecture.md").read_text()
    found = re.search(rf"```mermaid\n---\ntitle: {title}\n---\n(.*?)```", page, re.S)
    assert found, f"no diagram “{title}” in docs/architecture.md"
    return set(re.findall(r"^\s*(\w+) --> (\w+): (.+)$", found[1], re.M))


def test_diagram_of_a_request_shows_its_moves() -> None:
    arrows = {(a, to, verb) for a, moves in requests.MOVES.items() for verb, to in moves.items()}
    assert diagram("A request") == arrows


def test_diagram_of_a_run_shows_its_moves() -> None:
    arrows = {(a, to, verb) for a, moves in runs.MOVES.items() for verb, to in moves.items()}
    assert diagram("A run") == arrows


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose first row begins so, links and bold type taken off."""
    lines = text[text.index(f"\n{first}") + 1 :].split("\n\n")[0].splitlines()
    plain = [re.sub(r"\*\*|\[([^]]*)\]\([^)]*\)", r"\1", line) for line in lines if not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in plain]


def test_readme_and_comparison_page_agree_about_peers() -> None:
    (_, *tools), *rows = table((HERE / "docs" / "compared.md").read_text(), "| | Countersign |")
    page = {feature: dict(zip(tools, cells, strict=True)) for feature, *cells in rows if any(cells)}
    features = {
        "named reviewers": "Named reviewers",
        "one of two clicks decides": "Of two clicks at once, one decides",
        "edit before approving": "Change the arguments before approving",
        "started at most once, whatever crashes": "An action is started at most once all the same",
        "record of refused attempts": "A record of attempts, refused ones too",
    }
    (_, *shown), *peers = table(README, "| | named reviewers |")
    assert shown == list(features) and len(peers) == len(tools)
    for peer, *cells in peers:
        (tool,) = [tool for tool in tools if tool in peer]
        assert cells == [page[features[feature]][tool] for feature in shown], peer


def test_readme_quotes_the_programs_of_the_adapters_page() -> None:
    """Tests run the programs of docs/adapters.md; the README shows lines of them."""
    section = README.split("## LangGraph and the OpenAI Agents SDK\n")[1].split("\n## ")[0]
    quoted = [line for code in re.findall(r"```python\n(.*?)```", section, re.S) for line in code.splitlines()]
    assert len(quoted) > 10
    assert {line.strip() for line in quoted} <= {line.strip() for line in ADAPTERS.splitlines()}


def test_readme_shows_a_small_recording() -> None:
    """`make recording` draws it; a README of many megabytes loads slowly."""
    path = HERE / "docs" / "pictures" / "recording.webp"
    assert f"({path.relative_to(HERE)})" in README.split("## Try it")[0]
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) >= 4
    assert path.stat().st_size < 600_000


SITE = (HERE / "mkdocs.yml").read_text().split("\nnav:\n")[1]
PAGES = sorted(path for path in (HERE / "docs").glob("*.md"))


def test_every_page_is_on_the_site() -> None:
    start = (HERE / "docs" / "README.md").read_text()
    for page in PAGES:
        assert f"docs/{page.name}" in SITE, page.name
        assert page.name == "README.md" or f"({page.name})" in start, page.name


LONG_PAGES = {
    "adapters.md": 2900,
    "audit.md": 1700,
    "gallery.md": 2000,
    "operations.md": 1910,
    "runbooks.md": 1900,
    "security.md": 2580,
    "write-a-team.md": 2000,
}
"""Pages with more than 1,500 words, and how many they may have; the numbers may only fall."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_have_at_most_1500_words_outside_tables(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    words = sum(len(line.split()) for line in prose.splitlines() if not line.startswith(("|", "[")))
    assert words <= LONG_PAGES.get(page.name, 1500)


def needs(project: dict[str, Any], extras: Iterable[str]) -> Iterator[str]:
    """Packages of the project, of these extras, and of the development group."""
    yield from (*project["project"]["dependencies"], *project["dependency-groups"]["dev"])
    for extra in extras:
        yield from project["project"]["optional-dependencies"][extra]


def test_every_dependency_has_a_reason_in_pyproject() -> None:
    """A comment of one line beside it."""
    text = (HERE / "pyproject.toml").read_text()
    project = tomllib.loads(text)
    for need in needs(project, project["project"]["optional-dependencies"]):
        assert re.search(rf"^\s*\"{re.escape(need)}\",\s+# \S.{{10,}}$", text, re.M), f"{need} has no reason"


def test_lock_file_names_every_dependency() -> None:
    """Those of the extras that `make setup` installs."""
    lock = (HERE / "requirements.lock").read_text()
    extras = re.findall(r"--extra (\S+)", (HERE / "Makefile").read_text())
    for need in needs(tomllib.loads((HERE / "pyproject.toml").read_text()), extras):
        name = re.split(r"[\[<>=~ ]", need)[0].lower()
        assert re.search(rf"^{re.escape(name)}(\[[^]]*\])?==", lock, re.M), f"{need}: run make lock"


def test_every_untyped_package_has_a_reason() -> None:
    text = (HERE / "pyproject.toml").read_text()
    for exceptions in tomllib.loads(text)["tool"]["mypy"]["overrides"]:
        for module in exceptions["module"]:
            assert re.search(rf"^\s*\"{re.escape(module)}\",\s+# \S.{{10,}}$", text, re.M), f"{module} has no reason"


def test_all_python_of_this_tree_is_type_checked() -> None:
    checked = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]["mypy"]["packages"]
    assert set(checked) == {path.parent.name for path in HERE.glob("*/*.py")}


def test_every_kind_of_repair_has_a_tested_row() -> None:
    """In the table of docs/operations.md, with a test."""
    rows = (HERE / "docs" / "operations.md").read_text()
    for kind in Repair:
        assert re.search(rf"^\|[^|]+\| `{kind}` \|.*`tests/\S+::test_\w+` \|$", rows, re.M), kind


def test_every_metric_is_documented() -> None:
    rows = (HERE / "docs" / "operations.md").read_text()
    for family in REGISTRY.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert name.startswith("process_") or re.search(rf"^\|.*`{name}[`{{]", rows, re.M), name


def test_make_help_describes_every_target() -> None:
    text = (HERE / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.+)$", text, re.M)
    assert re.findall(r"^([a-z-]+):.*## \S", text, re.M) == phony.split()


def test_procfile_names_the_two_processes() -> None:
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


def test_every_rule_has_a_row_with_its_tests() -> None:
    """In docs/rules.md; each test's docstring names the rule."""
    page = (HERE / "docs" / "rules.md").read_text()
    rows = {
        int(n): re.findall(r"`(tests/\S+)`", tests) for n, tests in re.findall(r"^\| R(\d+) \|.+\|(.+)\|$", page, re.M)
    }
    assert list(rows) == sorted(rows)
    assert {*range(1, 37)} <= rows.keys() <= {*range(1, 50)}
    named = rules_of_tests()
    assert [
        (rule, test) for rule, tests in rows.items() for test in tests or [""] if rule not in named.get(test, ())
    ] == []


def test_every_way_of_working_has_a_tested_row() -> None:
    """In docs/ways-of-working.md, with its place and its test."""
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


def test_every_relative_link_leads_to_a_file() -> None:
    for page in (*HERE.glob("*.md"), *(HERE / "docs").rglob("*.md")):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), (page.name, link)


PUBLIC = ("countersign", "countersign.client", "countersign.teams", "countersign.teams.conversation")


def test_documents_import_only_public_names() -> None:
    """The modules of docs/api.md, and for other frameworks the names that docs/adapters.md shows (docs/api.md)."""
    pages = [README, *(page.read_text() for page in (HERE / "docs").rglob("*.md"))]
    imports = {
        found for page in pages for found in re.findall(r"from (countersign[\w.]*) import (\([^)]*\)|[\w, ]+)", page)
    }
    assert len(imports) > 10
    for module, names in imports:
        named = set(re.findall(r"\w+", names))
        if module in PUBLIC:
            assert named <= set(import_module(module).__all__), (module, names)
            continue
        assert module.startswith("countersign.frameworks."), module
        assert f"from {module} import" in ADAPTERS, module
        place = HERE / module.replace(".", "/")
        body = ast.parse((place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).read_text()).body
        assert named <= {node.name for node in body if hasattr(node, "name")}, (module, names)
