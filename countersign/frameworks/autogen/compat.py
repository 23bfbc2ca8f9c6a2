"""The patches that AutoGen 0.7.5 needs in a process with many people's runs.

Nothing else changes AutoGen, and only the worker switches them on (`agents/__main__.py`). A program of a user's own,
which calls `run_here`, keeps AutoGen as it is: there `sys.exit` ends the program, as it should.

SystemExit (no issue upstream): AutoGen handles each message, and asks a selector, in a task of its own, and asyncio
lets a SystemExit in any task end the whole process. An agent, a selector or a termination condition that calls
`sys.exit` would end the worker with all of its runs, and after it each worker that takes the run up. Here it fails the
run alone.

Two more defects need no patch. AssistantAgent waits for ever for tool calls that were cancelled
(microsoft/autogen#7956): `Driver._cut_off` cancels the agents of a run that leaves the process. A delivery that ends
after its team was cut off is counted in the wrong queue (microsoft/autogen#7007, `task_done() called too many times`):
AutoGen logs it, and nothing depends on the queue of a team that is gone.

`tests/autogen/test_compat.py` fails once AutoGen does these by itself.
"""

import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from autogen_agentchat.teams._group_chat._selector_group_chat import SelectorGroupChatManager
from autogen_agentchat.teams._group_chat._sequential_routed_agent import SequentialRoutedAgent

_BEGIN_TASKS: Final = ((SequentialRoutedAgent, "on_message_impl"), (SelectorGroupChatManager, "select_speaker"))
"""The methods through which AutoGen's tasks run code of a team's own."""


@contextmanager
def mended() -> Iterator[None]:
    """Mend AutoGen in this process for as long as the block runs."""
    originals = [(owner, name, getattr(owner, name)) for owner, name in _BEGIN_TASKS]
    for owner, name, method in originals:
        setattr(owner, name, _without_exit(method))
    try:
        yield
    finally:
        for owner, name, method in originals:
            setattr(owner, name, method)


def _without_exit(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(method)
    async def guarded(*args: Any, **more: Any) -> Any:
        try:
            return await method(*args, **more)
        except SystemExit as error:
            raise RuntimeError(f"its code ended with SystemExit: {error}") from error

    return guarded
