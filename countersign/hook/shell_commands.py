"""Shell scripts as their commands, read by tree-sitter's grammar for bash.

Text is never matched: `r''m -r -f x`, `sudo rm -fr x`, `bash -c "rm -rf x"` and `for f in *; do rm -r "$f"; done` all
have the command `rm` with its options. Where the grammar cannot say what runs, the script says so in `unclear`: the
name of a program that is made when it runs, `eval` of such a text, a shell that reads its script from a pipe, a script
that is not valid bash.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

Word = str | None
"""A word as the program gets it; None if it is made when the script runs."""
LONGEST: Final = 100_000
"""Bytes of a script that is read; nobody would judge a longer one by its commands."""
_DEEPEST: Final = 10
_SHELLS: Final = frozenset({"sh", "bash", "zsh", "dash", "ksh", "ash", "fish"})
_INTERPRETERS: Final = re.compile(r"(python|pypy|perl|ruby|node|deno|bun|php|lua|Rscript|tclsh|osascript)[\d.]*")
_HARMLESS: Final = frozenset({"--version", "-V", "-v", "--help", "-h"})
_WRAPPERS: Final = frozenset(
    {"sudo", "doas", "env", "nohup", "time", "timeout", "nice", "ionice", "xargs", "command", "exec", "builtin"}
    | {"stdbuf", "setsid", "watch", "find", "parallel", "flock", "strace", "unshare", "chroot", "coproc", "busybox"}
)
"""Programs that run another one, which is named in their arguments."""
_DECIDING: Final = re.compile(r"(PATH|IFS|ENV|BASH_ENV|PROMPT_COMMAND|PS4|SHELL|LD_\w+|DYLD_\w+|GIT_\w*(SSH|EXEC)\w*)")
"""Variables that decide which program runs."""
_GLOB: Final = re.compile(r"[*?\[{~]")
_NOWHERE: Final = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"})
_WRITING: Final = frozenset({">", ">>", "&>", "&>>", ">|", "<>", ">&"})
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """One command.

    `perhaps`: only a guess, because a program such as `sudo` runs what its arguments name.
    """

    words: tuple[Word, ...]
    perhaps: bool = False

    @property
    def program(self) -> str:
        """The program's name without its folder."""
        first = self.words[0] or ""
        return PurePosixPath(first).name or first

    @property
    def prefix(self) -> str:
        """The program with its subcommand: `git push`, `npm run`, `rm`."""
        second = self.words[1] if len(self.words) > 1 else None
        plain = second is not None and re.fullmatch(r"[a-z][a-z0-9-]*", second)
        return f"{self.program} {second}" if plain else self.program


@dataclass(frozen=True, slots=True)
class ShellScript:
    """All commands of a script, and the files that its redirections write.

    `unclear` says why nobody can know beforehand what it runs.
    """

    commands: tuple[ShellCommand, ...]
    writes: tuple[Word, ...]
    unclear: tuple[str, ...]


def read_script(text: str) -> ShellScript:
    """Read a script."""
    return _read(text, 0)


def _read(text: str, depth: int) -> ShellScript:
    source = text.encode(errors="surrogatepass")
    if len(source) > LONGEST or depth > _DEEPEST:
        return ShellScript((), (), ("it is too long or too deeply nested to be read",))
    root = _parser().parse(source).root_node
    commands: list[ShellCommand] = []
    writes: list[Word] = []
    unclear = ["it is not a valid shell script"] if root.has_error else []
    for node in _all(root):
        if node.type == "command":
            found = _command(node, depth)
            commands += found.commands
            writes += found.writes
            unclear += found.unclear
        elif node.type == "file_redirect" and (written := _written(node)) is not None:
            writes += written
        elif node.type == "variable_assignment" and _DECIDING.fullmatch(name := _text(node).partition("=")[0]):
            unclear.append(f"it sets {name}, which decides what runs")
    return ShellScript(tuple(commands), tuple(writes), tuple(dict.fromkeys(unclear)))


