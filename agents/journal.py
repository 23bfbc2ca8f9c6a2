"""What came from outside, recorded as it happens, so that a rebuilt run repeats nothing.

The key of an entry is its kind, the asking agent, the digest of what was asked, and the how-many-eth time this was
asked: parallel agents may then interleave differently in a rebuilt run. A human's answer needs no entry, because the
request of a question is found again by its id (`bot.core.requests.request_id`).
"""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self

from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, ModelInfo, RequestUsage
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel, TypeAdapter

from agents.activity import Activity
from agents.patience import patiently
from bot.core import ports
from bot.core.errors import ActionFailed, OutcomeUnknown, UnknownSchema
from bot.core.ids import digest_of
from bot.core.ports import Lease

SCHEMA: Final = 1
_MESSAGES: Final[TypeAdapter[list[LLMMessage]]] = TypeAdapter(list[LLMMessage])


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded effect.

    `value` is the result, or the sentence of a failure; `attempt` tells whose `started` it is, and `at` when that was.
    """

    state: Literal["started", "done", "failed", "unknown"]
    value: str = ""
    attempt: str = ""
    at: str = ""

    def dump(self) -> bytes:
        """JSON with its schema number."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}).encode()

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """From JSON. UnknownSchema if another version of this program wrote it."""
        fields = json.loads(raw)
        if fields.pop("schema", None) != SCHEMA:
            raise UnknownSchema(
                "A recorded step of this run was written by another version of the worker, so the run cannot be "
                "rebuilt by this one. Nothing was repeated; please start the task anew."
            )
        return cls(**fields)


class RunJournal:
    """The journal of one run, as this process goes through it: each `key` is given out once.

    `before_live` is asked before anything happens that nothing recorded answers; what it raises keeps it from
    happening (`agents.divergence`). `now` is the clock of what is recorded.
    """

    def __init__(self, journal: ports.Journal, lease: Lease, entries: Mapping[str, bytes]) -> None:
        self._journal = journal
        self._lease = lease
        self._entries = {key: Entry.load(raw) for key, raw in entries.items()}
        self._times: Counter[str] = Counter()
        self._unused = set(self._entries)
        self.activity = Activity()
        self.before_live: Callable[[str], Awaitable[None]] = _always
        self.now: Callable[[], Awaitable[datetime]] = _by_this_machine

    @classmethod
    async def open(cls, journal: ports.Journal, lease: Lease) -> Self:
        """With everything recorded so far."""
        return cls(journal, lease, await patiently(lambda: journal.entries(lease.run)))

    def key(self, kind: str, agent: str, *content: str) -> str:
        """The key for the next effect of this kind, agent and content."""
        name = f"{kind}/{agent}/{digest_of(*content)[:32]}"
        self._times[name] += 1
        return f"{name}/{self._times[name] - 1}"

    def found(self, key: str) -> Entry | None:
        """What was recorded under the key, if anything."""
        self._unused.discard(key)
        return self._entries.get(key)

    def unused(self) -> set[str]:
        """Keys of what was recorded before this process took the run, and not asked for since."""
        return set(self._unused)

    @asynccontextmanager
    async def live(self, key: str) -> AsyncIterator[None]:
        """Around what happens now, because nothing is recorded under the key."""
        await self.before_live(key)
        with self.activity.working():
            yield

    async def record(self, key: str, entry: Entry, *, replace: bool = False) -> Entry:
        """Record, unless something stands there already (and not `replace`); returns what stands there then.

        Waits for a store that does not answer. LeaseLost if another worker holds the run.
        """
        raw = entry.dump()
        stands = Entry.load(
            await patiently(lambda: self._journal.record(self._lease, key, raw, replace=replace)),
        )
        self._entries[key] = stands
        return stands


async def effect(
    journal: RunJournal, key: str, name: str, act: Callable[[], Awaitable[str]], wanted: Callable[[], Awaitable[None]]
) -> str:
    """Do something outside at most once in the life of the run; what it returned is recorded and returned again.

    `wanted` raises if it must not be done any more; it is asked after `started` was recorded and right before `act`.
    ActionFailed if it certainly did not happen, now or when it was tried; asking for it again is a new try, under a
    new key. OutcomeUnknown if it was started and nobody knows how it ended: the seam where people will be asked.
    """
    if (before := journal.found(key)) is not None:
        return _as_it_ended(before, name)
    async with journal.live(key):
        return await _now(journal, key, name, act, wanted)


