"""A team that writes a report from notes and keeps it once people signed it off."""

import asyncio
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response, TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, TextMessage
from autogen_agentchat.teams import SelectorGroupChat
from autogen_core import CancellationToken
from autogen_core.models import LLMMessage, UserMessage

from countersign.teams import (
    DEMO_NOTE,
    ActionFailed,
    Conclusion,
    DecisionTermination,
    DemoCall,
    Kind,
    Option,
    OutcomeKind,
    Request,
    Run,
    Status,
    Team,
    approved_content,
    current_run,
    decision_in,
    demo_turns,
)
from countersign.teams.conversation import HumanInputMode, last_line

from ..services.notes import Notes

ENOUGH: Final = "ENOUGH"
FINE: Final = "FINE"
TURNS: Final = 4
"""How often the researcher is sent on, at most."""
_RESEARCHER: Final = f"""\
You look for facts in the notes, by search_notes, and list them with the file that each is from. When you are sent on,
look for what is missing. When nothing is, write {ENOUGH} on a last line of its own."""
_WRITER: Final = """\
You write a short report from what the researcher found, and from nothing else; each fact names its file. When somebody
wants it otherwise, write the whole report again. Answer with the report alone."""
_CRITIC: Final = f"""\
You look at the report before people do: is each fact one that the researcher found, and is the task answered? Say in a
few sentences what is wrong, for the writer. If nothing is, say so, and write {FINE} on a last line of its own."""
_OVER: Final = frozenset(Status) - {Status.PENDING, Status.ANSWERED}