def _command(node: "Node", depth: int) -> ShellScript:
    """Read one command, and the script in its arguments if it has one."""
    named = node.child_by_field_name("name")
    parts = node.children_by_field_name("argument")
    words = [_word(named.children[0]) if named is not None and len(named.children) == 1 else None]
    words += [_word(child) for child in parts]
    ends = [part.end_byte for part in (named, *parts) if part is not None]
    if any(end == part.start_byte for end, part in zip(ends, parts, strict=False)):  # one word, which was read as two
        return ShellScript((), (), ("its arguments can't be told apart",))
    if words[0] is None or _GLOB.search(words[0]):
        return ShellScript((), (), ("the name of a program is made when it runs",))
    first = ShellCommand(tuple(words))
    commands = [first]
    unclear = [f"it sets {word}" for word in words[1:] if first.program == "env" and _sets(word)]
    inner: list[str] = []
    if first.program in _WRAPPERS:
        starts = [place for place, word in enumerate(words) if place and word is not None and word[:1] != "-"]
        commands += [ShellCommand(tuple(words[place:]), perhaps=True) for place in starts]
    for command in commands:
        if command.program in _SHELLS or (command.program in ("eval", "source", ".") and not command.perhaps):
            text, why = _script_of(command)
            inner += text
            unclear += why
        elif _INTERPRETERS.fullmatch(command.program) and _is_bare(command):
            unclear.append(f"{command.program} reads its script from standard input")
    scripts = [_read(text, depth + 1) for text in inner]
    return ShellScript(
        (*commands, *(command for script in scripts for command in script.commands)),
        tuple(write for script in scripts for write in script.writes),
        (*unclear, *(why for script in scripts for why in script.unclear)),
    )


def _is_bare(command: ShellCommand) -> bool:
    """Tell whether an interpreter gets no script: it reads one from a pipe, or what an agent types later."""
    arguments = command.words[1:]
    return not any(word is None or word in _HARMLESS or word == "-" or word[:1] != "-" for word in arguments) or (
        "-" in arguments
    )


def _sets(word: Word) -> bool:
    return word is not None and "=" in word and bool(_DECIDING.fullmatch(word.partition("=")[0]))


def _script_of(command: ShellCommand) -> tuple[list[str], list[str]]:
    """Return the script that a shell or `eval` runs, or why it is not known."""
    name, arguments = command.program, command.words[1:]
    if name == "eval":
        if None in arguments:
            return [], ["eval runs a text that is made when it runs"]
        return [" ".join(word for word in arguments if word is not None)], []
    if name in ("source", "."):
        return [], ["it runs the commands of a file"]
    for place, word in enumerate(arguments):
        if word is not None and re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*", word):
            text = next(iter(arguments[place + 1 :]), None)
            return ([text], []) if text is not None else ([], [f"{name} -c runs a text that is made when it runs"])
    if any(word is None or word[:1] != "-" for word in arguments):
        return [], ["it runs the commands of a file"]
    return [], [f"{name} reads its commands from standard input"]


def _written(redirect: "Node") -> list[Word] | None:
    """Return the file that a redirection writes; None if it writes none."""
    operator = next((child.type for child in redirect.children if child.type in _WRITING), "")
    destination = redirect.child_by_field_name("destination")
    if not operator or destination is None or (operator == ">&" and destination.type == "number"):
        return None
    word = _word(destination)
    return None if word in _NOWHERE else [word]


def _word(node: "Node") -> Word:
    """Return a word as the program gets it; None if that is known only when it runs."""
    if node.type in ("word", "number"):
        return _ESCAPE.sub(r"\1", _text(node).replace("\\\n", ""))
    if node.type == "raw_string":
        return _text(node)[1:-1]
    if node.type == "string":
        if any(child.type not in ('"', "string_content") for child in node.children):
            return None
        return re.sub(r'\\([$`"\\\n])', r"\1", _text(node)[1:-1])
    if node.type == "concatenation":
        parts = [_word(child) for child in node.children]
        joined = "".join(part for part in parts if part is not None)
        return None if None in parts or re.search(r"[{}]", joined) else joined
    return None


def _all(root: "Node") -> Iterator["Node"]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def _text(node: "Node") -> str:
    return (node.text or b"").decode(errors="replace")


@cache
def _parser() -> "Parser":
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))
