"""`ask` and `ask_sync`: put a question to people in a channel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from countersign.client.client import AsyncClient, Client, question
from countersign.client.exchange import Decision, NotApproved
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

    With `edit` they may change the message; `Decision.message` is the one that may be used then. With a `form` it is
    what they filled in, as its model; NotApproved if nobody filled it in. `key`: the same key again is the same
    request. `on_interrupt`: whether Ctrl-C, or a cancelled task, leaves the request to people ("leave") or takes it
    back ("withdraw"); by default it is left if it has a key. `timeout`: seconds that the service may be away; people
    have the time that their channel says. InvalidInput if no service is known here; ServiceRefused if it refuses the
    question, or was away for longer.
    """
    body = _question(channel, title, message, options, several, edit, form, requester)
    async with AsyncClient(timeout=timeout) as client:
        return _answer(await client.ask(body, key=key, on_interrupt=on_interrupt), form)


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
    body = _question(channel, title, message, options, several, edit, form, requester)
    with Client(timeout=timeout) as client:
        return _answer(client.ask(body, key=key, on_interrupt=on_interrupt), form)


def _question(
    channel: str,
    title: str,
    message: str,
    options: Sequence[str],
    several: bool,
    edit: bool,
    form: "type[BaseModel] | None",
    requester: str,
) -> dict[str, Any]:
    schema = None if form is None else form.model_json_schema()
    text = message or ("" if form else title)
    return question(channel, title, text, options=options, several=several, edit=edit, form=schema, requester=requester)


def _answer(decision: Decision, form: "type[BaseModel] | None") -> "Decision | BaseModel":
    if form is None:
        return decision
    if decision.arguments is None:
        raise NotApproved(decision)
    return form.model_validate(decision.arguments)
