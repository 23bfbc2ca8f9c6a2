"""A small shop in a file, for the support team: orders, refunds and tickets.

Money is whole cents."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

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
    """What the shop's file does. An order that there is not, or money that it was not paid, is a ValueError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def order(self, order: int) -> Order:
        """The order of this number."""
        return await self._with(lambda file: _order(file, order))

    async def refund(self, order: int, cents: int, key: str) -> Order:
        """Pay some of an order back, once for each key; returns the order as it then is."""

        def pay(file: sqlite3.Connection) -> Order:
            current = _order(file, order)
            if cents <= 0:
                raise ValueError(f"Nothing was paid back: {euros(cents)} is no amount to pay back.")
            if not file.execute("SELECT 1 FROM refunds WHERE key = ?", (key,)).fetchone():
                if cents > current.cents - current.refunded:
                    left = euros(current.cents - current.refunded)
                    raise ValueError(f"Nothing was paid back: of order {order} it can be up to {left}.")
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
