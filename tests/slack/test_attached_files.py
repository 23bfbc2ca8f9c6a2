"""Files that approved code made stand in the thread of its run."""

from countersign import usecases
from countersign.domain import runs
from countersign.domain.made_files import LARGEST, MOST, LeftOut, MadeFile, Why
from countersign.domain.run_calls import Finish
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.workspace import File
from tests.slack.test_projector import all_drawn, running_projector

PICTURE = b"\x89PNG\r\n\x1a\n\xff"


def files_in(slack: LocalSlack, thread: str) -> list[File]:
    return [file for message in slack.channel("#general").thread(thread) for file in message.files]


async def test_run_files_are_attached_to_its_thread_once(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R15, R36: as they are, without secrets, and whoever draws again attaches none twice."""
    async with running_projector(slack, store):
        await usecases.note_progress(store, lease, "runner", "the code ran")
        await all_drawn(slack, store)
        await store.made.keep(lease.run, [MadeFile("plot.png", PICTURE), MadeFile("keys.txt", b"AKIAIOSFODNN7EXAMPLE")])
        await usecases.note_progress(store, lease, "runner", "it made two files")
        await all_drawn(slack, store)
    async with running_projector(slack, store, "web-2"):
        await usecases.finish(store, lease, Finish(runs.Verb.FINISH, result="Done."))
        await all_drawn(slack, store)
    (root,) = slack.channel("#general").messages
    await slack.wait_for(lambda _: len(files_in(slack, root.ts)) >= 2)
    files = files_in(slack, root.ts)
    assert [call.method for call in slack.calls].count("upload") == 2
    assert sorted((file.name, file.title) for file in files) == [
        ("keys.txt", "From this run: keys.txt"),
        ("plot.png", "From this run: plot.png"),
    ]
    content = {file.name: file.content for file in files}
    assert content["plot.png"] == PICTURE
    assert content["keys.txt"] == "⟦hidden: 20 characters⟧".encode()


async def test_thread_names_the_files_that_were_not_attached(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R15, R21: too large, too many, refused by Slack; said once, and its names do nothing."""
    slack.faults.add("error", on="files.completeUploadExternal", error="file_uploads_disabled", times=1)
    async with running_projector(slack, store):
        await store.made.keep(lease.run, [MadeFile("a_b_.png", PICTURE)], [LeftOut(Why.LARGE, "_report_.pdf")])
        await usecases.note_progress(store, lease, "runner", "it made two files")
        await all_drawn(slack, store)
        more = [MadeFile(f"{number}.txt", str(number).encode()) for number in range(MOST)]
        await store.made.keep(lease.run, more)
        await usecases.note_progress(store, lease, "runner", "it made more")
        await all_drawn(slack, store)
    (root,) = slack.channel("#general").messages
    (line,) = [m for m in slack.channel("#general").thread(root.ts) if "Not attached" in text_of(m)]
    assert text_of(line) == (
        f"Not attached: _report_.pdf (larger than {LARGEST // 1_000_000} MB); 9.txt (a run attaches at most 10 files); "
        "a_b_.png (Slack didn't accept it: file uploads disabled). What the code wrote stays in its work folder."
    )
    await slack.wait_for(lambda _: len(files_in(slack, root.ts)) >= MOST - 1)
    assert len(files_in(slack, root.ts)) == MOST - 1
