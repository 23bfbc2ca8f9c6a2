"""Small programs of each framework that pay money back once people approved it, and can be killed at any moment.

`my_models.pay` is the action. Those of `GUARDED` begin it in the service; of the others only the framework knows it.
"""

from dataclasses import dataclass
from typing import Final

from tests.adapters.stage import Line

MODELS: Final = """
from countersign.client import executions

executions.LOOKS = 0  # people are asked at once what became of it

def pay(order: int, euros: float) -> str:
    stop(f"before {order}")
    did(order, euros)
    stop(f"after {order}")
    return f"{euros:.2f} EUR were paid back."
"""
REFUND: Final = '''
def refund(order: int, euros: float) -> str:
    """Pay money back."""
    return my_models.pay(order, euros)

'''
AUTOGEN: Final = (
    """
import asyncio

from autogen_agentchat.agents import AssistantAgent, UserProxyAgent
from autogen_agentchat.conditions import TextMentionTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.openai import OpenAIChatCompletionClient

from countersign import requires_approval, slack_input
"""
    + REFUND
    + """
model = OpenAIChatCompletionClient(model="gpt-5")
clerk = AssistantAgent("clerk", model, tools=[refund], reflect_on_tool_use=True)
human = UserProxyAgent("human", input_func=slack_input("#general", key="order 17"))
team = RoundRobinGroupChat([clerk, human], termination_condition=TextMentionTermination("All is done."))
print(asyncio.run(team.run(task="Refund 45 EUR for order 17.")).messages[-1].content)
"""
)
CLASSIC_CALLS: Final = (
    """
import autogen

from countersign.frameworks.ag2_classic import ask_in_slack

ask_in_slack("#general", run="orders")
clerk = autogen.AssistantAgent("clerk", llm_config={"config_list": [{"model": "gpt-5"}]})
user = autogen.UserProxyAgent("user", code_execution_config=False)

@user.register_for_execution()
@clerk.register_for_llm(description="Pay money back.")"""
    + REFUND
    + """
user.initiate_chat(clerk, message="Refund these orders.")
"""
)
CLASSIC_CODE: Final = """
import autogen
from autogen.coding import LocalCommandLineCodeExecutor

from countersign.frameworks.ag2_classic import ask_in_slack

ask_in_slack("#general", run="orders")
clerk = autogen.AssistantAgent("clerk", llm_config={"config_list": [{"model": "gpt-5"}]})
executor = LocalCommandLineCodeExecutor(work_dir=".", timeout=10_000)
user = autogen.UserProxyAgent("user", code_execution_config={"executor": executor})
user.initiate_chat(clerk, message="Refund 45 EUR for order 17.")
"""
AG2: Final = (
    """
import asyncio

from ag2 import Agent, Context, tool
from ag2.config import OpenAIConfig
from ag2.middleware.builtin import approval_required

from countersign.frameworks.ag2 import slack_hook, with_approval
"""
    + REFUND
    + """
hook = slack_hook("#general", run="order 17")
clerk = Agent("clerk", "You refund.", config=OpenAIConfig("gpt-5"), tools=[HERE], hitl_hook=hook)
print(asyncio.run(clerk.ask("Refund 45 EUR for order 17.")).body)
"""
)
AG2_QUESTION: Final = AG2.replace("(order: int, euros: float)", "(order: int, euros: float, context: Context)").replace(
    "    return my_models", '    assert await context.input("Pay it back?") == "yes"\n    return my_models'
)
PYDANTIC_AI: Final = (
    """
from pydantic_ai import Agent

from countersign.frameworks.pydantic_ai import SlackApproval
"""
    + REFUND
    + """
approval = SlackApproval("#general", {"refund"}, run="order 17")
clerk = Agent("openai-chat:gpt-5", name="clerk", tools=[refund], capabilities=[approval])
print(clerk.run_sync("Refund 45 EUR for order 17.").output)
"""
)
LANGCHAIN: Final = (
    """
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langgraph.checkpoint.sqlite import SqliteSaver

from countersign.frameworks.langgraph import SlackApproval, decide
"""
    + REFUND
    + """
with SqliteSaver.from_conn_string("agent.db") as saver:
    agent = create_agent("openai:gpt-5", [refund], middleware=[HERE], checkpointer=saver)
    thread = {"configurable": {"thread_id": "order-17"}}
    task = {"messages": [("user", "Refund 45 EUR for order 17.")]}
    result = agent.invoke(None if agent.get_state(thread).tasks else task, thread)
    while (command := decide("#general", result, thread)) is not None:
        result = agent.invoke(command, thread)
    print(result["messages"][-1].content)
"""
)
GRAPH: Final = (
    """
from typing import TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from countersign.frameworks.langgraph import decide
"""
    + REFUND
    + """
class State(TypedDict, total=False):
    told: str

def ask(state: State) -> State:
    return {"told": refund(17, 45.0) if interrupt("Pay it back?") is True else "It is kept."}

with SqliteSaver.from_conn_string("graph.db") as saver:
    graph = StateGraph(State).add_node(ask).add_edge(START, "ask").add_edge("ask", END).compile(checkpointer=saver)
    thread = {"configurable": {"thread_id": "order-17"}}
    result = graph.invoke(None if graph.get_state(thread).tasks else {}, thread)
    while (command := decide("#general", result, thread)) is not None:
        result = graph.invoke(command, thread)
    print(result["told"])
"""
)

