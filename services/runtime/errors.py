"""Failures as callers see them: a status with google.rpc details, never a trace."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from cockroach.errors import DatabaseError
from observability import names
from resilience import ResilienceError

logger = logging.getLogger(__name__)

DOMAIN = "shop.seawall"
DETAILS_KEY = "grpc-status-details-bin"
# Trailers that tell where a failure began; they travel up with it.
_PASSED = frozenset({DETAILS_KEY, names.ORIGIN_TRAILER})

_DATABASE_REASONS = {
    "UNAVAILABLE": "DATABASE_UNAVAILABLE",
    "RESOURCE_EXHAUSTED": "POOL_EXHAUSTED",
    "ABORTED": "TRANSACTION_CONFLICT",
    "DEADLINE_EXCEEDED": "DATABASE_TIMEOUT",
}

M = TypeVar("M", bound=Message)
Trailers = tuple[tuple[str, str | bytes], ...]


class ShopError(Exception):
    """A refusal that callers are meant to understand.

    `reason` is UPPER_SNAKE_CASE, `violations` are (field, description) pairs,
    `retry_after_s` is when asking again makes sense.
    """

    def __init__(
        self,
        status: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[tuple[str, str]] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s

    @property
    def grpc_status(self) -> str:
        """The status by name, as fallbacks ask for it."""
        return str(self.status.name)

    def __repr__(self) -> str:
        return f"<ShopError {self.status.name} {self.reason}: {self.message}>"

    def trailers(self) -> Trailers:
        """Return the google.rpc details as trailing metadata."""
        parts: list[Message] = [
            error_details_pb2.ErrorInfo(
                reason=self.reason, domain=DOMAIN, metadata=self.metadata
            )
        ]
        if self.violations:
            parts.append(
                error_details_pb2.BadRequest(
                    field_violations=[
                        error_details_pb2.BadRequest.FieldViolation(
                            field=field, description=description
                        )
                        for field, description in self.violations
                    ]
                )
            )
        if self.retry_after_s is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(math.ceil(self.retry_after_s * 1000))
            parts.append(retry)
        status = status_pb2.Status(
            code=self.status.value[0],
            message=self.message,
            details=[_packed(part) for part in parts],
        )
        return ((DETAILS_KEY, status.SerializeToString()),)


def invalid(violations: Sequence[tuple[str, str]]) -> ShopError:
    """Build INVALID_ARGUMENT for everything that is wrong with a request at once."""
    fields = ", ".join(field for field, _ in violations)
    return ShopError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
        f"invalid {fields}",
        violations=violations,
    )


def not_found(reason: str, message: str, **metadata: str) -> ShopError:
    """Build NOT_FOUND."""
    return ShopError(grpc.StatusCode.NOT_FOUND, reason, message, metadata=metadata)


def precondition(reason: str, message: str, **metadata: str) -> ShopError:
    """Build FAILED_PRECONDITION."""
    return ShopError(
        grpc.StatusCode.FAILED_PRECONDITION, reason, message, metadata=metadata
    )


def wrong_region(home: str, region: str) -> ShopError:
    """Build the refusal of a customer or an order that is at home elsewhere."""
    return precondition(
        "WRONG_REGION", f"at home in {home}, asked in {region}", home_region=home
    )


def key_reused(key: str) -> ShopError:
    """Build the refusal of a known idempotency key that comes with another body."""
    return ShopError(
        grpc.StatusCode.ALREADY_EXISTS,
        "IDEMPOTENCY_KEY_REUSED",
        f"idempotency key {key} was used with another request",
    )


def reason_of(error: BaseException) -> str:
    """Return the ErrorInfo reason of one of ours or of a failed call; "" if none."""
    if isinstance(error, ShopError):
        return error.reason
    info = error_info(error)
    return info.reason if info else ""


def error_info(error: BaseException) -> error_details_pb2.ErrorInfo | None:
    """Return the ErrorInfo that a failed call carries, if any."""
    return _detail(_trailers_of(error), error_details_pb2.ErrorInfo())


def retry_after_ms(trailers: Trailers) -> int | None:
    """Return when to ask again as the RetryInfo among trailers has it, if any."""
    found = _detail(trailers, error_details_pb2.RetryInfo())
    return None if found is None else int(found.retry_delay.ToMilliseconds())


def translate(error: BaseException) -> tuple[grpc.StatusCode, str, Trailers]:
    """Turn what left a handler into status, message and trailers for its caller."""
    if isinstance(error, ShopError):
        return error.status, error.message, error.trailers()
    if isinstance(error, ResilienceError):
        return _shop(_refusal(error))
    if isinstance(error, DatabaseError):
        return _shop(from_database(error))
    if isinstance(error, grpc.RpcError):
        return _downstream(error)
    if isinstance(error, TimeoutError):
        return _shop(
            ShopError(grpc.StatusCode.DEADLINE_EXCEEDED, "TIMEOUT", "it took too long")
        )
    logger.error("unexpected %s", type(error).__name__, exc_info=error)
    return _shop(
        ShopError(
            grpc.StatusCode.INTERNAL, "INTERNAL", "an error of ours; it is logged"
        )
    )


def _shop(error: ShopError) -> tuple[grpc.StatusCode, str, Trailers]:
    return error.status, error.message, error.trailers()


def _refusal(error: ResilienceError) -> ShopError:
    return ShopError(
        grpc.StatusCode[error.grpc_status],
        error.refusal.upper(),
        error.message,
        metadata={"target": error.name},
        retry_after_s=error.retry_after_s,
    )


def from_database(error: DatabaseError) -> ShopError:
    """Say what a failure of the database means to a caller."""
    reason = _DATABASE_REASONS.get(error.status)
    if reason is None:
        # A constraint that no domain rule saw coming, or a wrong statement.
        logger.error("database said %s", error, exc_info=error)
        return ShopError(
            grpc.StatusCode.INTERNAL, "INTERNAL", "an error of ours; it is logged"
        )
    metadata = {"sqlstate": error.sqlstate} if error.sqlstate else {}
    if region := getattr(error, "region", ""):
        metadata["region"] = region
    return ShopError(
        grpc.StatusCode[error.status],
        reason,
        str(error),
        metadata=metadata,
        retry_after_s=getattr(error, "retry_after_s", None)
        or (0.1 if error.status == "ABORTED" else None),
    )


def _downstream(error: grpc.RpcError) -> tuple[grpc.StatusCode, str, Trailers]:
    code = error.code() if callable(getattr(error, "code", None)) else None
    if not isinstance(code, grpc.StatusCode) or code is grpc.StatusCode.OK:
        code = grpc.StatusCode.UNAVAILABLE
    text = (error.details() if callable(getattr(error, "details", None)) else "") or ""
    kept = tuple(pair for pair in _trailers_of(error) if pair[0] in _PASSED)
    if any(key == DETAILS_KEY for key, _ in kept):
        return code, text, kept
    if code is grpc.StatusCode.UNKNOWN:
        code = grpc.StatusCode.INTERNAL
    own = ShopError(code, f"DOWNSTREAM_{code.name}", text or code.name)
    return code, own.message, (*kept, *own.trailers())


def _trailers_of(error: BaseException) -> Iterable[tuple[str, str | bytes]]:
    trailing = getattr(error, "trailing_metadata", None)
    found = trailing() if callable(trailing) else None
    return [(str(key), value) for key, value in found] if found else []


def _detail(trailers: Iterable[tuple[str, str | bytes]], kind: M) -> M | None:
    for key, value in trailers:
        if key == DETAILS_KEY and isinstance(value, bytes):
            for part in status_pb2.Status.FromString(value).details:
                if part.Unpack(kind):
                    return kind
    return None


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


__all__ = [
    "DOMAIN",
    "ShopError",
    "error_info",
    "from_database",
    "invalid",
    "key_reused",
    "not_found",
    "precondition",
    "reason_of",
    "retry_after_ms",
    "translate",
    "wrong_region",
]
