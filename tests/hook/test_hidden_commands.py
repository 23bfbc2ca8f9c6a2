"""Ways to write a command so that a reader of the script may miss it; each was played with a real bash."""

import pytest

from countersign.hook.shell_commands import read_script


@pytest.mark.parametrize(
    "script",
    [
        *(
            "git 2>&1 push origin",
            "git >/dev/null push",
            "git <x push",
            "git &>/dev/null push",
            "git <<EOF push\nx\nEOF",
        ),
        *("ls | git 2>&1 push | cat", "command >/dev/null git push"),
        *("bash -c -- 'git push'", "bash -c -e 'git push'", "bash -c +e 'git push'", "bash -co pipefail 'git push'"),
        *("command eval 'git push'", "builtin eval 'git push'"),
    ],
)
def test_command_is_recognised_in_every_spelling(script: str) -> None:
    """R28: what a rule sees is what runs."""
    assert any(command.words[:2] == ("git", "push") for command in read_script(script).commands)


@pytest.mark.parametrize(
    "script",
    [
        *("sh evil.sh -c true", "bash --rcfile evil.sh -ic true"),
        *("g=git; command $g push", "env $g push", 'timeout 5 "$g" push', 'find . -exec "$r" -rf {} \\;'),
        *("echo 'git push' | xargs -I% sh -c %", "env -S 'git push'", "flock f -c 'git push'", "watch 'git push'"),
        *("echo a\r#; git push", "echo a\v#; git push", "git pu\\\nsh", "gi\\\nt push"),
        *('export "PATH=/x"', "declare -x 'PATH=/x'", "for PATH in /x; do ls; done", "read PATH <<< /x"),
        *("PATH+=:/x ls", "printf -v PATH /x", "hash -p /x/ls ls"),
        *("trap 'git push' EXIT", 'x=y; echo "${x@P}"', "a='b[$(git push)]'; ((a))", "alias g=git\ng push"),
    ],
)
def test_script_that_hides_its_command_is_unclear(script: str) -> None:
    assert read_script(script).unclear


@pytest.mark.parametrize(
    "script",
    [
        *(
            "cd sub && make > log.txt",
            "bash -lc 'ls -la'",
            "find . -name x | xargs grep foo",
            "npm test 2>&1 | tail -5",
        ),
        *("timeout 60 pytest -q", "rm *.o", 'echo "$HOME"', "git 2>&1 status", "git log \\\n  --oneline"),
    ],
)
def test_usual_scripts_stay_clear(script: str) -> None:
    """A session that asks fifty times is approved without a look."""
    assert not read_script(script).unclear
