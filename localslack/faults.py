"""Faults on demand, as a network and a busy Slack have them."""

import asyncio
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any, Literal, get_args

ApiKind = Literal["delay", "ratelimited", "server_error", "error", "lost_reply", "lost_request"]
DeliveryKind = Literal["deliver_delay", "deliver_twice", "deliver_drop"]
Kind = ApiKind | DeliveryKind
API_KINDS: tuple[str, ...] = get_args(ApiKind)
DELIVERY_KINDS: tuple[str, ...] = get_args(DeliveryKind)


@dataclass
class Fault:
    """One armed fault.

    `on`: a pattern of API methods (`chat.*`, `response_url`, `upload` for a file's bytes), or of deliveries:
    `slash_commands`, `block_actions`, `view_submission`, `view_closed`, or an event's type.

    `times`: how many calls it still hits; None for ever. `skip`: how many calls pass untouched first.
    `seconds`: length of a delay, which `over` ends before; `retry_after` of a 429; `error`: the code of kind `error`.
    """

    kind: Kind
    on: str = "*"
    times: int | None = 1
    skip: int = 0
    seconds: float = 0.0
    retry_after: int = 1
    status: int = 503
    error: str = "internal_error"
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Faults:
    def __init__(self) -> None:
        self.active: list[Fault] = []

    def add(self, kind: Kind, on: str = "*", **details: Any) -> Fault:
        """Arm a fault; details are the fields of `Fault`.

        Raises ValueError for an unknown kind.
        """
        if kind not in API_KINDS and kind not in DELIVERY_KINDS:
            raise ValueError(f"There is no fault {kind!r}; there are {', '.join(API_KINDS + DELIVERY_KINDS)}.")
        fault = Fault(kind, on, **details)
        self.active.append(fault)
        return fault

    def clear(self) -> None:
        self.active.clear()

    def take(self, name: str, kinds: tuple[str, ...]) -> list[Fault]:
        """The faults that hit this call or delivery now, each counted as used."""
        hit = []
        for fault in list(self.active):
            if fault.kind not in kinds or not fnmatch(name, fault.on):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.active.remove(fault)
            hit.append(fault)
        return hit
