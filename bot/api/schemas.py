"""JSON that programs send and receive; the OpenAPI document is made from it."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from countersign.domain import texts_for_models
from countersign.domain.calls import LONGEST_ARGUMENTS, Call, canonical, in_order, labelled, title_of, with_details
from countersign.domain.events import escape_marks
from countersign.domain.executions import LONGEST_EXECUTION, standing
from countersign.domain.ids import ChannelId
from countersign.domain.redaction import hide_in
from countersign.domain.request_endings import approved_content, called
from countersign.domain.requests import Kind, Question, Verb
from countersign.domain.runs import Status as RunStatus
from countersign.domain.text_checks import is_legible
from countersign.usecases.executions import LONGEST_OUTCOME
from countersign.usecases.found_requests import ProgramRequest

from .bodies import JsonObject

LONGEST_TITLE: Final = 300
LONGEST_MESSAGE: Final = 100_000
MOST_OPTIONS: Final = 100
LONGEST_SCHEMA: Final = 200_000
LONGEST_OPTION: Final = 75
"""Characters that Slack shows of an option; two that differ only behind that would look the same."""
_STRICT: Final = ConfigDict(extra="forbid")
"""Texts keep their whitespace, so a program acts on exactly the text that it sent (R37)."""


class CallBody(BaseModel):
    """A call that runs only if people approve exactly these arguments."""

    model_config = _STRICT
    tool: str = Field(min_length=1, max_length=200, examples=["refund"])
    arguments: JsonObject = Field(default_factory=dict, description="The arguments, as a JSON object.")
    arguments_schema: JsonObject | None = Field(
        None, alias="schema", description="JSON Schema of the arguments. With it, reviewers can change them."
    )
    hidden: list[Annotated[str, Field(max_length=300)]] = Field(
        default_factory=list, max_length=50, description="Paths of arguments to hide from people, like `headers.token`."
    )

    @field_validator("tool")
    @classmethod
    def _plain(cls, tool: str) -> str:
        if tool != tool.strip() or not tool.isprintable():
            raise ValueError("the name has spaces around it, or characters that can't be seen")
        return tool


class AskBody(BaseModel):
    """A question to people: a message, a call, options to choose from, or a form."""

    model_config = _STRICT
    title: str = Field(
        "",
        max_length=LONGEST_TITLE,
        examples=["Send this mail?"],
        description="Optional for a `call`, whose tool and arguments make one.",
    )
    channel: str = Field(
        "", max_length=100, description="`#name`, the name alone, or an id; optional if the key has only one."
    )
    message: str = Field(
        "", max_length=LONGEST_MESSAGE, description="What people review; with a `call`, after its arguments."
    )
    call: CallBody | None = None
    form: JsonObject | None = Field(
        None, description="JSON Schema of an object that people fill in; it comes back as the decision's arguments."
    )
    options: list[Annotated[str, Field(min_length=1, max_length=LONGEST_OPTION)]] = Field(
        default_factory=list, max_length=MOST_OPTIONS
    )
    several: bool = Field(False, description="Whether more than one option may be chosen.")
    edit: bool = Field(
        False, description="Whether reviewers may change the message; use the decision's `message` then, not your own."
    )
    notes: list[Annotated[str, Field(min_length=1, max_length=500)]] = Field(default_factory=list, max_length=10)
    agent: str = Field(
        "program", min_length=1, max_length=60, pattern=r"^[\w.-]+$", description="Who asks, as shown to people."
    )
    task: str = Field("", max_length=LONGEST_MESSAGE, description="The task that this is part of.")
    requester: str = Field(
        "",
        pattern=r"^([UW][A-Z0-9]{1,30}|@[^@<>]{1,80})?$",
        description="The person who started this, as the program says: a Slack id, or `@name` if only one has it.",
    )

    callback_url: str = Field(
        "", max_length=2000, description="URL that also gets the decision, signed as Standard Webhooks says."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if not self.title.strip() and self.call is None:
            raise ValueError("`title` is empty")
        if sum(kind not in (None, []) for kind in (self.call, self.options, self.form)) > 1:
            raise ValueError("send only one of `call`, `options` and `form`")
        if self.call is None and self.form is None and not self.message and not self.options:
            raise ValueError("send one of `message`, `call`, `options` and `form`")
        for schema in (self.form, self.call.arguments_schema if self.call else None):
            if schema is not None and len(canonical(schema)) > LONGEST_SCHEMA:
                raise ValueError(f"a schema has at most {LONGEST_SCHEMA:,} characters")
        if self.edit and (self.call is not None or self.options or self.form is not None):
            raise ValueError("`edit` is for a `message`; give a `call` a `schema` instead")
        if not all(map(is_legible, (self.title or "…", self.message or "…", *self.options))):
            raise ValueError("`title`, `message` and each of `options` need characters that can be seen")
        if len({option.strip() for option in self.options}) != len(self.options):
            raise ValueError("`options` has an option twice")
        if self.call is not None and len(canonical(self.call.arguments)) > LONGEST_ARGUMENTS:
            raise ValueError(f"`call.arguments` has more than {LONGEST_ARGUMENTS:,} characters")
        return self

    def question(self) -> Question:
        """Return the question in the domain's form."""
        ask = partial(Question, self.agent, 0, title=self.title, notes=tuple(self.notes), claimed=True)
        judge, content = (Verb.APPROVE, Verb.REJECT, Verb.RESPOND), self.message or self.title
        if self.call is not None:
            declared = self.call.arguments_schema or {}
            call = Call(
                self.call.tool,
                canonical(self.call.arguments),
                json.dumps(declared) if declared else "",
                tuple(self.call.hidden),
            )
            seen = in_order(hide_in(escape_marks(json.loads(call.arguments)), call.hidden)[0], declared)
            shown = labelled(seen)
            if self.message:  # after the bar no line of it looks like an argument
                said = "\n".join(f"  │ {line}" for line in self.message.splitlines())
                shown = f"{shown}\n\nThe program says:\n{said}"
            title = with_details(self.title, seen) if self.title.strip() else title_of(call.tool, seen)
            return ask(
                kind=Kind.TOOL,
                title=title,
                content=shown,
                offers=(*judge, Verb.EDIT) if declared else judge,
                call=call,
            )
        if self.form is not None:
            fields = Call("form", "{}", json.dumps(self.form))
            return ask(kind=Kind.FORM, content=content, offers=(Verb.EDIT, Verb.RESPOND, Verb.REJECT), call=fields)
        if self.options:
            offers = (Verb.CHOOSE, Verb.RESPOND, Verb.REJECT)
            return ask(
                kind=Kind.CHOICE, content=content, offers=offers, options=tuple(self.options), several=self.several
            )
        return ask(kind=Kind.MESSAGE, content=content, offers=(*judge, Verb.EDIT) if self.edit else judge)


