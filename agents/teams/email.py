"""A team that writes a mail and sends exactly the words that people approved."""

from collections.abc import Sequence
from typing import Final

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response, TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, TextMessage
from autogen_agentchat.teams import SelectorGroupChat
from autogen_core import CancellationToken
from autogen_core.models import LLMMessage, UserMessage

from countersign.teams import (
    ActionFailed,
    Conclusion,
    DecisionTermination,
    Request,
    Run,
    Status,
    Team,
    approved_content,
    current_run,
    decision_in,
)

from ..services.demo_writer import write_mail
from ..services.mail import FORMAT, MailProblem, parse, to_message
from ..services.mail_delivery import deliver, word_for

CORRECTIONS: Final = 3
"""How often in a row a text that isn't a mail is handed back to the drafter."""

NOT_SENT: Final = "Draft (not sent)"
"""Heads a draft that nobody got."""
APPROVED: Final = "Approved text"
"""Heads the text of a mail that was sent, or put into a folder."""
_DRAFTER: Final = f"""\
You write one mail for the task you are given. A person judges every version before anything is sent, and you never
send anything yourself. When you read the person's wishes, work all of them in and answer with the whole new mail.

{FORMAT}"""
_OVER: Final = frozenset(Status) - {Status.PENDING, Status.ANSWERED}


class Checker(BaseChatAgent):
    """An agent without a model that returns a text that isn't a mail to the drafter.

    So nobody is asked to approve it.
    """

    def __init__(self, run: Run) -> None:
        super().__init__("checker", "Says what is wrong with a text that isn't a mail")
        self._run = run
        self._corrections = 0

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        if any(decision_in(message) is not None for message in messages):
            self._corrections = 0
        problem = _problem(messages[-1])
        self._corrections += 1
        if self._corrections > CORRECTIONS:
            self._run.abort(
                ActionFailed(
                    f"The drafter was told {CORRECTIONS} times what is wrong and still hasn't written an email, so "
                    f"nothing was shown to the reviewers and nothing was sent. {problem}"
                )
            )
        words = f"This is not a mail that can be sent, so nobody was asked about it. {problem} Write it again."
        return Response(chat_message=TextMessage(content=words, source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


def build(run: Run) -> AutoGenTeam:
    """Build drafter → reviewer → drafter …, with a checker of what isn't a mail."""
    drafter = AssistantAgent(
        "drafter", model_client=run.model("drafter"), model_client_stream=True, system_message=_DRAFTER
    )
    return SelectorGroupChat(
        [drafter, Checker(run), run.reviewer("reviewer", title=asked, edit=True)],
        model_client=run.model("selector"),  # never asked: _next always knows
        selector_func=_next,
        termination_condition=DecisionTermination(_OVER, sources={"reviewer"}),
    )


def asked(text: str) -> str:
    """Ask about a mail by its recipients."""
    mail = parse(text)
    if isinstance(mail, MailProblem):
        return "Send this message?"
    first, others = mail.to[0].rpartition("<")[2].rstrip(">"), len(mail.to) + len(mail.cc) - 1
    more = f" and {others} other{'s' if others > 1 else ''}" if others else ""
    return f"Send this message to {first}{more}?"


def _next(thread: Sequence[BaseAgentEvent | BaseChatMessage]) -> str:
    last = next(message for message in reversed(thread) if isinstance(message, BaseChatMessage))
    if last.source != "drafter":
        return "drafter"
    return "checker" if _problem(last) else "reviewer"


def _problem(message: BaseChatMessage) -> str:
    parsed = parse(message.to_text())
    return parsed.sentence if isinstance(parsed, MailProblem) else ""


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    """Send what was approved, or say why nothing was sent."""
    decision = decision_in(result.messages[-1])
    if decision is None:
        return Conclusion("The team ended without a decision; nothing was sent.")
    request = await run.request(decision.request)
    draft = approved_content(request) or request.question.content
    why = f" Reason: “{decision.words}”" if decision.words else ""
    match decision.outcome:
        case Status.APPROVED | Status.EDITED:
            word = run.outcomes.done_words[request.id] = word_for(run.settings.smtp_url)
            sent = await run.step(
                "send",
                lambda: _send(run, request),
                content=f"{request.id} {request.digest}",
                shown=draft,
                approved=request,
            )
            by = "Approved." if decision.by else "Approved by timeout, as this channel's settings say."
            by = "Approved with changes." if decision.outcome is Status.EDITED else by
            return Conclusion(f"{by}{why} {sent}", f"{APPROVED}\n\n{draft}", word.capitalize())
        case Status.REJECTED:
            return Conclusion(f"Not sent: it was rejected.{why}", f"{NOT_SENT}\n\n{draft}")
        case Status.EXPIRED:
            return Conclusion("Nobody answered in time; nothing was sent.", f"{NOT_SENT}\n\n{draft}")
        case _:
            return Conclusion(f"Not sent: the request was {decision.outcome}.{why}", f"{NOT_SENT}\n\n{draft}")


async def _send(run: Run, request: Request) -> str:
    """Send exactly what was approved, as shown or as changed, or nothing (R13)."""
    approved = approved_content(request)
    if request.decision is None or approved is None:
        raise ActionFailed("What was approved is not what would be sent, so nothing was sent.")
    draft = parse(approved)
    if isinstance(draft, MailProblem):
        raise ActionFailed(f"What was approved isn't an email, so nothing was sent. {draft.sentence}")
    sender, smtp = run.settings.mail_from, run.settings.smtp_url
    name = f"<{request.id}.{run.run.id}@{sender.partition('@')[2]}>"
    try:
        message = to_message(draft, sender, name, request.decision.at)
    except ValueError as problem:
        raise ActionFailed(f"The email was not sent. {problem}") from None
    return await deliver(message, smtp.get_secret_value() if smtp else None, run.settings.data_dir / "mail")


def play(agent: str, messages: Sequence[LLMMessage]) -> str:
    """Write a mail for the task, with people's wishes worked in, the oldest first."""
    task = next(str(message.content) for message in messages if isinstance(message, UserMessage))
    return write_mail(task, [outcome.words for outcome in current_run().outcomes if outcome.words])


TEAM: Final = Team("email", "writes an email and sends it once it is approved", build, conclude, demo=play)
