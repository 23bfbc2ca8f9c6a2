"""The tools of the shop's counter, as the agents of the support team use them."""

from datetime import UTC, datetime
from typing import Annotated

from countersign import RunContext, idempotency_key

from .mail import MailProblem, parse, to_message
from .mail_delivery import deliver
from .shop import Shop, euros

OrderNumber = Annotated[int, "The number of the order"]


class Counter:
    """The tools; what they do is in the shop's file or in a mail."""

    def __init__(self, run: RunContext) -> None:
        self._run = run
        self.shop = Shop(run.settings.data_dir / "support" / "shop.db")

    async def look_up(self, order: OrderNumber) -> str:
        """Look up an order by its number."""
        stored = await self.shop.order(order)
        return (
            f"Order {stored.id}: {stored.item}, {euros(stored.cents)} paid by {stored.customer} <{stored.mail}>, "
            f"{euros(stored.refunded)} of it paid back."
        )

    async def refund(
        self, order: OrderNumber, cents: Annotated[int, "In whole cents: 4500 is 45.00 EUR"], idempotency_key: str
    ) -> str:
        """Pay back some of an order, in whole cents."""
        stored = await self.shop.refund(order, cents, idempotency_key)
        return f"{euros(cents)} of order {order} were paid back; {euros(stored.refunded)} in all."

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
            raise ValueError(f"The mail was not sent. {mail.sentence}")
        settings = self._run.settings
        name = f"<{idempotency_key()}@{settings.mail_from.partition('@')[2]}>"
        message = to_message(mail, settings.mail_from, name, datetime.now(UTC))
        smtp = settings.smtp_url.get_secret_value() if settings.smtp_url else None
        return await deliver(message, smtp, settings.data_dir / "mail")
