"""Failures turn into statuses that callers can read."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from cockroach.errors import (
    AmbiguousCommitError,
    DatabaseUnavailableError,
    OutOfRetriesError,
    PoolExhaustedError,
    StatementError,
    StatementTimeoutError,
)
from observability import names
from resilience import BulkheadFullError, CircuitOpenError
from services.runtime.errors import (
    DETAILS_KEY,
    DOMAIN,
    ShopError,
    invalid,
    precondition,
    reason_of,
    translate,
)

KINDS = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
)


def unpacked(error):
    code, message, trailers = translate(error)
    status = status_pb2.Status.FromString(dict(trailers)[DETAILS_KEY])
    assert (status.code, status.message) == (code.value[0], message)
    parts = {}
    for part in status.details:
        for kind in KINDS:
            if part.Is(kind.DESCRIPTOR):
                parts[kind.__name__] = kind.FromString(part.value)
    return code, parts


def failed_call(code, message="", trailers=()):
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details=message
    )


def test_a_refusal_carries_reason_and_metadata():
    """ErrorInfo names the reason in our domain."""
    code, parts = unpacked(precondition("WRONG_REGION", "no", home_region="eu"))

    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert parts["ErrorInfo"].reason == "WRONG_REGION"
    assert parts["ErrorInfo"].domain == DOMAIN
    assert dict(parts["ErrorInfo"].metadata) == {"home_region": "eu"}


def test_a_bad_request_lists_every_field():
    """BadRequest has one violation for each thing that is wrong."""
    code, parts = unpacked(invalid([("a", "must be"), ("b", "must not be")]))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [
        (one.field, one.description) for one in parts["BadRequest"].field_violations
    ] == [
        ("a", "must be"),
        ("b", "must not be"),
    ]


@pytest.mark.parametrize(
    ("error", "code", "reason", "retry_ms"),
    [
        (
            DatabaseUnavailableError("eu", "breaker_open", retry_after_s=0.5),
            "UNAVAILABLE",
            "DATABASE_UNAVAILABLE",
            500,
        ),
        (AmbiguousCommitError("eu"), "UNAVAILABLE", "DATABASE_UNAVAILABLE", 500),
        (
            PoolExhaustedError("eu-a", waited_s=0.25, limit=3),
            "RESOURCE_EXHAUSTED",
            "POOL_EXHAUSTED",
            1000,
        ),
        (
            OutOfRetriesError(5, why="attempts", sqlstate="40001"),
            "ABORTED",
            "TRANSACTION_CONFLICT",
            100,
        ),
        (
            StatementTimeoutError("slow", sqlstate="57014"),
            "DEADLINE_EXCEEDED",
            "DATABASE_TIMEOUT",
            None,
        ),
        (CircuitOpenError("cart@eu", 0.75), "UNAVAILABLE", "BREAKER_OPEN", 750),
        (BulkheadFullError("cart@eu", 64), "RESOURCE_EXHAUSTED", "BULKHEAD", None),
        (TimeoutError(), "DEADLINE_EXCEEDED", "TIMEOUT", None),
    ],
)
def test_each_failure_below_has_a_status_and_a_reason(error, code, reason, retry_ms):
    """Database and policy failures are told apart, with the time to wait."""
    got, parts = unpacked(error)
    retry = parts.get("RetryInfo")

    assert code == got.name
    assert reason == parts["ErrorInfo"].reason
    assert retry_ms == (retry.retry_delay.ToMilliseconds() if retry else None)


@pytest.mark.parametrize("error", [KeyError("secret"), StatementError("near X")])
def test_what_nobody_expected_tells_nothing(error, caplog):
    """An error of ours is INTERNAL without its text, which goes to the log."""
    code, parts = unpacked(error)

    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in translate(error)[1]
    assert parts["ErrorInfo"].reason == "INTERNAL"
    assert caplog.records[0].exc_info is not None


def test_a_failure_below_is_passed_on_as_it_is():
    """Status, message, details and origin of a downstream error arrive unchanged."""
    below = precondition("OUT_OF_STOCK", "none left", products="P0500")
    trailers = (
        *below.trailers(),
        (names.ORIGIN_TRAILER, "inventory"),
        ("private", "x"),
    )
    call = failed_call(below.status, below.message, trailers)

    code, message, passed = translate(call)

    assert (code, message) == (below.status, "none left")
    assert passed == trailers[:2]
    assert reason_of(call) == "OUT_OF_STOCK"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"),
        (grpc.StatusCode.UNKNOWN, "INTERNAL"),
    ],
)
def test_a_failure_below_without_details_gets_some(code, expected):
    """A bare status from the transport is explained, and never UNKNOWN."""
    got, parts = unpacked(failed_call(code, "connection refused"))

    assert expected == got.name
    assert parts["ErrorInfo"].reason == f"DOWNSTREAM_{expected}"


def test_a_refusal_tells_its_status_by_name():
    """Fallbacks can read the status of our own errors."""
    error = ShopError(grpc.StatusCode.ABORTED, "X", "y")

    assert error.grpc_status == "ABORTED"
    assert repr(error) == "<ShopError ABORTED X: y>"
