"""Command lines that read well in a terminal and are plain when piped.

Exit statuses: 0 if all is well, 1 if what was checked has problems, 2 if it could not be done.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from countersign.domain.errors import CountersignError, WrongSettings


def command_line(about: str, *, add_completion: bool = False) -> typer.Typer:
    """Make the app of a command with verbs; `add_completion` for the shells."""
    return typer.Typer(
        help=about,
        no_args_is_help=True,
        add_completion=add_completion,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if sys.stdout.isatty() else None,
    )


def run(app: typer.Typer, arguments: Sequence[str], name: str) -> int:
    """Run a command line and return its exit status.

    Errors are sentences on standard error.
    """
    try:
        app(list(arguments), prog_name=name)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:  # whoever read it has enough
        sys.stderr.close()
        return 0
    except WrongSettings as wrong:
        print("\n".join(wrong.problems), file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or 'The file'}: {error.strerror}.", file=sys.stderr)
    except (CountersignError, ValueError, OverflowError) as wrong:
        print(wrong, file=sys.stderr)
    return 2


def printable(text: str) -> str:
    """Replace by U+FFFD what a terminal would obey, or show as nothing."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table: with lines in a terminal, in aligned columns where it is piped."""
    rows = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        if title:
            print(title)
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        for row in (columns, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    table = Table(*columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console(highlight=False).print(table)


@contextmanager
def progress(doing: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Show how far long work is, on standard error if that is a terminal.

    Yields a function that counts one step.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    if bar.disable:
        yield lambda: None
        return
    with bar:
        task = bar.add_task(doing, total=total)
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            if done % 1000 == 0:
                bar.update(task, completed=done)

        yield step
