"""The invoices of the invoices team.

One file holds what is due, another what was paid.
"""

import asyncio
import csv
from pathlib import Path
from typing import Annotated, Final

_DUE: Final = """\
invoice,supplier,euros
2041,Harbour Tea Imports,1280.00
2042,Paper & Pens,46.50
2043,City Power,312.75
2044,Fast Freight,980.00
"""

InvoiceNumber = Annotated[str, "The number of the invoice"]


class Invoices:
    """The files `due.csv`, with four to try, and `paid.csv` of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def list_due(self) -> str:
        """List the invoices that are due: number, supplier, euros."""
        due = await asyncio.to_thread(self._due)
        return "\n".join(f"{number}, {supplier}, {euros:.2f}" for number, (supplier, euros) in due.items()) or "None."

    async def pay(
        self,
        invoice: InvoiceNumber,
        supplier: Annotated[str, "Who gets the money"],
        euros: Annotated[float, "How much, as the invoice says"],
        idempotency_key: str,
    ) -> str:
        """Pay an invoice; the supplier and the amount are those of the invoice."""
        await asyncio.to_thread(self._pay, invoice, supplier, euros, idempotency_key)
        return f"Paid {euros:.2f} EUR to {supplier} (invoice {invoice})."

    def _due(self) -> dict[str, tuple[str, float]]:
        file = self._folder / "due.csv"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            file.write_text(_DUE, encoding="utf-8")
        paid = {row["invoice"] for row in self._paid()}
        with file.open(encoding="utf-8", newline="") as lines:
            due = {row["invoice"]: (row["supplier"], float(row["euros"])) for row in csv.DictReader(lines)}
        return {number: one for number, one in due.items() if number not in paid}

    def _paid(self) -> list[dict[str, str]]:
        file = self._folder / "paid.csv"
        if not file.exists():
            return []
        with file.open(encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines, ("invoice", "supplier", "euros", "key")))

    def _pay(self, invoice: str, supplier: str, euros: float, key: str) -> None:
        if any(row["key"] == key for row in self._paid()):
            return
        if self._due().get(invoice) != (supplier, euros):
            raise ValueError(f"Nothing was paid: no invoice {invoice} of {supplier} over {euros:.2f} EUR is due.")
        with (self._folder / "paid.csv").open("a", encoding="utf-8", newline="") as lines:
            csv.writer(lines).writerow((invoice, supplier, f"{euros:.2f}", key))
