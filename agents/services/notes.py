"""Notes in a folder of text files, which the research team looks into."""

import asyncio
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

MOST: Final = 20
"""Facts that one search gives."""
LONGEST_FILE: Final = 1_000_000
"""Characters of a file that are read."""
_EXAMPLE: Final = """\
An example that came with Countersign. Put text files of your own beside this one, and remove it.

Tea is made from the leaves of Camellia sinensis, all kinds of it.
Green tea is not oxidised, black tea is.
A pot of tea is best poured after three to five minutes.
Coffee beans are the seeds of a fruit.
"""


class Notes:
    """The files *.md and *.txt of a folder; each line that is not empty is a fact."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def search_notes(self, words: str) -> str:
        """Find the facts in the notes that have one of these words, each with its file."""
        return await asyncio.to_thread(self._search, words)

    def _search(self, words: str) -> str:
        if not self._folder.exists():
            self._begin()
        terms = {word for word in re.findall(r"\w+", words.casefold()) if len(word) > 2}
        facts = []
        for path in sorted([*self._folder.glob("*.md"), *self._folder.glob("*.txt")]):
            for line in path.read_text(encoding="utf-8", errors="replace")[:LONGEST_FILE].splitlines():
                if terms & set(re.findall(r"\w+", line.casefold())):
                    facts.append(f"- {path.name}: {line.strip().lstrip('-# ')}")
        more = f"\n({len(facts) - MOST} more; search for fewer words.)" if len(facts) > MOST else ""
        return "\n".join(facts[:MOST]) + more if facts else "No note has any of these words."

    def _begin(self) -> None:
        """Create the folder together with its example.

        A search at the same moment finds both or makes both.
        """
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f"{self._folder.name}-", dir=self._folder.parent))
        made.chmod(0o755)
        (made / "example.md").write_text(_EXAMPLE, encoding="utf-8")
        try:
            made.rename(self._folder)
        except OSError:  # somebody was faster
            shutil.rmtree(made)
