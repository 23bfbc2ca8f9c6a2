"""Copy the record into a SQL database, each entry once and in order.

The table itself holds the position: rows are added in one transaction after its highest `n`, and the primary key
refuses the slower of two processes. While the database is away the record waits in Redis, which drops no entry before
it is copied.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from countersign import metrics
from countersign.domain.errors import CountersignError, StoreUnavailable, WrongSettings
from countersign.domain.hash_chain import Kept
from countersign.domain.pauses import doubling
from countersign.store.audit_log import Ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

TABLE: Final = "countersign_audit"
_BATCH: Final = 500
_IDLE: Final = 0.5
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_log = logging.getLogger(__name__)


class OtherChain(CountersignError):
    """Error: the table holds another record; nothing is added to it."""


class SqlSink:
    """Copy of the record in the table `countersign_audit`, made if there is none."""

    def __init__(self, ledger: Ledger, url: str, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Connect to nothing yet.

        WrongSettings if the packages are not there or the URL names no asynchronous driver.
        """
        try:
            import sqlalchemy
            from sqlalchemy.ext.asyncio import create_async_engine
        except ImportError:
            raise WrongSettings(
                ["AUDIT_SQL_URL needs packages that are not installed: pip install 'countersign-slack[sql]'"]
            ) from None
        try:
            self._engine: AsyncEngine = create_async_engine(url, pool_pre_ping=True, pool_size=2, hide_parameters=True)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as wrong:
            raise WrongSettings([f"AUDIT_SQL_URL: {wrong}"]) from None
        except ValueError:  # its text, about an invalid port for example, may hold a part of the password
            raise WrongSettings(["AUDIT_SQL_URL: it cannot be read."]) from None
        self._ledger = ledger
        self._sleep = sleep
        self._sql = sqlalchemy
        self._ready = False
        self._at = 0
        self._table: Any = sqlalchemy.Table(
            TABLE,
            sqlalchemy.MetaData(),
            sqlalchemy.Column("n", sqlalchemy.BigInteger, primary_key=True, autoincrement=False),
            sqlalchemy.Column("at", sqlalchemy.String(40)),
            sqlalchemy.Column("type", sqlalchemy.String(40), index=True),
            sqlalchemy.Column("outcome", sqlalchemy.String(40)),
            *(sqlalchemy.Column(name, sqlalchemy.String(80), index=name != "workspace") for name in _NAMES),
            sqlalchemy.Column("entry", sqlalchemy.Text, nullable=False),
            sqlalchemy.Column("hash", sqlalchemy.String(64), nullable=False),
        )

    async def run(self) -> None:
        """Copy until cancelled; tries a database that is away again within 30 s."""
        pauses, away = doubling(_FIRST_PAUSE, _LONGEST_PAUSE), False
        try:
            while True:
                try:
                    copied = await self.copy()
                    if away:
                        _log.info("The database of AUDIT_SQL_URL takes the record again.")
                    pauses, away = doubling(_FIRST_PAUSE, _LONGEST_PAUSE), False
                    if not copied:
                        metrics.copied()
                        await self._sleep(_IDLE)
                except StoreUnavailable as wrong:
                    if not away:
                        _log.warning("%s The copy of the record continues when the store is back.", wrong)
                    away = True
                    metrics.copied(away=True)
                    await self._sleep(next(pauses))
                except OtherChain as other:
                    _log.error("%s", other)
                    metrics.copied(away=True)
                    await self._sleep(_LONGEST_PAUSE)
                except Exception:  # drivers do not document their exceptions
                    _log.exception("The record could not be copied; trying again.")
                    metrics.copied(away=True)
                    await self._sleep(_LONGEST_PAUSE)
        finally:
            metrics.copies_no_more()
            await self.close()

    async def copy(self) -> int:
        """Add the next entries and return their number.

        StoreUnavailable if the database or Redis is away.
        """
        async with self._reaching(), self._engine.begin() as connection:
            at, digest = await self._last(connection)
            await self._fits(at, digest)
            self._at = at
            rows = [_row(n, kept) for n, kept in await self._ledger.read(at, _BATCH)]
            if rows:
                await connection.execute(self._table.insert(), rows)
        self._ready = True
        if rows:
            self._at = int(rows[-1]["n"])
        return len(rows)

    async def position(self) -> int:
        """Return the number of the last entry in the table; 0 while it is unknown."""
        return self._at

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    async def _last(self, connection: "AsyncConnection") -> tuple[int, str]:
        if not self._ready:
            await connection.run_sync(lambda inner: self._table.metadata.create_all(inner))
        columns = self._table.c
        row = (
            await connection.execute(self._sql.select(columns.n, columns.hash).order_by(columns.n.desc()).limit(1))
        ).first()
        return (int(row[0]), str(row[1])) if row else (0, "")

    async def _fits(self, at: int, digest: str) -> None:
        """Raise OtherChain unless the record continues where the table ends."""
        position = await self._ledger.position()
        if at == 0:
            if position.checkpoint.n and not self._ready:
                _log.warning("The record begins after entry %d; the table %s does too.", position.checkpoint.n, TABLE)
            return
        if at < position.checkpoint.n:
            difference = (
                f"The table {TABLE} ends with entry {at}, and Redis holds only what follows {position.checkpoint.n}."
            )
        elif at == position.checkpoint.n:
            difference = "" if digest == position.checkpoint.hash else "their entries of the same number differ."
        else:
            kept = await self._ledger.read(at - 1, 1)
            difference = "" if kept and kept[0][0] == at and kept[0][1].hash == digest else f"entry {at} differs."
        if difference:
            raise OtherChain(
                f"The table {TABLE} does not hold the record of this Redis: {difference} Nothing was added to it. "
                "Keep the old table under another name, and a new one is made."
            )

    @asynccontextmanager
    async def _reaching(self) -> "AsyncIterator[None]":
        try:
            yield
        except (self._sql.exc.SQLAlchemyError, OSError) as wrong:
            first = str(wrong).splitlines()[0][:200]
            raise StoreUnavailable(f"The database of AUDIT_SQL_URL does not take the record: {first}.") from wrong


_NAMES: Final = ("run", "request", "workspace", "user_id")


def _row(n: int, kept: Kept) -> dict[str, Any]:
    """Make a row: searched fields in their own columns, and the entry as chained."""
    try:
        fields = kept.fields()
    except ValueError:
        fields = {}
    return {
        "n": n,
        **{name: _short(fields.get(name), 40) for name in ("at", "type", "outcome")},
        **{name: _short(fields.get(name.removesuffix("_id")), 80) for name in _NAMES},
        "entry": kept.entry,
        "hash": kept.hash[:64],
    }


def _short(value: Any, most: int) -> str | None:
    """Cut a value to what every database takes: no NUL, no half of a surrogate pair."""
    return None if value is None else str(value).replace("\x00", "").encode(errors="replace").decode()[:most]
