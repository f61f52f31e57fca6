"""Whether lost work is run again, when, and what is known of the last attempt.

Pure: neither waits nor asks. The runner of `Database` and the blocking one both do
what this says, so that they cannot differ.

Once a commit was not confirmed the work is in doubt. From then on nothing but the
caller's own look for the idempotency key may end the doubt, and what is raised
meanwhile says "it may have happened", never "it did not".
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from cockroach.errors import (
    AmbiguousCommitError,
    ConstraintError,
    DatabaseError,
    OutOfRetriesError,
    TransactionConflictError,
)
from resilience import (
    Deadline,
    Listener,
    RetryRefused,
    RetryScheduled,
    TokenBucket,
)

T = TypeVar("T")

_BASE_S = 0.01
_CAP_S = 0.5
_TAKEN = "23505"

Reason = Literal["budget", "attempts", "deadline"]


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """What a look for an idempotency key found: the work was done, with this result."""

    value: T


class Attempts:
    """The attempts of one piece of work.

    `at_most` counts the first one. `budget` is shared by all work on one region: a
    lost attempt takes a token, a good one gives back a part of one, and there are
    retries only while more than half is left (gRFC A6), so that a region in trouble
    is not asked a multiple of what its callers want. `deadline` bounds the waits.
    `resolvable`: the caller can tell whether the work was done.
    """

    __slots__ = (
        "_at_most",
        "_budget",
        "_deadline",
        "_first_doubt",
        "_listener",
        "_method",
        "_resolvable",
        "_rng",
        "_target",
        "doubt",
        "lost",
    )

    def __init__(
        self,
        target: str,
        method: str,
        *,
        at_most: int,
        budget: TokenBucket | None,
        deadline: Deadline | None,
        rng: random.Random,
        listener: Listener | None = None,
        resolvable: bool = False,
    ) -> None:
        self._target = target
        self._method = method
        self._at_most = at_most
        self._budget = budget
        self._deadline = deadline
        self._rng = rng
        self._listener = listener
        self._resolvable = resolvable
        self._first_doubt: AmbiguousCommitError | None = None
        self.doubt: AmbiguousCommitError | None = None
        self.lost = 0

    def __repr__(self) -> str:
        doubt = ", in doubt" if self.doubt else ""
        return f"<Attempts {self._target} {self.lost}/{self._at_most} lost{doubt}>"

    def missing(self) -> None:
        """Note that the look for the key found nothing: the work may run again.

        It writes the same key, so a first attempt that is committed late after all
        is met by the key's constraint. Raises AmbiguousCommitError where the work has
        had its attempts.
        """
        if self._first_doubt is not None and self.lost >= self._at_most:
            raise self._first_doubt
        self.doubt = None

    def after(self, error: DatabaseError) -> float:
        """Count a lost attempt; return the seconds to wait before the next.

        Raises the error where there is to be none: OutOfRetriesError after
        conflicts, AmbiguousCommitError for as long as the work may have been done.
        """
        self.lost += 1
        again = self._again(error)
        affordable = self._budget is None or not again or self._budget.failed()
        if not again:
            raise self._final(error)
        delay = pause_s(self.lost, self._rng)
        code = error.sqlstate or type(error).__name__
        reason = self._reason(delay, affordable=affordable)
        if reason is None:
            self._tell(
                RetryScheduled(
                    target=self._target,
                    method=self._method,
                    attempt=self.lost,
                    delay_s=delay,
                    code=code,
                )
            )
            return delay
        if self._at_most > 1:
            self._tell(
                RetryRefused(
                    target=self._target,
                    method=self._method,
                    attempt=self.lost,
                    reason=reason,
                    code=code,
                )
            )
        if self._first_doubt is None and isinstance(error, TransactionConflictError):
            raise OutOfRetriesError(self.lost, why=reason, sqlstate=code) from error
        raise self._final(error)

    def _again(self, error: DatabaseError) -> bool:
        """Tell whether another look or another run could help; note a doubt."""
        if isinstance(error, AmbiguousCommitError):
            self._first_doubt = self._first_doubt or error
            if self._resolvable:
                self.doubt = error
            return self._resolvable
        if self.doubt is not None:
            # Only the look failed.
            return error.status != "INTERNAL"
        if self._first_doubt is not None and _taken(error):
            # The first attempt got through between the look and the repetition.
            self.doubt = self._first_doubt
            return True
        return error.repeat == "whole"

    def _final(self, error: DatabaseError) -> DatabaseError:
        doubt = self._first_doubt
        if doubt is None or doubt is error:
            return error
        doubt.__cause__ = error
        return doubt

    def _reason(self, delay: float, *, affordable: bool) -> Reason | None:
        # A look is no repetition: there is one even after the last attempt.
        if self.lost >= self._at_most + (self.doubt is not None):
            return "attempts"
        if self._deadline is not None and self._deadline.remaining() <= delay:
            return "deadline"
        return None if affordable else "budget"

    def _tell(self, event: object) -> None:
        if self._listener is not None:
            self._listener.on_event(event)


def pause_s(attempt: int, rng: random.Random) -> float:
    """Seconds before the attempt after `attempt` lost ones: full jitter, capped.

    "Exponential backoff and jitter", AWS architecture blog: the whole range from 0.
    """
    return rng.uniform(0.0, min(_CAP_S, _BASE_S * 2.0 ** min(attempt, 32)))


def _taken(error: DatabaseError) -> bool:
    return isinstance(error, ConstraintError) and error.sqlstate == _TAKEN
