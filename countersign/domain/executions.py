"""Executions: each is one try to perform an approved action.

`web` grants an execution once, right before it starts. If nobody reports how it ended, only people can find out whether
the action happened; another execution then needs their answer, or an action that may safely happen twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from countersign.domain.ids import Digest, RequestId, digest_of

LONGEST_EXECUTION: Final = 100
"""Most characters of an execution's name."""


class ExecutionOutcome(StrEnum):
    """The known outcome of a granted execution."""

    OPEN = ""
    DONE = "done"
    FAILED = "failed"
    IN_DOUBT = "in doubt"
    """People are asked whether it happened, or were told that nobody knows."""
    REPLACED = "replaced"
    """It did nothing, or people asked for another execution."""


class Begun(StrEnum):
    """The answer to an execution that is about to start; only `GRANTED` lets it act."""

    GRANTED = "granted"
    GRANTED_BEFORE = "granted before"
    """A lost worker may have acted without a report."""
    DONE = "done"
    FAILED = "failed"
    TAKEN = "taken"
    """Another execution of the same action was granted."""
    NOT_APPROVED = "not approved"
    CHANGED = "changed"
    """The action differs from the approved one."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to perform one execution of what people decided.

    `fence` belongs to the worker that got the grant. `step` distinguishes several actions that share one decision.
    """

    request: RequestId
    fence: int = 0
    step: str = ""
    outcome: ExecutionOutcome = ExecutionOutcome.OPEN


Grants = Mapping[str, Grant]
"""Grants by the names of their executions, the newest last."""


def grant(
    grants: Grants, execution: str, wanted: Grant, *, replaces: str = "", idempotent: bool = False
) -> tuple[Grants, Begun]:
    """Grant the execution, unless it or another of the same action may have acted.

    `replaces` names the execution that people want repeated. An `idempotent` execution may start again.
    """
    known = grants.get(execution)
    if known is None:
        others = [name for name in standing(grants, wanted.request, wanted.step) if name != execution]
        if others != ([replaces] if replaces else []):
            return grants, Begun.TAKEN
        if any(grants[name].outcome is ExecutionOutcome.DONE for name in others):
            return grants, Begun.DONE  # the report came after people had answered that it did not happen
        earlier = {name: replace(grants[name], outcome=ExecutionOutcome.REPLACED) for name in others}
        return {**grants, **earlier, execution: wanted}, Begun.GRANTED
    if (known.request, known.step) != (wanted.request, wanted.step) or known.outcome is ExecutionOutcome.REPLACED:
        return grants, Begun.TAKEN
    if known.outcome in (ExecutionOutcome.DONE, ExecutionOutcome.FAILED):
        return grants, Begun(known.outcome)
    if known.outcome is ExecutionOutcome.OPEN and known.fence == wanted.fence:
        return grants, Begun.GRANTED  # the first reply was lost
    if idempotent:
        return {**grants, execution: wanted}, Begun.GRANTED
    return grants, Begun.GRANTED_BEFORE


def standing(grants: Grants, request: RequestId, step: str = "") -> list[str]:
    """List the executions that may have performed an action: at most one."""
    return [
        name
        for name, one in grants.items()
        if one.request == request and one.step == step and one.outcome is not ExecutionOutcome.REPLACED
    ]


def note(grants: Grants, execution: str, outcome: ExecutionOutcome) -> Grants:
    """Record the outcome of a granted execution."""
    return {**grants, execution: replace(grants[execution], outcome=outcome)}


def doubt(grants: Grants, execution: str) -> Grants:
    """Note that people are asked whether the action happened; a known outcome stays."""
    known = grants.get(execution)
    if known is None or known.outcome is not ExecutionOutcome.OPEN:
        return grants
    return note(grants, execution, ExecutionOutcome.IN_DOUBT)


def take_back(grants: Grants, execution: str) -> Grants:
    """Drop an execution that did nothing, so that another one may start."""
    return note(grants, execution, ExecutionOutcome.REPLACED) if execution in grants else grants


def doubt_title(action: str) -> str:
    """Write the title of the question whether an action happened that began."""
    return f"Did “{action[:280]}” happen?"


def digest_of_call(tool: str, arguments: str) -> Digest:
    """Digest a call that is about to run; `arguments` are canonical JSON."""
    return digest_of("call", tool, arguments)