class Editor(BaseChatAgent):
    """An agent without a model that joins report and criticism for people to judge."""

    def __init__(self) -> None:
        super().__init__("editor", "Shows people the report, and what the critic says of it")

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        report, critic = (
            next(m.to_text() for m in reversed(messages) if m.source == who) for who in ("writer", "critic")
        )
        verdict = critic.strip().removesuffix(FINE).strip()
        return Response(chat_message=TextMessage(content=f"The critic: {verdict}\n\n{report}", source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


def build(run: Run) -> AutoGenTeam:
    """Build specialists, a worker who passes tasks on, and an approver who signs off."""
    run.outcomes.marks |= {ENOUGH, FINE}
    notes = Notes(run.settings.data_dir / "research")
    tools = run.tools("researcher", [notes.search_notes], ask=False, idempotent=True)
    researcher = AssistantAgent(
        "researcher", run.model("researcher"), workbench=tools, system_message=_RESEARCHER, max_tool_iterations=6
    )
    worker = run.reviewer(
        "worker",
        mode=HumanInputMode.NEVER,
        is_termination_msg=lambda message: False,  # the next speaker is chosen below
        default_auto_reply=f"Go on: what is missing? Nothing: {ENOUGH}.",
    )
    return SelectorGroupChat(
        [
            researcher,
            worker,
            AssistantAgent("writer", run.model("writer"), model_client_stream=True, system_message=_WRITER),
            AssistantAgent("critic", run.model("critic"), system_message=_CRITIC),
            Editor(),
            run.reviewer("approver", title="Sign off this report?", edit=True),
        ],
        model_client=run.model("selector"),  # never asked: _next always knows
        selector_func=partial(_next, rounds=int(run.options["rounds"])),
        termination_condition=DecisionTermination(_OVER, sources={"approver"}),
    )


def _next(thread: Sequence[BaseAgentEvent | BaseChatMessage], rounds: int) -> str:
    messages = [message for message in thread if isinstance(message, BaseChatMessage)]
    match messages[-1].source:
        case "researcher":
            sent_on = sum(message.source == "worker" for message in messages)
            return "writer" if sent_on >= TURNS or last_line(ENOUGH)(messages[-1]) else "worker"
        case "worker" | "user":
            return "researcher"
        case "critic":
            last = max((n for n, message in enumerate(messages) if message.source == "approver"), default=0)
            often = sum(message.source == "critic" for message in messages[last:]) >= rounds
            return "editor" if often or last_line(FINE)(messages[-1]) else "writer"
        case speaker:
            return {"writer": "critic", "editor": "approver"}.get(speaker, "writer")


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    """Keep the signed-off report, byte for byte as shown, or say why nothing was kept."""
    decision = decision_in(result.messages[-1])
    if decision is None:
        return Conclusion("The team ended without a decision; nothing was kept.")
    request = await run.request(decision.request)
    report = approved_content(request) or request.question.content
    why = f" Reason: “{decision.words}”" if decision.words else ""
    if decision.outcome in (Status.APPROVED, Status.EDITED):
        path = run.settings.data_dir / "research" / "reports" / f"{run.run.id}.md"
        run.outcomes.done_words[request.id] = "kept"
        kept = await run.step(
            "keep", lambda: _keep(request, path), content=f"{request.id} {request.digest}", approved=request
        )
        how = "Signed off" if decision.by else "Approved by timeout"
        changed = "A reviewer changed the report before it was approved. " * (decision.outcome is Status.EDITED)
        return Conclusion(f"{changed}{kept}{why}", report, how, {"report.md": report})
    if decision.outcome is Status.EXPIRED:
        return Conclusion("Nobody answered in time; the report was not kept.", report)
    return Conclusion(f"The report was not kept: it was {decision.outcome}.{why}", report)


async def _keep(request: Request, path: Path) -> str:
    approved = approved_content(request)
    if approved is None:
        raise ActionFailed("No report was approved, so nothing was kept.")

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(approved, encoding="utf-8")

    await asyncio.to_thread(write)
    return "The report was kept."


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    """Report what was found; the critic wants sources; people's words become a line."""
    texts = [(message.source, str(message.content)) for message in messages if isinstance(message, UserMessage)]
    task = texts[0][1]
    if agent == "researcher":
        return _research(task, messages)
    if agent == "critic":
        report = next(words for source, words in reversed(texts) if source == "writer")
        wants_sources = "[" not in report.replace(DEMO_NOTE, "") and "- " in report
        words = (
            "Say which file each fact is from." if wants_sources else "Each fact names its file, and nothing was added."
        )
        return words if wants_sources else f"{words}\n\n{FINE}"  # people read it above the report, which has the note
    findings = "\n".join(words for source, words in texts if source == "researcher")
    facts = list(dict.fromkeys(re.findall(r"^- (\S+): (.+)$", findings, re.MULTILINE)))
    sources = any(source == "critic" for source, _ in texts)
    outcomes = current_run().outcomes
    wishes = [one.words for one in outcomes if one.kind is Kind.MESSAGE and one.became is OutcomeKind.ANSWERED]
    if any(re.search(r"\bshort", wish, re.IGNORECASE) for wish in wishes):
        facts = facts[:1]
    lines = [f"- {fact} [{file}]" if sources else f"- {fact}" for file, fact in facts] or ["Nothing was found."]
    lines += [f"Requested: {wish}" for wish in wishes if not re.search(r"\bshort", wish, re.IGNORECASE)]
    return "\n".join([f"Report: {task}", "", *lines, "", DEMO_NOTE])


def _research(task: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    searched = next(iter(current_run().outcomes.of("search_notes")), None)
    if searched is None:
        return [DemoCall("search_notes", {"words": task})]
    if demo_turns(messages) == 1 and not searched.why_not:
        return f"Found:\n{searched.result}\n\n{DEMO_NOTE}"
    return f"There is nothing else in the notes.\n\n{DEMO_NOTE}\n\n{ENOUGH}"


TEAM: Final = Team(
    "research",
    "searches notes and writes a report",
    build,
    conclude,
    options=(
        Option(
            "rounds",
            "How many times the critic can send it back",
            ("1", "2", "3"),
            "2",
            "After that, people see it anyway.",
        ),
    ),
    demo=play,
)
