"""A look through a team before it runs, for ways past the gate and journal (R19).

AutoGen tells nobody which tools an agent has. So what its teams, agents and tools hold in their attributes is looked
at, whatever these are called: `tests/autogen/test_bypass_check.py` fails for each door that AutoGen moves elsewhere.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from autogen_agentchat.agents import (
    AssistantAgent,
    CodeExecutorAgent,
    MessageFilterAgent,
    SocietyOfMindAgent,
    UserProxyAgent,
)
from autogen_agentchat.base import ChatAgent, Handoff, Team, TerminationCondition
from autogen_agentchat.conditions import TimeoutTermination
from autogen_agentchat.teams import BaseGroupChat
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core.code_executor import CodeExecutor
from autogen_core.models import ChatCompletionClient
from autogen_core.tools import BaseTool, FunctionTool, StaticStreamWorkbench, StaticWorkbench, Workbench

from countersign.domain.errors import WrongTeam
from countersign.frameworks.autogen.code.gated_executor import GatedExecutor
from countersign.frameworks.autogen.models.answer_recorder import JournaledModel
from countersign.frameworks.autogen.people.input_func import Human
from countersign.frameworks.autogen.team_parts import objects_in
from countersign.frameworks.autogen.tools.gated_tools import JournaledTools
from countersign.frameworks.autogen.tools.workbenches import AsksItself, asks_itself

_KNOWN: Final = (
    AssistantAgent,
    BaseGroupChat,
    CodeExecutorAgent,
    MessageFilterAgent,
    SocietyOfMindAgent,
    UserProxyAgent,
)
"""What they do is in AutoGen's own code: they act by what they hold. Agents of others' making are only opened."""


def look_through(team: Team) -> None:
    """WrongTeam for the first door past the gate, with whose it is and how to mend it.

    An agent class of the team's own may hold what it likes: it is trusted to use `run.step` and its like.
    """
    _shared_tools(team)
    rooms: list[tuple[object, str, bool]] = [(team, getattr(team, "name", ""), isinstance(team, _KNOWN))]
    seen: set[tuple[int, bool]] = set()
    while rooms:
        room, whose, judged = rooms.pop()
        if (id(room), judged) in seen:
            continue
        seen.add((id(room), judged))
        inside = list(objects_in(room))
        if isinstance(room, ChatAgent):
            _agent(room)
        for thing in inside:
            if isinstance(thing, ChatAgent | Team):
                rooms.append((thing, getattr(thing, "name", whose), isinstance(thing, _KNOWN)))
            elif isinstance(thing, TerminationCondition):
                _termination(thing, whose)
                rooms.append((thing, whose, False))
            elif isinstance(thing, JournaledTools | AgentTool | TeamTool):
                rooms.append((thing, whose, False))
            elif isinstance(thing, Workbench) and (
                not judged or type(thing) in (StaticWorkbench, StaticStreamWorkbench)
            ):
                rooms.append((thing, whose, judged))
            elif judged and isinstance(thing, ChatCompletionClient) and not isinstance(thing, JournaledModel):
                _model(thing, whose)
                rooms.append((thing, whose, True))
            elif judged:
                _thing(thing, whose, room, inside)


def _termination(condition: TerminationCondition, whose: str) -> None:
    """Check a termination condition: one by the clock would say something else when the run is rebuilt."""
    if isinstance(condition, TimeoutTermination):
        raise WrongTeam(
            f"The team “{whose}” ends by a clock (TimeoutTermination), which starts again whenever the run is rebuilt: "
            "after a wait for people it would end too early, or go on after its end. Nothing was done; end it by "
            "messages or tokens, for example with MaxMessageTermination or TokenUsageTermination."
        )


def _shared_tools(team: Team) -> None:
    """Check that each agent or team that is a tool is used in that one place only: it remembers its conversation."""
    rooms: list[ChatAgent | Team] = [team]
    seen: set[int] = set()
    uses: dict[int, dict[tuple[int, int], str]] = {}
    """Of each agent or team, its uses, by holder and tool."""
    called: dict[int, object] = {}
    """The agents and teams that are tools."""
    while rooms:
        room = rooms.pop()
        if id(room) in seen:
            continue
        seen.add(id(room))
        for thing in _held_by(room):
            if isinstance(thing, AgentTool | TeamTool):
                tool, thing = thing, thing._task_runner
                called[id(thing)] = thing
                use = (id(room), id(tool)), f"the tool “{tool.name}” of “{_name(room)}”"
                uses.setdefault(id(thing), {}).setdefault(*use)
            elif isinstance(room, _KNOWN):  # an agent class of the team's own may keep an agent beside its tool
                uses.setdefault(id(thing), {}).setdefault((id(room), 0), f"a member of “{_name(room)}”")
            rooms.append(thing)
    for runner in called.values():
        first, *others = uses[id(runner)].values()
        if others:
            raise WrongTeam(
                f"“{_name(runner)}” is {first} and {others[0]}. It remembers what is said to it, and two calls at once "
                "would mix their conversations. Nothing was done; make one for each."
            )


def _held_by(room: ChatAgent | Team) -> Iterator[Any]:
    """Yield the agents and teams that an agent or a team holds, and its tools that are agents or teams."""
    holders: list[object] = [room]
    seen: set[int] = set()
    while holders:
        for thing in objects_in(holders.pop()):
            if isinstance(thing, ChatAgent | Team | AgentTool | TeamTool):
                yield thing
            elif isinstance(thing, Workbench) and id(thing) not in seen:
                seen.add(id(thing))
                holders.append(thing)


def _name(part: object) -> str:
    return getattr(part, "name", type(part).__name__)


def _agent(agent: ChatAgent) -> None:
    kind = type(agent)
    if not isinstance(agent, _KNOWN) and any(of.__module__.startswith("autogen_ext.") for of in kind.__mro__):
        raise WrongTeam(
            f"The agent “{agent.name}” ({kind.__name__}) acts by itself, and nobody would be asked. Nothing was done; "
            "give what it does as tools to another one: `workbench=run.tools(…)`."
        )
    if isinstance(agent, UserProxyAgent) and not _asks_people(agent.input_func):
        raise WrongTeam(
            f"The agent “{agent.name}” asks by a function of its own, or at the keyboard of this process, and not in "
            f'Slack, and no answer would be recorded. Nothing was done; use `run.reviewer("{agent.name}")`, or '
            "`input_func=run.human().input_func`, which no other function may wrap."
        )


def _asks_people(function: object) -> bool:
    """Say whether the function itself asks people.

    Nobody can tell what a function around it does, whatever `functools.wraps` writes on it.
    """
    human = getattr(function, "__self__", None)
    return isinstance(human, Human) and function == human.input_func


def _model(model: ChatCompletionClient, whose: str) -> None:
    """Check a model client; one around the run's own is fine, its calls are recorded."""
    if not any(isinstance(inner, ChatCompletionClient) for inner in objects_in(model)):
        raise WrongTeam(
            f"“{whose}” asks a model ({type(model).__name__}) that is not the run's: its answers would not be recorded "
            f'and be asked for again after a crash. Nothing was done; use `run.model("{whose}")`.'
        )


