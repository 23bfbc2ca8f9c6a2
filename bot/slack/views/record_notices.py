"""Message about the record: its head, once a day."""

from datetime import date

from countersign.domain.hash_chain import Head

from .block_kit import Drawing, words


def checkpoint(head: Head, day: date) -> Drawing:
    """Draw the head of the record, and the command that verifies it."""
    title = f"{day:%-d %B %Y}"
    entries = f"{head.n:,} entr{'y' if head.n == 1 else 'ies'}"
    return Drawing(
        f"Record of {title} (UTC): {entries}, head {head}",
        [
            words(f"*Record of {title}* (UTC): {entries}. Its head:"),
            words(f"```{head}```"),
            words(f"To check that no entry has changed, run `countersign audit verify --head {head}`."),
        ],
    )
