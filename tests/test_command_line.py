"""`countersign` in a terminal and in a pipe: help, completion, progress."""

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from countersign.__main__ import main
from countersign.domain.hash_chain import START, Head, seal
from tests.audit.generated_record import entries
from tests.sample_requests import NOW


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("countersign au", ["audit"]),
        ("countersign audit re", ["receipt", "replay", "report"]),
        ("countersign audit report --si", ["--since"]),
        ("countersign policy s", ["schema", "suggest"]),
        ("countersign keys r", ["rotate", "revoke"]),
    ],
)
def test_shell_completes_commands_and_options(
    words: str, offered: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_COUNTERSIGN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    main([])
    assert capsys.readouterr().out.split() == offered


def test_every_help_line_is_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In eighty columns nothing is cut, and each command says what it does."""
    monkeypatch.setenv("COLUMNS", "80")
    for group in ((), ("audit",), ("policy",), ("keys",)):
        assert main([*group, "--help"]) == 0
        commands = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
        assert commands and all(line.endswith(".") and not line.endswith("...") for line in commands), commands


@pytest.mark.slow
def test_long_work_shows_progress_in_a_terminal_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing in a pipe."""
    head, record = START, tmp_path / "record.jsonl"
    with record.open("w") as lines:
        for entry in entries(3000, NOW):
            kept = seal(head, entry)
            head = Head(head.n + 1, kept.hash)
            lines.write(kept.line() + "\n")
    arguments = ["audit", "verify", str(record)]
    assert main(arguments) == 0
    piped = capsys.readouterr()
    assert piped.err == ""
    assert piped.out.startswith("3,000 entries, nothing changed, removed or moved.")
    shown, status = in_terminal((sys.executable, "-m", "countersign", *arguments))
    assert (status, "Verifying" in shown) == (0, True)


def in_terminal(command: tuple[str, ...]) -> tuple[str, int]:
    """What a program writes on its standard error where that is a terminal, and its exit status."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        while True:
            try:
                shown.append(os.read(ours, 4096))
            except OSError:  # the program has ended
                return

    reading = threading.Thread(target=read)
    reading.start()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    reading.join()
    os.close(ours)
    return b"".join(shown).decode(errors="replace"), done.returncode


def test_help_needs_no_server_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In a light installation it lists the same commands, and what to install for them."""
    assert main(["--help"]) == 0
    whole = capsys.readouterr().out.partition("Commands:\n")[2]
    monkeypatch.setitem(sys.modules, "typer", None)
    for arguments in ([], ["-h"], ["--help"]):
        assert main(arguments) == 0
        light = capsys.readouterr().out
        assert "pip install 'countersign-slack[server,autogen]'" in light
        listed = {line.split()[0] for line in light.partition("Commands:\n")[2].splitlines() if line[:2] == "  "}
        assert listed == {line.split()[0] for line in whole.splitlines() if line.strip()}
