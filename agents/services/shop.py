"""A small shop in a file, for the support team, and the tools on it.

Money is whole cents.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, TypeVar

from countersign.teams import Run, idempotency_key

from .mail import MailProblem, parse, to_message
from .mail_delivery import deliver

OrderNumber = Annotated[int, "The number of the order"]
T = TypeVar("T")
_TABLES: Final = """\
CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT, cents INTEGER, customer TEXT, mail TEXT);
CREATE TABLE IF NOT EXISTS refunds (key TEXT PRIMARY KEY, "order" INTEGER, cents INTEGER);
CREATE TABLE IF NOT EXISTS tickets (key TEXT PRIMARY KEY, "order" INTEGER, words TEXT);
INSERT OR IGNORE INTO orders VALUES
    (17, 'teapot', 4500, 'Carla Customer', 'carla@example.com'),
    (18, 'tea', 1200, 'Dan Drinker', 'dan@example.com'),
    (19, 'samovar', 90000, 'Erin Early', 'erin@example.com');
"""


@dataclass(frozen=True, slots=True)
class Order:
    """One order; `refunded` is what was paid back of its `cents`."""

    id: int
    item: str
    cents: int
    customer: str
    mail: str
    refunded: int


def euros(cents: int) -> str:
    """4500 is “45.00 EUR”, -5 is “-0.05 EUR”."""
    return f"{'-' * (cents < 0)}{abs(cents) // 100:,}.{abs(cents) % 100:02} EUR"


class Shop:
    """The shop in its file.

    ValueError for an order that does not exist, or for more money than was paid.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def order(self, order: int) -> Order:
        """Return the order of this number."""
        return await self._with(lambda file: _order(file, order))

    async def refund(self, order: int, cents: int, key: str) -> Order:
        """Pay some of an order back, once for each key; returns the order as it then is."""

        def pay(file: sqlite3.Connection) -> Order:
            current = _order(file, order)
            if cents <= 0:
                raise ValueError(f"Nothing was refunded: {euros(cents)} can't be refunded.")
            if not file.execute("SELECT 1 FROM refunds WHERE key = ?", (key,)).fetchone():
                if cents > current.cents - current.refunded:
                    left = euros(current.cents - current.refunded)
                    raise ValueError(f"Nothing was refunded: for order {order}, up to {left} can be.")
                file.execute("INSERT INTO refunds VALUES (?, ?, ?)", (key, order, cents))
            return _order(file, order)

        return await self._with(pay)

    async def ticket(self, order: int, words: str, key: str) -> int:
        """Open a ticket, once for each key; returns its number."""

        def opened(file: sqlite3.Connection) -> int:
            _order(file, order)
            file.execute("INSERT OR IGNORE INTO tickets VALUES (?, ?, ?)", (key, order, words))
            return int(file.execute("SELECT rowid FROM tickets WHERE key = ?", (key,)).fetchone()[0])

        return await self._with(opened)

    async def _with(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def whole() -> T:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as file:
                file.executescript(_TABLES)
                file.execute("BEGIN IMMEDIATE")
                try:
                    done = work(file)
                except BaseException:
                    file.execute("ROLLBACK")
                    raise
                file.execute("COMMIT")
                return done

        return await asyncio.to_thread(whole)


def _order(file: sqlite3.Connection, number: int) -> Order:
    row = file.execute("SELECT id, item, cents, customer, mail FROM orders WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise ValueError(f"There is no order {number}.")
    (refunded,) = file.execute('SELECT coalesce(sum(cents), 0) FROM refunds WHERE "order" = ?', (number,)).fetchone()
    number, item, cents, customer, mail = row
    return Order(number, item, cents, customer, mail, refunded)


class Counter:
    """The tools of the support team; what they do is in the shop's file or in a mail."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.shop = Shop(run.settings.data_dir / "support" / "shop.db")

    async def look_up(self, order: OrderNumber) -> str:
        """Look up an order by its number."""
        stored = await self.shop.order(order)
        return (
            f"Order {stored.id}: {stored.item}, {euros(stored.cents)} paid by {stored.customer} <{stored.mail}>, "
            f"{euros(stored.refunded)} of it refunded."
        )

    async def refund(
        self, order: OrderNumber, cents: Annotated[int, "In whole cents: 4500 is 45.00 EUR"], idempotency_key: str
    ) -> str:
        """Pay back some of an order, in whole cents."""
        stored = await self.shop.refund(order, cents, idempotency_key)
        return f"{euros(cents)} was refunded for order {order}; {euros(stored.refunded)} in all."

    async def open_ticket(
        self, order: OrderNumber, words: Annotated[str, "What colleagues should know"], idempotency_key: str
    ) -> str:
        """Open a ticket about an order, for colleagues."""
        return f"Ticket {await self.shop.ticket(order, words, idempotency_key)} was opened."

    async def send_mail(
        self,
        to: Annotated[str, "The address of the customer"],
        subject: Annotated[str, "What the mail is about"],
        body: Annotated[str, "The words of the mail"],
    ) -> str:
        """Send a mail to a customer."""
        mail = parse(f"To: {to}\nSubject: {subject}\n\n{body}")
        if isinstance(mail, MailProblem):
            raise ValueError(f"The email was not sent. {mail.sentence}")
        settings = self._run.settings
        name = f"<{idempotency_key()}@{settings.mail_from.partition('@')[2]}>"
        message = to_message(mail, settings.mail_from, name, datetime.now(UTC))
        smtp = settings.smtp_url.get_secret_value() if settings.smtp_url else None
        return await deliver(message, smtp, settings.data_dir / "mail")
