"""How the code is written: short files, docstrings that begin with a sentence, words where people look for them."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.test_imports import HERE, modules

LONGEST = 600


def test_source_files_are_short() -> None:
    """A module is about one thing; most have fewer than 300 lines."""
    long = {
        str(path.relative_to(HERE)): lines
        for _, path in modules()
        if (lines := len(path.read_text().splitlines())) > LONGEST
    }
    assert not long, f"over {LONGEST} lines: {long}"


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


SHARED = {
    "Run": "what `web` stores, and what a team sees of it",
    **dict.fromkeys(("Call", "Question"), "a program's is what it sends to the service"),
    "Decision": "a program's is what the service's tells it",
    "RunModel": "one for each framework",
    "SlackApproval": "one for each framework, whose people know it by this name",
    "SlackApprovals": "one for each framework, whose people know it by this name",
    **dict.fromkeys(("Status", "Step", "Verb"), "a request and a run change by the same kind of rule"),
}
"""Names of more than one class, and why. A port and what implements it are one thing."""


def test_class_names_are_unique() -> None:
    """So that whoever looks for a name finds one thing."""
    classes = [
        node.name
        for name, path in modules()
        if name.partition(".")[0] in ("bot", "countersign")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name[0] != "_" and "Protocol" not in map(ast.unparse, node.bases)
    ]
    assert {name for name, times in Counter(classes).items() if times > 1} == SHARED.keys()


WORDED: dict[str, str] = {
    "bot/slack/answer_check.py": "what is wrong, for the operator of `web`",
    "bot/slack/app.py": "wrong settings, for whoever starts `web`",
    "bot/slack/health.py": "what is wrong, for whoever runs `web`",
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


def test_sentences_for_people_stand_in_views_only() -> None:
    """Who edits the words opens one file for each area, and finds every sentence of it."""
    slack = HERE / "bot" / "slack"
    spoken = {
        str(path.relative_to(HERE)): found
        for path in sorted(slack.rglob("*.py"))
        if path.relative_to(slack).parts[0] != "views"
        and (found := [text for text in sentences(path) if SENTENCE.search(text)])
    }
    assert spoken.keys() == WORDED.keys(), {name: spoken.get(name) for name in spoken.keys() ^ WORDED.keys()}


def test_no_test_measures_time() -> None:
    """R34: how long something takes says more of the machine than of what is tested."""
    clocks = re.compile(r"\b(monotonic|perf_counter|process_time)\b")
    measuring = [path.name for path in (HERE / "tests").rglob("test_*.py") if clocks.search(path.read_text())]
    assert measuring == [Path(__file__).name]


def test_files_name_no_machine_specific_path() -> None:
    ours = [path for folder in HERE.glob("[!.]*/") for path in folder.rglob("*") if path.suffix in (".py", ".md")]
    for path in (*HERE.glob("*.md"), *ours, HERE / "Makefile", HERE / "requirements.lock"):
        if path != Path(__file__).resolve():
            assert not re.search(r"/(work|root|home)/\w", path.read_text()), path
