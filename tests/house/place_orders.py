"""Waits until storefronts serve, then orders something at each; exit 1 when it fails.

python .ci/checkout.py ADDRESS ...
"""

from __future__ import annotations

import sys
import time
import uuid

import grpc

from lab.health import check
from protos.shop.v1 import common_pb2, orders_pb2, storefront_pb2, storefront_pb2_grpc

READY_S = 300.0
CUSTOMER = "eu-00000000-0000-4000-8000-000000000044"


def order(address: str) -> str:
    """Order one thing for a customer of the EU, and give the order's state."""
    with grpc.insecure_channel(address) as channel:
        reply = storefront_pb2_grpc.StorefrontStub(channel).Checkout(
            storefront_pb2.CheckoutRequest(
                customer_id=CUSTOMER,
                items=[common_pb2.LineItem(product_id="P0002", quantity=1)],
                card_token="tok_visa",
                idempotency_key=f"ci-{uuid.uuid4()}",
            ),
            timeout=20,
        )
    return orders_pb2.OrderState.Name(reply.order.state)


def main(addresses: list[str]) -> int:
    """Wait, order, tell."""
    end = time.monotonic() + READY_S
    waiting = set(addresses)
    while waiting:
        waiting = {one for one in waiting if check(one) != "SERVING"}
        if waiting and time.monotonic() > end:
            sys.stderr.write(f"not serving: {', '.join(sorted(waiting))}\n")
            return 1
        time.sleep(0.5)
    states = {one: order(one) for one in addresses}
    sys.stdout.write("".join(f"{one}: {state}\n" for one, state in states.items()))
    return int(set(states.values()) != {"ORDER_STATE_CONFIRMED"})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
