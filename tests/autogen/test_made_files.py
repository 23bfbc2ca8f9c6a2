"""Files that approved code makes in its work folder: those, in bounds, and no others."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from autogen_core.code_executor import CodeBlock, CodeExecutor
from autogen_ext.code_executors.local import LocalCommandLineCodeExecutor

from countersign.domain.ids import RunId
from countersign.domain.made_files import MOST, LeftOut, MadeFile, Why, clean
from countersign.domain.requests import Verb
from countersign.frameworks.autogen.code.executors import LocalExecutor
from countersign.store.made_files import KEPT
from tests.autogen.harness import House
from tests.autogen.test_code_executors import executing
from tests.autogen.test_gated_tools import life

pytest_plugins = ["tests.redis_server"]
RUN = RunId("r1")
PLOT = """\
# filename: plot.py
from pathlib import Path
Path("plot.png").write_bytes(b"\\x89PNG\\r\\n")
Path("out").mkdir(exist_ok=True)
Path("out/rows of May?.csv").write_text("a,b")
Path("changed.txt").write_text("new")
Path(".hidden").write_text("no")
Path("large.bin").write_bytes(bytes(2_000_000))
Path("link.txt").symlink_to("/etc/passwd")
__import__("os").mkfifo("pipe")
"""


def own(folder: Path) -> CodeExecutor:
    return LocalExecutor(folder, timedelta(seconds=20))


def autogens(folder: Path) -> CodeExecutor:
    return LocalCommandLineCodeExecutor(timeout=20, work_dir=folder)


async def kept(house: House) -> dict[str, Any]:
    """Return the files of the run, by name."""
    made = house.store.made
    return {name: await made.content(RUN, key) for key, name in (await made.kept(RUN)).files.items()}


@pytest.mark.filterwarnings("ignore:Using LocalCommandLineCodeExecutor")
@pytest.mark.parametrize("make", [own, autogens])
async def test_only_new_small_files_of_code_are_kept(house: House, make: Any) -> None:
    """R13: not what was there, the code itself, what is hidden or too large, links, or pipes; once, for a week."""
    folder = house.folder / "code"
    folder.mkdir()
    for name in ("before.txt", "changed.txt"):
        (folder / name).write_text("old")
    await house.start()
    for life_ in range(2):
        async with life(house) as run:
            job = executing(run, make(folder), [CodeBlock(code=PLOT, language="python")])
            if life_ == 0:
                request = await house.asked()
                assert await kept(house) == {}
                await house.decide(request, Verb.APPROVE)
            assert (await job).exit_code == 0
            await run.close()
        found = await kept(house)
        assert found == {"plot.png": b"\x89PNG\r\n", "rows_of_May_.csv": b"a,b", "changed.txt": b"new"}
        assert (await house.store.made.kept(RUN)).left == (LeftOut(Why.LARGE, "large.bin"),)
        (folder / "plot.png").write_text("nobody's")
    assert 0 < await house.store.client.pttl(house.store.keys.made(RUN)) <= KEPT.total_seconds() * 1000


@pytest.mark.parametrize(
    ("code", "output"),
    [("print(42)", None), ("print('a\\n  b')", b"a\n  b\n"), ("print('x' * 300)", b"x" * 300 + b"\n")],
)
async def test_output_too_long_for_progress_is_a_file(house: House, code: str, output: bytes | None) -> None:
    """Its lines stay as they are."""
    await house.start()
    async with life(house) as run:
        job = executing(run, own(house.folder), [CodeBlock(code=code, language="python")])
        await house.decide(await house.asked(), Verb.APPROVE)
        assert (await job).exit_code == 0
        await run.close()
    assert await kept(house) == ({"output.txt": output} if output else {})


async def test_changed_file_gets_a_number_and_files_are_limited(house: House) -> None:
    """An equal file is kept once; a run keeps a limited number of files."""
    keep, all_kept = partial(house.store.made.keep, RUN), partial(house.store.made.kept, RUN)
    await keep([MadeFile("plot.png", b"1"), MadeFile("plot.png", b"2"), MadeFile("plot.png", b"1")])
    assert await kept(house) == {"plot.png": b"1", "plot-2.png": b"2"} and (await all_kept()).left == ()
    more = [MadeFile(f"{number}.txt", str(number).encode()) for number in range(3, 15)]
    await keep(more)
    await keep(more[:1])
    assert (await all_kept()).left == tuple(LeftOut(Why.MANY, f"{number}.txt") for number in range(11, 15))
    assert len(await kept(house)) == MOST
    await keep([], [LeftOut(Why.LARGE, f"{number}.bin") for number in range(50)])
    assert len((await all_kept()).left) == MOST + 1
    assert len(await kept(house)) == MOST


async def test_crowded_folder_is_reported_as_that(house: House) -> None:
    """More files than are looked at: none of them is kept."""
    code = 'import pathlib\nfor n in range(1001):\n    pathlib.Path(f"{n}.txt").touch()'
    await house.start()
    async with life(house) as run:
        job = executing(run, own(house.folder / "code"), [CodeBlock(code=code, language="python")])
        await house.decide(await house.asked(), Verb.APPROVE)
        assert (await job).exit_code == 0
        await run.close()
    assert await house.store.made.kept(RUN) == ({}, (LeftOut(Why.CROWDED, "files"),))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plot.png", "plot.png"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\u202egnp.exe", "a_gnp.exe"),
        ("<!channel>.txt", "__channel_.txt"),
        ("..", "file"),
        (f"{'x' * 300}.png", f"{'x' * 56}.png"),
    ],
)
def test_file_name_is_safe_to_show_and_save(name: str, shown: str) -> None:
    """R15"""
    assert clean(name) == shown == clean(shown)
    assert Path(shown).name == shown
