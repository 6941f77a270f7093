"""Which requests go wrong, and how: a policy that decides the same for the same requests and seed."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cluster.api_requests import Request


class Fault(StrEnum):
    CONFLICT = "conflict"
    """409: Conflict without effect to updates and deletions, AlreadyExists after the effect to creations."""
    TOO_MANY = "too many requests"
    """429 with Retry-After."""
    INTERNAL = "internal error"
    """500."""
    UNAVAILABLE = "unavailable"
    """503."""
    CUT_BEFORE = "cut before"
    """The connection breaks before the server hears of it."""
    CUT_AFTER = "cut after"
    """The connection breaks when the server has done it: the answer is lost."""
    CUT_WATCH = "cut watch"
    """A watch breaks after a moment."""
    DELAY = "delay"
    """It takes a moment longer."""


REFUSALS = {
    Fault.TOO_MANY: (429, "TooManyRequests"),
    Fault.INTERNAL: (500, "InternalError"),
    Fault.UNAVAILABLE: (503, "ServiceUnavailable"),
}
OF_WATCHES = (Fault.CUT_WATCH, Fault.TOO_MANY, Fault.INTERNAL, Fault.UNAVAILABLE, Fault.CUT_BEFORE)


def fits(fault: Fault, request: Request) -> bool:
    """Whether a real server or network could show this fault to such a request."""
    if request.verb == "watch":
        return fault in OF_WATCHES
    if fault == Fault.CONFLICT:
        return request.verb in {"update", "patch", "delete"} or (
            request.verb == "create" and "/" not in request.resource
        )
    return fault != Fault.CUT_WATCH


@dataclass(frozen=True)
class Decision:
    fault: Fault | None = None
    seconds: float = 0
    """Of a delay, or of a watch until it breaks."""
    retry_after: int = 0


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Faults for a share of the requests. The n-th request of a kind to a path always fares alike."""

    seed: int
    rate: float
    faults: Sequence[Fault] = tuple(Fault)
    applies: Callable[[Request], bool] = lambda request: True

    def decide(self, request: Request, occurrence: int) -> Decision:
        chance = random.Random(f"{self.seed} {request.verb} {request.path} {occurrence}")
        possible = [fault for fault in self.faults if fits(fault, request)]
        if not possible or chance.random() >= self.rate or not self.applies(request):
            return Decision()
        return Decision(chance.choice(possible), chance.uniform(0.05, 1), chance.randint(0, 1))