Decision = tuple[str, str, dict[str, str] | None]
"""Words of a card, the button that somebody presses, if they do, and what they send in its window."""
CALL: Final = ("refund", {"order": 17, "euros": 45.0})
ANOTHER: Final = ("refund", {"order": 18, "euros": 5.0})
CODE: Final = "Like this:\n```python\nimport my_models\nmy_models.pay(17, 45.0)\n```"
DONE: Final = "All is done."


@dataclass(frozen=True)
class Killable:
    """A program, what its model plays, and the cards on its way."""

    code: str
    lines: tuple[Line, ...]
    asks: str
    """Words of the card whose approval lets it act."""
    before: tuple[Decision, ...] = ()
    after: tuple[Decision, ...] = ()
    cards: int = 1
    done: tuple[str, ...] = ("17 45.0",)


_CLASSIC_END: Final = ((DONE, "Reject", {"reason": "thanks"}),)  # its human is asked after every message
GUARDED: Final = {
    "a tool of AutoGen with @requires_approval": Killable(
        AUTOGEN.replace("\ndef", '\n@requires_approval("#general", key=lambda call: f"order {call[\'order\']}")\ndef'),
        ("May I pay it back?", CALL, DONE),
        "Refund:",
        before=(("May I pay it back?", "Approve", None),),
        cards=2,
    ),
    "calls of AG2 classic in one message": Killable(
        CLASSIC_CALLS,
        ([CALL, ANOTHER], DONE),
        "Order: 18",
        before=(("Order: 18", "", None), ("Order: 17", "Approve", None)),  # both are on one card
        after=_CLASSIC_END,
        cards=2,
        done=("17 45.0", "18 5.0"),
    ),
    "code of AG2 classic": Killable(CLASSIC_CODE, (CODE, DONE), "my_models.pay", after=_CLASSIC_END, cards=2),
    "with_approval of AG2": Killable(
        AG2.replace("HERE", 'with_approval(refund, "#general", run="order 17")'), (CALL, DONE), "Refund:"
    ),
    "SlackApproval of pydantic-ai": Killable(PYDANTIC_AI, (CALL, DONE), "Refund:"),
    "SlackApproval of LangChain": Killable(
        LANGCHAIN.replace("HERE", 'SlackApproval("#general")'), (CALL, DONE), "Refund:"
    ),
}
UNGUARDED: Final = {
    "slack_input of AutoGen": Killable(AUTOGEN, ("May I pay it back?", CALL, DONE), "May I pay it back?"),
    "approval_required of AG2": Killable(
        AG2.replace("HERE", "tool(refund, middleware=[approval_required()])"), (CALL, DONE), "wants to call the tool"
    ),
    "a question of a tool of AG2": Killable(
        AG2_QUESTION.replace("\ndef", "\nasync def").replace("HERE", "refund"), (CALL, DONE), "Pay it back?"
    ),
    "LangChain's own middleware": Killable(
        LANGCHAIN.replace("HERE", 'HumanInTheLoopMiddleware({"refund": True})'), (CALL, DONE), "Refund:"
    ),
    "an interrupt of LangGraph": Killable(GRAPH, (), "Pay it back?"),
}