def _thing(thing: object, whose: str, room: object, beside: Sequence[object]) -> None:
    """Check a tool or workbench of `room`; `beside` are its hand-offs."""
    door = mended = ""
    if isinstance(thing, BaseTool) and not _asks(thing) and not _hands_off(thing, beside):
        door = f"has the tool “{thing.name}” in a list of its own"
        mended = (
            f'give it by `workbench=run.tools("{whose}", [{thing.name}])`, or put `@requires_approval()` on the '
            "function"
        )
    elif isinstance(thing, Workbench):
        door = f"has a workbench ({type(thing).__name__}) of its own"
        mended = f'give it by `workbench=run.tools("{whose}", …)`'
    elif isinstance(thing, CodeExecutor) and not isinstance(thing, GatedExecutor) and not _is_asked(room):
        door = f"runs code in an executor ({type(thing).__name__}) of its own"
        mended = f'use `run.executor("{whose}", …)`, or `approval_func=run.code_approval("{whose}")`'
    if door:
        raise WrongTeam(f"The agent “{whose}” {door}, where nobody would be asked. Nothing was done; {mended}.")


def _asks(tool: BaseTool[Any, Any]) -> bool:
    """Say whether it asks people itself, or is a function directly behind `requires_approval`."""
    return isinstance(tool, AsksItself) or (type(tool) is FunctionTool and asks_itself(tool._func))


def _is_asked(agent: object) -> bool:
    """Say whether an agent that runs code asks by the run before it does."""
    return asks_itself(getattr(agent, "_approval_func", None))


def _hands_off(tool: BaseTool[Any, Any], beside: Sequence[object]) -> bool:
    """Say whether this is AutoGen's own hand-off, which only says something.

    One of another class may do what it likes.
    """
    return any(type(other) is Handoff and other.name == tool.name for other in beside)
