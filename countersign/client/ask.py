"""`ask`: put a question to people in a channel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar, overload

from countersign.client.client import AsyncClient, question
from countersign.client.exchange import Decision, NotApproved

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
    leave: bool | None = None,
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
    leave: bool | None = None,
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
    leave: bool | None = None,
    timeout: float | None = None,
) -> "Decision | BaseModel":
    """Ask people in a channel, and return their decision.

    With `edit` they may change the message; `Decision.message` is the one that may be used then.
    With a `form` it is what they filled in, as its model; NotApproved if nobody filled it in.
    `key`: the same key again is the same request. `leave`: whether Ctrl-C, or a cancelled task, leaves the request to
    people; by default it does so with a key. `timeout`: seconds that the service may be away; people have the time that
    their channel says. InvalidInput if no service is known here; ServiceRefused if it refuses the question, or was away
    for longer.
    """
    schema = None if form is None else form.model_json_schema()
    text = message or ("" if form else title)
    body = question(channel, title, text, options=options, several=several, edit=edit, form=schema, requester=requester)
    async with AsyncClient(timeout=timeout) as client:
        decision = await client.ask(body, key=key, leave=leave)
    if form is None:
        return decision
    if decision.arguments is None:
        raise NotApproved(decision)
    return form.model_validate(decision.arguments)
