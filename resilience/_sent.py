"""What an attempt sends beside the request, and how long a second answer may take."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from resilience._attempt import Attempt
from resilience._criticality import CURRENT_CRITICALITY, CURRENT_LEVEL, lowered
from resilience._deadline import current_deadline
from resilience._wire import CRITICALITY, CRITICALITY_LEVEL, PREVIOUS_ATTEMPTS

if TYPE_CHECKING:
    from resilience._slot import Slot

_LOG = logging.getLogger(__name__)


def sent_metadata(
    slot: "Slot", given: Iterable[Any] | None, attempt: Attempt, number: int
) -> list[tuple[str, Any]] | None:
    """Return *given* with what the attempt adds to it, None when that is nothing.

    Tells the observer that the attempt begins.
    """
    observer = slot.chain.observer
    criticality = slot.criticality
    if slot.tells_criticality:
        criticality = CURRENT_CRITICALITY.get() or criticality
    if number == 1 and observer is None and criticality is None:
        return None
    items: list[tuple[str, Any]] = list(given or ())
    if number > 1:
        items.append((PREVIOUS_ATTEMPTS, str(number - 1)))
    if criticality is not None:
        if attempt.hedged:
            criticality = lowered(criticality)
        items = [item for item in items if item[0] != CRITICALITY]
        items.append((CRITICALITY, criticality.value))
        level = CURRENT_LEVEL.get()
        if level is not None and slot.tells_criticality:
            items = [item for item in items if item[0] != CRITICALITY_LEVEL]
            items.append((CRITICALITY_LEVEL, str(level)))
    if observer is not None:
        try:
            attempt.handle = observer.attempt_started(
                slot.target, slot.method, number, items
            )
        except Exception:  # noqa: BLE001  # whatever an observer raises is its own
            _LOG.exception("an observer failed to watch %s", slot.method)
    return items


def time_left(slot: "Slot") -> float | None:
    """Return the seconds that another target may take for a fallback."""
    deadline = current_deadline()
    if deadline is None or not slot.plan.propagate_deadline:
        return slot.plan.timeout_s
    left = max(deadline.remaining(), 0.001)
    return left if slot.plan.timeout_s is None else min(left, slot.plan.timeout_s)
