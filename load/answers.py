"""Reads an answer for what it is worth to the customer: served, refused, or failed.

Success is an intent accepted or refused for a business reason; an answer that says OK
and holds nothing is a failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from load.records import Outcome
from protos.shop.v1 import common_pb2, orders_pb2, storefront_pb2

BUSINESS_REASONS = frozenset({"OUT_OF_STOCK", "CARD_DECLINED"})
_KINDS = {
    common_pb2.Degraded.KIND_STALE: "STALE",
    common_pb2.Degraded.KIND_FALLBACK: "FALLBACK",
    common_pb2.Degraded.KIND_PAYMENT_PENDING: "PAYMENT_PENDING",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The part of a record that the reply decides."""

    code: str
    outcome: Outcome
    reason: str = ""
    degraded_reasons: tuple[str, ...] = ()
    stale_ms: int = 0
    order_id: str = ""
    order_state: str = ""


def of_browse(reply: storefront_pb2.BrowseResponse) -> Answer:
    """Judge a page: one with products on it is a success."""
    reasons, stale_ms = _degraded(reply.degraded)
    return Answer(
        code="OK",
        outcome="success" if reply.products else "failure",
        reason="" if reply.products else "EMPTY_ANSWER",
        degraded_reasons=reasons,
        stale_ms=stale_ms,
    )


def of_checkout(reply: storefront_pb2.CheckoutResponse) -> Answer:
    """Judge an order: one with an id that is not rejected is a success."""
    reasons, stale_ms = _degraded(reply.degraded)
    state = orders_pb2.OrderState.Name(reply.order.state).removeprefix("ORDER_STATE_")
    outcome: Outcome = "success"
    reason = ""
    if not reply.order.order_id or state == "UNSPECIFIED":
        outcome, reason = "failure", "EMPTY_ANSWER"
    elif state == "REJECTED":
        reason = reply.order.rejection
        outcome = "business" if reason in BUSINESS_REASONS else "failure"
    return Answer(
        code="OK",
        outcome=outcome,
        reason=reason,
        degraded_reasons=reasons,
        stale_ms=stale_ms,
        order_id=reply.order.order_id,
        order_state=state,
    )


def of_contract_prices(reply: storefront_pb2.ContractPricesResponse) -> Answer:
    """Judge a page of a firm's prices: one with prices on it is a success."""
    reasons, stale_ms = _degraded(reply.degraded)
    return Answer(
        code="OK",
        outcome="success" if reply.prices else "failure",
        reason="" if reply.prices else "EMPTY_ANSWER",
        degraded_reasons=reasons,
        stale_ms=stale_ms,
    )


def of_history(reply: storefront_pb2.OrderHistoryResponse) -> Answer:
    """Judge a history: any page is a success, for some have bought nothing yet."""
    reasons, stale_ms = _degraded(reply.degraded)
    return Answer(
        code="OK", outcome="success", degraded_reasons=reasons, stale_ms=stale_ms
    )


def of_error(error: grpc.aio.AioRpcError) -> Answer:
    """Judge an error: a refusal for a business reason, or a failure with its reason."""
    reason = _reason(error)
    business = (
        error.code() is grpc.StatusCode.FAILED_PRECONDITION
        and reason in BUSINESS_REASONS
    )
    return Answer(
        code=error.code().name,
        outcome="business" if business else "failure",
        reason=reason or (error.details() or "")[:120],
    )


def _reason(error: grpc.aio.AioRpcError) -> str:
    for key, value in error.trailing_metadata() or ():
        if key == "x-seawall-refusal":
            return str(value)
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except (ValueError, DecodeError):
        return ""
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def _degraded(entries: Iterable[common_pb2.Degraded]) -> tuple[tuple[str, ...], int]:
    reasons: list[str] = []
    stale_ms = 0
    for entry in entries:
        kind = _KINDS.get(entry.kind, "UNSPECIFIED")
        reasons.append(f"{kind}:{entry.reason}" if entry.reason else kind)
        if entry.kind == common_pb2.Degraded.KIND_STALE:
            stale_ms = max(stale_ms, entry.age_ms)
    return tuple(reasons), stale_ms