async def _now(
    journal: RunJournal, key: str, name: str, act: Callable[[], Awaitable[str]], wanted: Callable[[], Awaitable[None]]
) -> str:
    mine = Entry("started", attempt=secrets.token_hex(8), at=(await journal.now()).isoformat())
    stands = await journal.record(key, mine)
    if stands != mine:
        return _as_it_ended(stands, name)
    try:
        await wanted()
    except BaseException:
        await journal.record(key, Entry("failed", f"“{name}” was not done any more."), replace=True)
        raise
    try:
        result = await act()
    except OutcomeUnknown as unclear:
        await journal.record(key, replace(mine, state="unknown", value=str(unclear)), replace=True)
        raise
    except ActionFailed as failure:
        await journal.record(key, Entry("failed", str(failure)), replace=True)
        raise
    except Exception as error:
        doubt = OutcomeUnknown(
            f"“{name}” ended with an error that does not say whether it happened ({type(error).__name__}). It was not "
            "repeated; please look at the other end before the task is started again."
        )
        await journal.record(key, replace(mine, state="unknown", value=str(doubt)), replace=True)
        raise doubt from error
    await journal.record(key, Entry("done", result), replace=True)
    return result


async def _always(key: str) -> None:
    """Nothing speaks against it."""


async def _by_this_machine() -> datetime:
    return datetime.now(UTC)


def _as_it_ended(entry: Entry, name: str) -> str:
    match entry.state:
        case "done":
            return entry.value
        case "failed":
            raise ActionFailed(entry.value)
        case "unknown":
            raise OutcomeUnknown(entry.value)
        case "started":
            raise OutcomeUnknown(
                f"Nobody knows whether “{name}” happened: the worker was lost while it was under way. It was not "
                "repeated; please look at the other end before the task is started again."
            )


class JournaledModel(ChatCompletionClient):
    """A model client that asks the model once: in a rebuilt run the recorded answer is given.

    `failed` is told what goes wrong with the journal itself (LeaseLost, UnknownSchema), since AutoGen turns
    exceptions into text.
    """

    def __init__(
        self, model: ChatCompletionClient, journal: RunJournal, agent: str, failed: Callable[[Exception], None]
    ) -> None:
        self._model = model
        self._journal = journal
        self._agent = agent
        self._failed = failed

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:
        extra = dict(extra_create_args or {})
        key = self._key(messages, tools, tool_choice, json_output, extra)
        recorded = self._recorded(key)
        if recorded is not None:
            return recorded
        async with self._journal.live(key):
            result = await self._model.create(
                messages,
                tools=tools,
                tool_choice=tool_choice,
                json_output=json_output,
                extra_create_args=extra,
                cancellation_token=cancellation_token,
            )
            return await self._record(key, result)

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> AsyncGenerator[str | CreateResult, None]:
        """Live as the model streams; from the journal the whole text at once, then the result."""
        extra = dict(extra_create_args or {})
        key = self._key(messages, tools, tool_choice, json_output, extra)
        recorded = self._recorded(key)
        if recorded is not None:
            if isinstance(recorded.content, str):
                yield recorded.content
            yield recorded
            return
        async with self._journal.live(key):
            async for piece in self._model.create_stream(
                messages,
                tools=tools,
                tool_choice=tool_choice,
                json_output=json_output,
                extra_create_args=extra,
                cancellation_token=cancellation_token,
            ):
                yield piece if isinstance(piece, str) else await self._record(key, piece)

    def _key(
        self,
        messages: Sequence[LLMMessage],
        tools: Sequence[Tool | ToolSchema],
        tool_choice: Tool | str,
        json_output: bool | type[BaseModel] | None,
        extra: dict[str, Any],
    ) -> str:
        output = json_output if isinstance(json_output, bool | None) else json_output.model_json_schema()
        asked = {
            "tools": [tool.schema if isinstance(tool, Tool) else tool for tool in tools],
            "tool_choice": tool_choice if isinstance(tool_choice, str) else tool_choice.name,
            "json_output": output,
            "extra": extra,
        }
        whole = _MESSAGES.dump_json(list(messages)).decode()
        return self._journal.key("model", self._agent, whole, json.dumps(asked, sort_keys=True, default=str))

    def _recorded(self, key: str) -> CreateResult | None:
        entry = self._journal.found(key)
        return None if entry is None else CreateResult.model_validate_json(entry.value)

    async def _record(self, key: str, result: CreateResult) -> CreateResult:
        if isinstance(result.content, str):
            # Half a surrogate pair is no text that could be stored, shown or sent.
            whole = result.content.encode("utf-8", "replace").decode()
            result = result.model_copy(update={"content": whole})
        try:
            stands = await self._journal.record(key, Entry("done", result.model_dump_json()))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failed(error)
            raise
        return CreateResult.model_validate_json(stands.value)

    async def close(self) -> None:
        """The model belongs to the process and stays open."""

    def actual_usage(self) -> RequestUsage:
        return self._model.actual_usage()

    def total_usage(self) -> RequestUsage:
        return self._model.total_usage()

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return self._model.count_tokens(messages, tools=tools)

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return self._model.remaining_tokens(messages, tools=tools)

    @property
    def capabilities(self) -> ModelInfo:
        """What the old name of `model_info` still asks for."""
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return self._model.model_info
