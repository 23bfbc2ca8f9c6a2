"""A program of one's own is told what it names wrongly before anything is touched."""

from typing import Any

import pytest
from autogen_agentchat.base import Team as AutoGenTeam
from pydantic import SecretStr

from countersign.autogen.run_context import RunContext
from countersign.autogen.standalone import run_here
from countersign.domain.errors import InvalidInput
from countersign.settings import WorkerSettings

NOWHERE = WorkerSettings.model_construct(redis_url=SecretStr("redis://127.0.0.1:1/0"))


def never(run: RunContext) -> AutoGenTeam:
    raise AssertionError(run)


@pytest.mark.parametrize(
    "claims",
    [
        {"channel": "#general"},
        {"channel": "C0GENERAL\n"},
        {"requester": "alice"},
        {"requester": "U0… > <!channel> *Approved* by <@U0BOB>"},
        {"name": "email <!here>"},
        {"again": "x}:request:q1"},
    ],
    ids=str,
)
async def test_what_is_no_id_is_said_before_redis_is_asked(claims: dict[str, Any]) -> None:
    """R27: what is wrong is a sentence at once, not a run that nobody can see."""
    named = {"channel": "C0GENERAL", "requester": "U0ALICE"} | claims
    with pytest.raises(InvalidInput, match="so nothing was done with it"):
        await run_here(never, "ask", settings=NOWHERE, **named)
