"""Shell scripts as their commands, read by tree-sitter's grammar for bash.

Text is never matched: `r''m -r -f x`, `sudo rm -fr x`, `bash -c "rm -rf x"` and `for f in *; do rm -r "$f"; done` all
have the command `rm` with its options. Where the grammar cannot say what runs, the script says so in `unclear`: the
name of a program that is made when it runs, `eval` of such a text, a shell that reads its script from a pipe, a script
that is not valid bash.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Parser

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
_NAMING: Final = frozenset({"variable_assignment", "word", "string", "raw_string", "concatenation"})
_EVALUATED: Final = re.compile(r"@P\}|\[[^\]]*(?:\$\(|`)")
"""What bash evaluates though it is a text: `${x@P}`, and the index of an array in arithmetic."""
_SETTING: Final = re.compile(rf"({_DECIDING.pattern})(?:\+?=|\[)")
_READ_OTHERWISE: Final = re.compile(r"[\r\v\f]|\\\t|\S\\\n\S")
"""Where the grammar and bash disagree about the end of a word: `echo a\\r#; git push`, `git pu\\<newline>sh`."""
_REGISTERING: Final = frozenset({"trap", "alias", "hash", "compgen", "complete", "mapfile", "readarray", "enable"})
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
    unclear += ["its words can't be told apart"] if _READ_OTHERWISE.search(text) else []
    nodes = [*_all(root)]
    behind = _behind_redirections(nodes)
    for node in nodes:
        if node.type == "command":
            found = _command(node, depth, behind.get(node.end_byte, []))
            commands += found.commands
            writes += found.writes
            unclear += found.unclear
        elif node.type == "file_redirect" and (written := _written(node)) is not None:
            writes += written
        elif node.type in _NAMING and (named := _SETTING.match(_text(node).lstrip("\"'"))):
            unclear.append(f"it sets {named[1]}, which decides what runs")
        elif node.type == "for_statement" and _DECIDING.fullmatch(_text(node.children[1])):
            unclear.append(f"it sets {_text(node.children[1])}, which decides what runs")
        elif node.type in ("raw_string", "string", "expansion") and _EVALUATED.search(_text(node)):
            unclear.append("a text in it may be run as a command")
    return ShellScript(tuple(commands), tuple(writes), tuple(dict.fromkeys(unclear)))


def _behind_redirections(nodes: "list[Node]") -> "dict[int, list[Node]]":
    """Return arguments that stand behind a redirection, by the end of their command.

    The grammar has them as parts of the redirection: `git 2>&1 push`, `git <<EOF push`.
    """
    ends = sorted(node.end_byte for node in nodes if node.type == "command")
    found: dict[int, list[Node]] = {}
    for one in nodes:
        more = []
        if one.type == "file_redirect":
            more = one.children_by_field_name("destination")[1:]
        elif one.type == "heredoc_redirect":
            more = one.children_by_field_name("argument")
        if more and (place := bisect_right(ends, one.start_byte)):
            found.setdefault(ends[place - 1], []).extend(more)
    return found


def _command(node: "Node", depth: int, more: "list[Node]") -> ShellScript:
    """Read one command, and the script in its arguments if it has one."""
    named = node.child_by_field_name("name")
    parts = [*node.children_by_field_name("argument"), *more]
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
    if first.program in ("read", "printf", "getopts") and any(word and _DECIDING.fullmatch(word) for word in words):
        unclear.append(f"{first.program} sets a variable that decides what runs")
    if first.program in _REGISTERING:
        unclear.append(f"{first.program} names what runs later, or under another name")
    if first.program in _WRAPPERS:
        words += [None] if first.program in ("xargs", "parallel") else []  # more comes from standard input
        unclear += _unknown_inner(words)
        starts = [place for place, word in enumerate(words) if place and word is not None and word[:1] != "-"]
        commands += [ShellCommand(tuple(words[place:]), perhaps=True) for place in starts]
    for command in commands:
        inner_of_wrapper = (
            command.perhaps
            and first.program in ("command", "builtin")
            and command.words == first.words[-len(command.words) :]
        )
        if command.program in _SHELLS or (
            command.program in ("eval", "source", ".") and (not command.perhaps or inner_of_wrapper)
        ):
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
    rest, is_text = iter(arguments), False
    for word in rest:
        if word is None:
            return [], [
                f"{name} -c runs a text that is made when it runs" if is_text else "it runs the commands of a file"
            ]
        if word in ("--rcfile", "--init-file"):
            return [], ["it runs the commands of a file"]
        if word in ("-", "--"):
            word = next(rest, None)
        elif word[:1] in ("-", "+"):  # an option; the text stands behind all of them
            is_text |= word[:1] == "-" and word[:2] != "--" and "c" in word
            if word[:2] != "--" and word[-1:] in ("o", "O"):
                next(rest, None)
            continue
        if is_text:
            return ([word], []) if word is not None else ([], [f"{name} -c runs a text that is made when it runs"])
        return [], ["it runs the commands of a file"]
    if is_text:
        return [], [f"{name} -c runs a text that is made when it runs"]
    return [], [f"{name} reads its commands from standard input"]


def _unknown_inner(words: list[Word]) -> list[str]:
    """Say why nobody knows which program a wrapper runs: its name is made when it runs, or it reads a script."""
    wrapper = PurePosixPath(words[0] or "").name
    why = f"{wrapper} runs a program whose name, or a script which, is made when it runs"
    if (
        wrapper in ("watch", "parallel")
        or any(
            word is not None and re.match(r"-\w*[SI]|--split|--replace|-i", word) and wrapper in ("env", "xargs")
            for word in words
        )
        or (wrapper == "flock" and {"-c", "--command"} & {*words})
    ):
        return [why]
    operands = [
        word for place, word in enumerate(words[1:], 1) if word is None or not re.match(r"[-+]|[\d.]+\w?$|\w+=", word)
    ]
    if wrapper == "find":
        operands = [after for word, after in pairwise(words) if word and re.match(r"-(exec|ok)", word)]
    return [why] if operands and (operands[0] is None or _GLOB.search(operands[0])) else []


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


def _parser() -> "Parser":
    """Make a parser. Each is used once: the grammar keeps state, and a worker with an old one crashed."""
    from tree_sitter import Parser

    return Parser(_language())


@cache
def _language() -> "Language":
    import tree_sitter_bash
    from tree_sitter import Language

    return Language(tree_sitter_bash.language())
