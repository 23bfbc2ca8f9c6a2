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

    For functions and coroutine functions whose arguments JSON can hold. `title` may name arguments, like `Refund
    {euros:.2f} EUR for order {order}?`. `hide` are paths of arguments that nobody may see. `key` is the idempotency
    key, or makes it of the arguments: by it a program that died finds its request. NotApproved, with the decision, if
    it is not to be done; nothing was done then. What came of it is reported. AlreadyRan, with what was reported, if a
    call with this key ran before; it does not run again. If such a call began, and nothing was reported, people say
    whether it was done; an `idempotent` function runs again. `on_interrupt`: whether Ctrl-C, or a cancelled task,
    leaves the request to people ("leave") or takes it back ("withdraw"); by default it is left if it has a key. In a
    task of Celery with `acks_late` the key is made of the task's id, if you give none. `timeout`: seconds that the
    service may be away before ServiceRefused.
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
    """A function's arguments as people judge them, and back."""

    def __init__(
        self, function: Callable[..., Any], channel: str, title: str, hide: Sequence[str], *, edit: bool
    ) -> None:
        from pydantic import (
            ConfigDict,
            PydanticUserError,
            create_model,
        )  # as long to import as all the rest, and only needed here

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
            config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")  # NaN is refused, and not made None
            self._model = create_model(function.__name__, __config__=config, **fields)
            schema = self._model.model_json_schema(mode="serialization")  # as `arguments` are written
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
        """The arguments of a call by name, as JSON holds them. InvalidInput if JSON cannot."""
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
        """The question about this call."""
        name = self._function.__name__
        try:
            title = calls.filled_title(self._title, arguments) if self._title else ""
        except (LookupError, ValueError):  # as long as no title is
            title = ""
        return Call(self._channel, name, arguments, self._schema, self._hide, title, key=key)

    def key(self, make: str | Callable[[Mapping[str, Any]], str] | None, arguments: Mapping[str, Any]) -> str | None:
        """The idempotency key of this call; None if nothing finds it again."""
        if make is None:
            return key_in_celery_task(self._function.__qualname__, arguments)
        return make if isinstance(make, str) else make(arguments)

    def call_of(self, decision: Decision) -> Callable[[], Any]:
        """The call that is to run. NotApproved if none was approved, or if another one would run."""
        if decision.arguments is None:
            raise NotApproved(decision)
        values = self._model.model_validate(decision.arguments)
        if not is_approved(values.model_dump(mode="json"), decision.arguments):
            raise NotApproved(replace(decision, outcome="withdrawn", arguments=None, text=DIFFERS))
        bound = self._signature.bind_partial()
        for name in self._signature.parameters:
            bound.arguments[name] = getattr(values, name)
        return functools.partial(self._function, *bound.args, **bound.kwargs)
