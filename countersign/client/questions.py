"""Questions of programs: about a text, or about a call of a tool before it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from countersign.domain.errors import NotShown

if TYPE_CHECKING:
    from pydantic import BaseModel

_LONGEST_TITLE: Final = 300


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """The fields of every question.

    `key` is the idempotency key: a repeated key finds the same request. `requester` is the Slack id of the person for
    whom the program asks, `agent` and `task` shown as the origin of the question, `notes` further lines of the card.
    """

    key: str | None = None
    requester: str = ""
    agent: str = ""
    task: str = ""
    notes: Sequence[str] = ()
    callback_url: str = ""

    def _common(self) -> dict[str, Any]:
        return {
            "requester": self.requester,
            "agent": self.agent,
            "task": self.task,
            "notes": list(self.notes),
            "callback_url": self.callback_url,
        }


@dataclass(frozen=True)
class Question(_Asked):
    """A question: people approve or reject it, choose an option, or fill in a form.

    With `edit` they may change the message; use `Decision.message` then. `form` is a pydantic
    model, or the JSON schema of an object. Without a message people judge the title.

        Question("#approvals", "Deploy 2.1?", "To staging.", key="deploy-2.1")
    """

    channel: str = ""
    title: str = ""
    message: str = ""
    options: Sequence[str] = ()
    several: bool = False
    edit: bool = False
    form: "type[BaseModel] | Mapping[str, Any] | None" = None

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that `POST /v1/requests` takes."""
        form = self.form
        fields = {
            "channel": self.channel,
            "title": self.title or (self.message.strip().splitlines() or ["A question"])[0][:_LONGEST_TITLE],
            "message": self.message or ("" if form else self.title),
            "options": list(self.options),
            "several": self.several,
            "edit": self.edit,
            "form": form if form is None or isinstance(form, Mapping) else form.model_json_schema(),
        }
        return _given(fields | self._common())


@dataclass(frozen=True)
class Call(_Asked):
    """A call of a tool, which people judge before it runs.

    `arguments` are JSON values, or a model's JSON text, which is parsed strictly. With the JSON `schema` of the
    arguments, people may change them. `hidden` are paths of arguments whose values nobody may see. Without a `title`,
    the service makes one from the tool and its arguments; `message` is shown after them.

        Call("#approvals", "refund", {"order": 17, "euros": 45}, key="refund-17")
    """

    channel: str
    tool: str
    arguments: Mapping[str, Any] | str
    schema: Mapping[str, Any] | None = None
    hidden: Sequence[str] = ()
    title: str = ""
    message: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that `POST /v1/requests` takes."""
        call = {"tool": self.tool, "schema": self.schema, "hidden": list(self.hidden)}
        fields = {
            "channel": self.channel,
            "title": self.title,
            "message": self.message,
            "call": _given(call) | {"arguments": self._read()},
        }
        return _given(fields | self._common())

    def _read(self) -> Mapping[str, Any] | str:
        from countersign.domain.json_arguments import read_arguments  # only needed by programs with a call

        if not isinstance(self.arguments, str):
            return self.arguments
        try:
            return read_arguments(self.arguments)
        except NotShown:
            return self.arguments  # nobody is asked about it, and the model reads the reason


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
