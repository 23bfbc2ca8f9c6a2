"""`@requires_approval` for a team: put a function for `tools=[…]` behind the gate."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import Any, get_type_hints

from autogen_core.tools import FunctionTool

from countersign.domain.calls import in_words
from countersign.domain.errors import ActionFailed
from countersign.frameworks.autogen.run_context import current_run
from countersign.frameworks.autogen.tools.arguments import by_model, plain
from countersign.frameworks.autogen.tools.gated_tools import Handling
from countersign.frameworks.autogen.tools.permits import Renderer, Title, check_titles
from countersign.frameworks.autogen.tools.team_policy import Ask
from countersign.frameworks.autogen.tools.workbenches import mark_asking


def requires_approval(
    *,
    ask: Ask = None,
    title: Title = "",
    show: Renderer | None = None,
    hide: Collection[str] = (),
    idempotent: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Awaitable[str]]]:
    """Put a function behind the gate; each call gives its result as text.

    `title` is what a call would do, as people read it first: `"Refund {euros:.2f} EUR for order {order}"`.

    Name, docstring and arguments stay as they are, for AutoGen's schema. A call that was not allowed, or failed, raises
    ActionFailed with the text for the model. The function does not know which agent calls it, so people read its own
    name; where agents that go on at once share a tool, `Run.tools` keeps them apart.
    """

    def gate(function: Callable[..., Any]) -> Callable[..., Awaitable[str]]:
        tool = FunctionTool(function, description=function.__doc__ or "")
        name = tool.name
        check_titles({name: title}, [tool], {name: hide})
        rules = Handling(
            ask, idempotent, {name: show} if show else {}, {name: hide} if hide else {}, {name: title} if title else {}
        )
        hints = {**get_type_hints(function, include_extras=True), "return": str}
        signature = inspect.signature(function)

        @functools.wraps(function)
        async def asking(*args: Any, **kwargs: Any) -> str:
            given = signature.bind(*args, **kwargs).arguments
            given.pop("cancellation_token", None)
            # AutoGen passes defaults on, also one that is not of the type that the function says.
            given = {n: value for n, value in given.items() if value is not signature.parameters[n].default}
            try:
                arguments = by_model(tool.args_type(), plain(given), hide)
            except ValueError as wrong:
                raise ActionFailed(f"“{in_words(name)}” was not done. {wrong}") from None
            text, failed = await current_run().call(tool, name, arguments, rules)
            if failed:
                raise ActionFailed(text)
            return text

        mark_asking(asking)
        # AutoGen reads the annotations in the module of the function that it is given, which is this one.
        asking.__annotations__ = hints
        parameters = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in signature.parameters.values()]
        asking.__signature__ = signature.replace(parameters=parameters, return_annotation=str)  # type: ignore[attr-defined]
        return asking

    return gate
