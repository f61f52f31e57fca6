"""Answers are judged for what they are worth to the customer."""

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status.rpc_status import to_status

from load import answers
from protos.shop.v1 import catalog_pb2, common_pb2, orders_pb2, storefront_pb2


def browse(products=1, *degraded):
    return storefront_pb2.BrowseResponse(
        products=[catalog_pb2.Product(product_id=f"P{n}") for n in range(products)],
        degraded=degraded,
    )


def checkout(state, **order):
    return storefront_pb2.CheckoutResponse(
        order=orders_pb2.Order(state=state, **{"order_id": "eu-1", **order})
    )


def error(code, reason="", trailers=()):
    details = any_pb2.Any()
    details.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="shop.seawall"))
    status = to_status(
        status_pb2.Status(code=code.value[0], message="no", details=[details])
    )
    metadata = grpc.aio.Metadata(*status.trailing_metadata, *trailers)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, "no")


def test_a_full_page_is_a_success():
    """Products on the page are what the visitor came for."""
    answer = answers.of_browse(browse(3))

    assert (
        answer.code,
        answer.outcome,
        answer.degraded_reasons,
    ) == ("OK", "success", ())


def test_an_empty_page_is_a_failure():
    """Saying OK and serving nothing is no fallback."""
    answer = answers.of_browse(browse(0))

    assert (answer.outcome, answer.reason) == ("failure", "EMPTY_ANSWER")


def test_a_stale_page_tells_its_age():
    """The oldest stale part counts."""
    kind = common_pb2.Degraded
    answer = answers.of_browse(
        browse(
            1,
            kind(kind=kind.KIND_STALE, reason="OLD", age_ms=700),
            kind(kind=kind.KIND_STALE, age_ms=900),
            kind(kind=kind.KIND_FALLBACK, reason="POPULAR"),
        )
    )

    assert answer.degraded_reasons == ("STALE:OLD", "STALE", "FALLBACK:POPULAR")
    assert answer.stale_ms == 900


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (orders_pb2.ORDER_STATE_ACCEPTED, "success"),
        (orders_pb2.ORDER_STATE_CONFIRMED, "success"),
        (orders_pb2.ORDER_STATE_UNSPECIFIED, "failure"),
    ],
)
def test_an_order_is_judged_by_its_state(state, outcome):
    """Accepted is durable; without a state there is no order."""
    assert outcome == answers.of_checkout(checkout(state)).outcome


def test_an_order_without_id_is_a_failure():
    """Nobody can ask for an order that has no name."""
    reply = checkout(orders_pb2.ORDER_STATE_CONFIRMED, order_id="")

    assert answers.of_checkout(reply).outcome == "failure"


def test_a_rejected_order_is_business():
    """A card that is declined is the shop at work."""
    reply = checkout(orders_pb2.ORDER_STATE_REJECTED, rejection="CARD_DECLINED")

    assert answers.of_checkout(reply).outcome == "business"


def test_out_of_stock_is_business():
    """The refusal's reason is read from the error's details."""
    answer = answers.of_error(
        error(grpc.StatusCode.FAILED_PRECONDITION, "OUT_OF_STOCK")
    )

    assert (answer.outcome, answer.reason) == ("business", "OUT_OF_STOCK")


def test_the_same_words_with_another_status_are_a_failure():
    """Only a failed precondition can be a business refusal."""
    answer = answers.of_error(error(grpc.StatusCode.UNAVAILABLE, "OUT_OF_STOCK"))

    assert answer.outcome == "failure"


def test_our_own_refusal_is_a_failure():
    """A breaker that refuses its way to a good latency is red."""
    answer = answers.of_error(
        error(
            grpc.StatusCode.UNAVAILABLE,
            "DATABASE_UNAVAILABLE",
            [("x-seawall-refusal", "breaker_open")],
        )
    )

    assert (answer.outcome, answer.reason) == ("failure", "breaker_open")


@pytest.mark.parametrize(
    ("prices", "outcome", "reason"),
    [(2, "success", ""), (0, "failure", "EMPTY_ANSWER")],
)
def test_a_page_of_prices_has_prices(prices, outcome, reason):
    """A firm that is shown none of its prices did not get what it came for."""
    page = storefront_pb2.ContractPricesResponse(
        contract_id="us-1",
        prices=[catalog_pb2.ContractPrice(product_id="P1") for _ in range(prices)],
    )
    answer = answers.of_contract_prices(page)

    assert (outcome, reason) == (answer.outcome, answer.reason)
