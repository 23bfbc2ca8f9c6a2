"""The part of `web` that keeps the record, alone; with AUDIT_SQL_URL copies it too. Says a line when it begins."""

import asyncio
import logging
import os
import secrets
from datetime import timedelta

from bot.audit.auditor import Auditor
from bot.audit.sql_copy import SqlSink
from countersign.store.audit_log import Ledger
from countersign.store.redis.connection import connect
from countersign.store.store import Store


async def main() -> None:
    async with connect(os.environ["REDIS_URL"]) as client:
        store = Store(client, os.environ["NAMESPACE"])
        url = os.environ.get("AUDIT_SQL_URL")
        sink = SqlSink(Ledger(store), url) if url else None
        print("begins", flush=True)
        owner = f"web-{secrets.token_hex(3)}"
        beside = [sink.run] if sink else []
        await Auditor(store, owner, sink=sink, beside=beside, lease=timedelta(seconds=0.5)).run()


if __name__ == "__main__":
    logging.basicConfig(level="CRITICAL")
    asyncio.run(main())