class OutcomeBody(BaseModel):
    """The outcome of the action that was approved."""

    model_config = _STRICT
    succeeded: bool
    words: str = Field("", max_length=LONGEST_OUTCOME, description="A sentence for people: `Sent to 3 people.`")


class BeginBody(BaseModel):
    """The execution that is about to act."""

    model_config = _STRICT
    execution: str = Field(
        max_length=LONGEST_EXECUTION,
        description="A random name of this execution; sent again, it is the same execution.",
    )
    replaces: str = Field(
        "",
        max_length=LONGEST_EXECUTION,
        description="An execution that did nothing, as people say. With an empty `execution`, nothing has begun then.",
    )

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if not self.execution and not self.replaces:
            raise ValueError("`execution` is empty")
        return self


class WithdrawBody(BaseModel):
    """The reason for taking the request back."""

    model_config = _STRICT
    why: str = Field("", max_length=500)


class DecisionView(BaseModel):
    """The decision on a request."""

    outcome: Literal["approved", "rejected", "answered", "edited", "expired", "withdrawn"]
    how: str = Field(description="`reviewers`, `timeout`, `policy`, `permission`, `break_glass` or `run`.")
    at: datetime
    by: list[str] = Field(description="Slack ids of those who decided; empty if no person did.")
    names: list[str] = Field(description="Their names, in the order of `by`; the id where Slack named nobody.")
    words: str
    arguments: dict[str, Any] | None = Field(
        description="Those of a call that may run, or what a form was filled in with. Else null."
    )
    message: str | None = Field(
        description="The message that may be used: as it was asked about, or as a reviewer changed it. Else null."
    )
    chosen: list[str]
    text: str = Field(description="The decision as a model reads it: what was decided, and what to do next.")


class OutcomeView(BaseModel):
    """The outcome reported by the program; null before the report."""

    succeeded: bool
    words: str


class RequestView(BaseModel):
    """A request as it stands."""

    id: str
    status: Literal["pending", "approved", "rejected", "answered", "edited", "expired", "withdrawn"]
    channel: str
    cards_in: str = Field(description="The channel where people see it: `#name`, or its id.")
    card_link: str | None = Field(
        description="Where people see it: its page, or its card once it is posted; only in `GET /v1/requests/{id}`."
    )
    title: str
    created_at: datetime
    deadline: datetime | None
    decision: DecisionView | None
    begun_by: str | None = Field(description="The execution that began to act, by `begin`; null if none did.")
    outcome: OutcomeView | None

    @classmethod
    def of(
        cls, asked: ProgramRequest, channels: Mapping[str, ChannelId] = MappingProxyType({}), card_link: str = ""
    ) -> "RequestView":
        """Return the view of a request; `channels` by name."""
        request, run = asked.request, asked.run
        cards_in = request.rules.approvals_channel
        return cls.model_validate(
            {
                "id": request.id,
                "status": request.status.value,
                "channel": request.channel,
                "cards_in": next((f"#{name}" for name, one in channels.items() if one == cards_in), cards_in),
                "card_link": card_link or None,
                "title": request.question.title,
                "created_at": request.created_at,
                "deadline": request.deadline,
                "decision": _decision(asked),
                "begun_by": next(iter(standing(run.grants, request.id)), None),
                "outcome": {"succeeded": run.status is RunStatus.FINISHED, "words": run.result}
                if run.told_outcome
                else None,
            }
        )


class CallbackView(BaseModel):
    """The body that is posted to a callback."""

    type: Literal["request.decided"]
    timestamp: datetime = Field(description="When it was decided.")
    data: RequestView


class ListView(BaseModel):
    """Requests of this key that wait, the oldest first."""

    requests: list[RequestView]


class ProblemView(BaseModel):
    """A problem, as RFC 9457 has it."""

    type: str = Field(examples=["urn:countersign:unknown-key"])
    title: str
    status: int
    detail: str


def _decision(asked: ProgramRequest) -> dict[str, Any] | None:
    request = asked.request
    decision, call = request.decision, request.question.call
    if decision is None:
        return None
    runs = {"approved": call.arguments if call else "", "edited": decision.arguments}.get(decision.outcome.value, "")
    return {
        "outcome": decision.outcome.value,
        "how": decision.how.value,
        "at": decision.at,
        "by": list(decision.by),
        "names": list(called(decision.by, decision.names)),
        "words": decision.words,
        "arguments": json.loads(runs) if call is not None and runs else None,
        "message": approved_content(request) if request.question.kind is Kind.MESSAGE else None,
        "chosen": list(decision.chosen),
        "text": texts_for_models.answer(request),
    }
