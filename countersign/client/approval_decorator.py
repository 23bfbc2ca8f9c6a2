"""`requires_approval`: run a function only after people approved its arguments."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from countersign.client.client import AsyncClient, Client
from countersign.client.exchange import Decision, NotApproved
from countersign.client.idempotency_keys import key_in_celery_task
from countersign.client.open_questions import OnInterrupt
from countersign.client.questions import Call
from countersign.domain import calls
from countersign.domain.errors import InvalidInput
from countersign.domain.json_arguments import DIFFERS, is_approved, written

F = TypeVar("F", bound=Callable[..., Any])
_NO_VALUE: Final = inspect.Parameter.empty
_OTHERS: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def requires_approval(
    channel: str,
    *,
    title: str = "",
    hide: Sequence[str] = (),
    edit: bool = True,
    key: str | Callable[[Mapping[str, Any]], str] | None = None,
    on_interrupt: OnInterrupt | None = None,
    idempotent: bool = False,
    timeout: float | None = None,
) -> Callable[[F], F]:
    """Run the function only after people approved exactly its arguments.

    If they changed the arguments, it runs with the changed ones.

    Works for functions and coroutine functions whose arguments JSON can represent. `title` may name arguments, like
    `Refund {euros:.2f} EUR for order {order}?`. `hide` are paths of arguments that nobody may see. `key` is the
    idempotency key, or a function that makes it from the arguments; a restarted program finds its request by it.
    NotApproved, with the decision, if the call is not approved; it does not run then. The outcome of the call is
    reported. AlreadyRan, with the reported outcome, if a call with this key ran before; it does not run again. If such
    a call began without a report, people are asked whether it was done; an `idempotent` function runs again.
    `on_interrupt`: whether Ctrl-C, or a cancelled task, leaves the request to people ("leave") or takes it back
    ("withdraw"); by default it is left if it has a key. In a Celery task with `acks_late`, the default key is made from
    the task's id. `timeout`: seconds that the service may be away before ServiceRefused.
    """

    def decorate(function: F) -> F:
        guarded = _GuardedCall(function, channel, title, hide, edit=edit)

        @functools.wraps(function)
        async def approved_async(*args: Any, **kwargs: Any) -> Any:
            arguments = guarded.arguments(args, kwargs)
            async with AsyncClient(timeout=timeout) as client:
                call = guarded.question(arguments, guarded.key(key, arguments))
                decision = await client.judge(call, on_interrupt=on_interrupt)
                run = guarded.call_of(decision)
                return await client.perform(decision, call, lambda _: run(), idempotent=idempotent)

        @functools.wraps(function)
        def approved(*args: Any, **kwargs: Any) -> Any:
            arguments = guarded.arguments(args, kwargs)
            with Client(timeout=timeout) as client:
                call = guarded.question(arguments, guarded.key(key, arguments))
                decision = client.judge(call, on_interrupt=on_interrupt)
                run = guarded.call_of(decision)
                return client.perform(decision, call, lambda _: run(), idempotent=idempotent)

        return cast(F, approved_async if inspect.iscoroutinefunction(function) else approved)

    return decorate


class _GuardedCall:
    """Converter between a function's arguments and the question about them."""

    def __init__(
        self, function: Callable[..., Any], channel: str, title: str, hide: Sequence[str], *, edit: bool
    ) -> None:
        from pydantic import (
            ConfigDict,
            PydanticUserError,
            create_model,
        )  # slow to import, and only needed here

        self._function = function
        self._signature = inspect.signature(function)
        self._channel, self._title, self._hide = channel, title, list(hide)
        hints = inspect.get_annotations(function, eval_str=True)
        fields: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            if parameter.kind in _OTHERS:
                raise InvalidInput(
                    f"{function.__qualname__} takes *args or **kwargs, which have no names. Name its parameters."
                )
            fields[name] = (hints.get(name, Any), ... if parameter.default is _NO_VALUE else parameter.default)
        try:
            config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")  # NaN is refused instead of becoming None
            self._model = create_model(function.__name__, __config__=config, **fields)
            schema = self._model.model_json_schema(mode="serialization")  # in the same form as `arguments`
        except PydanticUserError as wrong:
            why = str(wrong).splitlines()[0].split(". ")[0]
            raise InvalidInput(
                f"{function.__name__} takes arguments that can't be shown to people: {why}. "
                "Decorate a function that it calls, with arguments that JSON can hold."
            ) from None
        self._schema = schema if edit else None
        if title and (why := calls.why_not_title(title, schema, self._hide)):
            raise InvalidInput(f"The title “{title}” doesn't fit the arguments of {function.__name__}: {why}")

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return a call's arguments by name, as JSON values; InvalidInput if impossible."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            values: dict[str, Any] = self._model.model_validate(bound.arguments).model_dump(mode="json")
            written(values)
        except (ValueError, TypeError) as wrong:  # pydantic's is a ValueError, and so is NotShown
            raise InvalidInput(
                f"The arguments of {self._function.__name__} can't be shown to people, so nobody was asked: "
                f"{str(wrong).splitlines()[0]}"
            ) from None
        return values

    def question(self, arguments: Mapping[str, Any], key: str | None) -> Call:
        """Return the question about this call."""
        name = self._function.__name__
        try:
            title = calls.filled_title(self._title, arguments) if self._title else ""
        except (LookupError, ValueError):  # longer than any title
            title = ""
        return Call(self._channel, name, arguments, self._schema, self._hide, title, key=key)

    def key(self, make: str | Callable[[Mapping[str, Any]], str] | None, arguments: Mapping[str, Any]) -> str | None:
        """Return the idempotency key of this call; None if it has none."""
        if make is None:
            return key_in_celery_task(self._function.__qualname__, arguments)
        return make if isinstance(make, str) else make(arguments)

    def call_of(self, decision: Decision) -> Callable[[], Any]:
        """Return the call to run. NotApproved if it was not approved, or would differ."""
        if decision.arguments is None:
            raise NotApproved(decision)
        values = self._model.model_validate(decision.arguments)
        if not is_approved(values.model_dump(mode="json"), decision.arguments):
            raise NotApproved(replace(decision, outcome="withdrawn", arguments=None, text=DIFFERS))
        bound = self._signature.bind_partial()
        for name in self._signature.parameters:
            bound.arguments[name] = getattr(values, name)
        return functools.partial(self._function, *bound.args, **bound.kwargs)
