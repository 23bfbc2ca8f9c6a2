"""`ask` and `ask_sync`: put one question to people in a channel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from countersign.client.client import AsyncClient, Client
from countersign.client.exchange import Decision
from countersign.client.open_questions import OnInterrupt

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


@overload
async def ask(
    channel: str,
    title: str,
    message: str = "",
    *,
    form: type[M],
    requester: str = "",
    key: str | None = None,
    on_interrupt: OnInterrupt | None = None,
    timeout: float | None = None,
) -> M: ...


@overload
async def ask(
    channel: str,
    title: str,
    message: str = "",
    *,
    options: Sequence[str] = (),
    several: bool = False,
    edit: bool = False,
    requester: str = "",
    key: str | None = None,
    on_interrupt: OnInterrupt | None = None,
    timeout: float | None = None,
) -> Decision: ...


async def ask(
    channel: str,
    title: str,
    message: str = "",
    *,
    options: Sequence[str] = (),
    several: bool = False,
    edit: bool = False,
    form: "type[BaseModel] | None" = None,
    requester: str = "",
    key: str | None = None,
    on_interrupt: OnInterrupt | None = None,
    timeout: float | None = None,
) -> "Decision | BaseModel":
    """Ask people in a channel, and return their decision.

    With `edit` they may change the message; use `Decision.message` then. With a `form`, the result is the filled-in
    model; NotApproved if nobody filled it in. `key`: a repeated key finds the same request. `on_interrupt`: whether
    Ctrl-C, or a cancelled task, leaves the request to people ("leave") or takes it back ("withdraw"); by default it is
    left if it has a key. `timeout`: seconds that the service may be away; the channel's settings limit the time for
    people. InvalidInput if no service is configured; ServiceRefused if the service refuses the question, or was away
    for longer.
    """
    given: dict[str, Any] = {"options": options, "several": several, "edit": edit, "form": form}
    async with AsyncClient(timeout=timeout) as client:
        answer: Decision | BaseModel = await client.ask(
            channel, title, message, requester=requester, key=key, on_interrupt=on_interrupt, **given
        )
        return answer


@overload
def ask_sync(
    channel: str,
    title: str,
    message: str = "",
    *,
    form: type[M],
    requester: str = "",
    key: str | None = None,
    on_interrupt: OnInterrupt | None = None,
    timeout: float | None = None,
) -> M: ...


@overload
def ask_sync(
    channel: str,
    title: str,
    message: str = "",
    *,
    options: Sequence[str] = (),
    several: bool = False,
    edit: bool = False,
    requester: str = "",
    key: str | None = None,
    on_interrupt: OnInterrupt | None = None,
    timeout: float | None = None,
) -> Decision: ...


def ask_sync(
    channel: str,
    title: str,
    message: str = "",
    *,
    options: Sequence[str] = (),
    several: bool = False,
    edit: bool = False,
    form: "type[BaseModel] | None" = None,
    requester: str = "",
    key: str | None = None,
    on_interrupt: OnInterrupt | None = None,
    timeout: float | None = None,
) -> "Decision | BaseModel":
    """Ask people as `ask` does, and wait in this thread."""
    given: dict[str, Any] = {"options": options, "several": several, "edit": edit, "form": form}
    with Client(timeout=timeout) as client:
        answer: Decision | BaseModel = client.ask(
            channel, title, message, requester=requester, key=key, on_interrupt=on_interrupt, **given
        )
        return answer
