"""docs/adapters.md: what its `pip install` lines bring is what its examples import, by the packages' own metadata."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from sys import stdlib_module_names

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.adapters.framework_programs import HERE, examples
from tests.test_wheel import UV

pytestmark = pytest.mark.slow

SECTIONS = {
    "OpenAI Agents SDK": (),
    "Microsoft Agent Framework": ("agent-framework-openai",),
    "AG2's classic agents": ("openai",),
    "AG2's new agents": ("openai",),
    "LangChain and LangGraph": ("langchain-openai", "openai"),
    "pydantic-ai": ("openai",),
}
"""What the model of each example needs, which no import of the example names."""
OURS = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]


def wanted(name: str, extra: str) -> list[str]:
    """What a distribution requires, with this extra or "" without any."""
    if name == "countersign-slack":
        return [*OURS["optional-dependencies"][extra]] if extra else [*OURS["dependencies"]]
    try:
        return distribution(name).requires or []
    except PackageNotFoundError:  # openai-agents has the name of a folder of ours, and is not in this environment
        assert name == "openai-agents"
        return []


def brought(line: str) -> set[str]:
    """The names of all distributions that such a line installs."""
    known = set[tuple[str, str]]()

    def add(requirement: Requirement) -> None:
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) not in known:
                known.add((name, extra))
                for one in map(Requirement, wanted(name, extra)):
                    if one.marker is None or one.marker.evaluate({"extra": extra}):
                        add(one)

    for requirement in re.findall(r'[^\s"]+', line):
        add(Requirement(requirement))
    return {name for name, _ in known}


def imported(code: str) -> Iterator[str]:
    """The modules of others that a program imports."""
    for node in ast.walk(ast.parse(code)):
        names = (
            [one.name for one in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        yield from (
            name for name in names if name.split(".")[0] not in {*stdlib_module_names, "countersign", "my_models"}
        )


@cache
def owner(module: str) -> str:
    """The distribution that has this module: several may share one package, as those of LangGraph do."""
    if module == "agents":
        return "openai-agents"
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None, module
    path = Path(spec.origin)
    for name in packages_distributions()[module.split(".")[0]]:
        if any(path == Path(str(file.locate())) for file in distribution(name).files or ()):
            return canonicalize_name(name)
    raise AssertionError(module)


@pytest.mark.parametrize("section", SECTIONS)
def test_documented_install_line_covers_its_examples_imports(section: str) -> None:
    text = (HERE / "docs" / "adapters.md").read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    (line,) = re.findall(r"`pip install (.+?)`", text)
    installed = brought(line)
    for code in examples("adapters.md", section):
        assert {owner(module) for module in imported(code)} <= installed
    assert installed >= set(SECTIONS[section])


@pytest.mark.parametrize(
    ("adapter", "package", "extra"),
    [
        *(
            ("ag2", "ag2", "ag2"),
            ("ag2_classic", "autogen", "ag2-classic"),
            ("langgraph", "langchain_core", "langgraph"),
            ("pydantic_ai", "pydantic_ai", "pydantic-ai"),
            ("claude_agent", "claude_agent_sdk", "claude-agent"),
            ("strands", "strands", "strands"),
            ("google_adk", "google.adk", "google-adk"),
        ),
        *(("agent_framework", "agent_framework", "agent-framework"), ("openai_agents", "agents", "openai-agents")),
    ],
)
def test_adapter_without_its_package_names_the_extra(adapter: str, package: str, extra: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; import countersign.frameworks.{adapter}"
    ended = subprocess.run([sys.executable, "-c", program], cwd=HERE, capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1].endswith(f"Run: pip install 'countersign-slack[{extra}]'")


def test_documented_package_conflicts_are_real() -> None:
    """By the packages' own words, so that the sentence goes when they change them."""

    def versions(name: str, extra: str, of: str) -> list[str]:
        asked = [one for one in map(Requirement, distribution(name).requires or []) if one.name == of]
        return [str(one.specifier) for one in asked if one.marker is not None and one.marker.evaluate({"extra": extra})]

    assert versions("autogen", "openai", "openai") == ["<3.0,>=2.44.0"]
    assert versions("ag2", "openai", "openai") == ["<4,>=3.27.0"]
    assert versions("ag2", "mcp", "mcp") == versions("agent-framework-core", "all", "mcp") == ["<3,>=2.2.0"]
    assert "mcp<2" in OURS["optional-dependencies"]["mcp"]
    page = " ".join((HERE / "docs" / "adapters.md").read_text().split())
    assert "`autogen[openai]` takes openai below 3, `ag2[openai]` 3.27 or newer" in page
    assert "`mcp` below 2, and `ag2[mcp]` and the full `agent-framework` 2.2 or newer" in page


def test_all_extras_resolve_together() -> None:
    """In one environment, as docs/adapters.md says: `uv` finds versions that suit all of them."""
    command = (UV, "pip", "compile", "pyproject.toml", "--all-extras", "--universal", "--quiet", "--no-header")
    resolved = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    assert resolved.returncode == 0, resolved.stderr
    pinned = {canonicalize_name(line.partition("==")[0]) for line in resolved.stdout.splitlines() if "==" in line}
    named = {
        canonicalize_name(Requirement(one).name) for extra in OURS["optional-dependencies"].values() for one in extra
    }
    assert named - {canonicalize_name("countersign-slack")} <= pinned
