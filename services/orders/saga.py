"""The checkout saga as a pure table: which step comes next, whatever happened.

An order is durable before the first step. Every step may be repeated, so whoever
finds the order later (the same customer, or the resumer) starts from the state that
the database has and goes on. A step that may or may not have happened is never
undone blindly: it is left to be repeated.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from services.orders.domain import OrderState


class Step(StrEnum):
    """One effect of the saga; those in capitals of the docs write the order itself."""

    RESERVE = "reserve"
    AUTHORISE = "authorise"
    CAPTURE = "capture"
    COMMIT = "commit"
    CONFIRM = "confirm"
    REJECT = "reject"
    REFUND = "refund"
    RELEASE = "release"
    CLOSE = "close"


class Outcome(StrEnum):
    """What became of a step."""

    DONE = "done"
    # A business refusal: it did not happen and will not.
    REFUSED = "refused"
    # The order is no longer in the state the step needs: somebody else moved it.
    OVERTAKEN = "overtaken"
    # Nobody knows; repeat it later.
    UNKNOWN = "unknown"


class End(StrEnum):
    """Why a saga has no next step here."""

    FINISHED = "finished"
    RELOAD = "reload"
    PAUSED = "paused"


FORWARD = (
    Step.RESERVE,
    Step.AUTHORISE,
    Step.CAPTURE,
    Step.COMMIT,
    Step.CONFIRM,
)
BACKWARD = (Step.REJECT, Step.REFUND, Step.RELEASE, Step.CLOSE)

#: The state that a step writes, for those that write one.
WRITES = {
    Step.CONFIRM: OrderState.CONFIRMED,
    Step.REJECT: OrderState.REJECTING,
    Step.CLOSE: OrderState.REJECTED,
}

#: Where an order that was found in a state goes on.
ENTRY: dict[OrderState, Step | None] = {
    OrderState.ACCEPTED: Step.RESERVE,
    OrderState.CONFIRMED: None,
    OrderState.REJECTING: Step.REFUND,
    OrderState.REJECTED: None,
}

#: Steps whose refusal is a decision against the order. A refused COMMIT has none:
#: what is paid and no longer reserved was rejected by somebody else.
DECIDES = frozenset({Step.RESERVE, Step.AUTHORISE, Step.CAPTURE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """A saga at one moment: the step to take, or why there is none."""

    step: Step | None
    end: End | None = None
    rejection: str = ""

    @classmethod
    def at(cls, state: OrderState) -> "Saga":
        """Start, or go on, from what the database says."""
        step = ENTRY[state]
        return cls(step=step, end=None if step else End.FINISHED)

    def after(self, outcome: Outcome, reason: str = "") -> "Saga":
        """Return the saga once its step came out so; `reason` is for a refusal."""
        assert self.step is not None, "the saga has ended"
        match outcome:
            case Outcome.DONE:
                return self._advanced()
            case Outcome.REFUSED if self.step in DECIDES:
                return replace(self, step=Step.REJECT, rejection=reason)
            case Outcome.REFUSED | Outcome.OVERTAKEN:
                return replace(self, step=None, end=End.RELOAD)
            case Outcome.UNKNOWN:
                return replace(self, step=None, end=End.PAUSED)

    def _advanced(self) -> "Saga":
        assert self.step is not None
        road = FORWARD if self.step in FORWARD else BACKWARD
        following = road[road.index(self.step) + 1 :]
        if not following:
            return replace(self, step=None, end=End.FINISHED)
        return replace(self, step=following[0])
