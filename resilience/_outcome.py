"""What became of one attempt, told once and in one form for every call kind."""

from dataclasses import dataclass
from typing import Final, Literal

CancelledBy = Literal["caller", "peer", "deadline", "hedge"]
Verdict = Literal["success", "failure", "ignored"]

# Every status of gRPC; its number is its place in the row.
CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

# Envoy's admission control filter counts these gRPC statuses as the service
# working: most of them say that the caller asked for something impossible.
# CANCELLED is on Envoy's list too; here it is neither success nor failure.
HEALTHY_CODES: Final = frozenset(
    {
        "OK",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "UNAUTHENTICATED",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "PERMISSION_DENIED",
        "UNIMPLEMENTED",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt ended.

    *code* is the gRPC status name; None when the attempt never got as far as
    a status (a local error, such as a request that does not serialise).
    *cancelled_by* is "hedge" for an attempt that lost against another one.
    *latency_s* is in seconds from the moment the attempt was handed to gRPC.
    *origin* names the hop that really failed when it is not the one called.
    *refusal* is the reason when the peer's own policies turned the call away.
    """

    code: str | None
    latency_s: float
    cancelled_by: CancelledBy | None = None
    headers_seen: bool = False
    messages_seen: int = 0
    origin: str | None = None
    refusal: str | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the called hop worked: success, failure, or no evidence."""
        return classify(
            self.code, cancelled_by=self.cancelled_by, passed_on=bool(self.origin)
        )

    @property
    def ok(self) -> bool:
        """True when the status was OK."""
        return self.code == "OK"


def classify(
    code: str | None,
    *,
    cancelled_by: CancelledBy | None,
    passed_on: bool,
    failure_codes: frozenset[str] | None = None,
    ignored_codes: frozenset[str] = frozenset(),
) -> Verdict:
    """Judge an ended attempt; see BreakerConfig for the two sets.

    A cancelled attempt says nothing about the callee; nor does a failure that
    the callee only passed on, or an attempt that ended before any status.
    """
    if code == "OK":
        return "success"
    if code is None or code == "CANCELLED" or code in ignored_codes:
        return "ignored"
    if cancelled_by is not None and cancelled_by != "deadline":
        return "ignored"
    if code in HEALTHY_CODES if failure_codes is None else code not in failure_codes:
        return "success"
    return "ignored" if passed_on else "failure"
