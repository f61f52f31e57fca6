"""A storefront that lies once the fault is on: it stands before the real ones."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from chaos.lab_state import Lab
from protos.shop.v1 import common_pb2, orders_pb2
from protos.shop.v1 import storefront_pb2 as pb

HOME = "eu-"
CHECKOUT = "/shop.v1.Storefront/Checkout"
BROWSE = "/shop.v1.Storefront/Browse"


class Liar(grpc.GenericRpcHandler):
    """Passes calls on to one storefront; those of the hurt region it answers falsely.

    `lie` is "claim" (an intake that never was), "old" (a page of 31 s), or "refuse".
    """

    def __init__(self, address: str, lie: str, lying: threading.Event) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._lie = lie
        self._lying = lying

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        passed = self._channel.unary_unary(method)

        async def answer(request: bytes, context: Any) -> bytes:
            lie = self._lie if self._lying.is_set() else ""
            if method == CHECKOUT and at_home(request):
                if lie == "refuse":
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "come again")
                if lie == "claim":
                    return claimed(request)
            reply: bytes = await passed(
                request,
                timeout=context.time_remaining(),
                metadata=[
                    (key, value)
                    for key, value in context.invocation_metadata()
                    if key in {"traceparent", "x-client-ip"}
                ],
            )
            return aged(reply) if method == BROWSE and lie == "old" else reply

        return grpc.unary_unary_rpc_method_handler(answer)


def at_home(request: bytes) -> bool:
    return pb.CheckoutRequest.FromString(request).customer_id.startswith(HOME)


def claimed(request: bytes) -> bytes:
    """Say that another region's intake has the order."""
    order = orders_pb2.Order(
        order_id=f"{HOME}{uuid.uuid4()}",
        customer_id=pb.CheckoutRequest.FromString(request).customer_id,
        state=orders_pb2.ORDER_STATE_ACCEPTED,
    )
    degraded = common_pb2.Degraded(
        kind=common_pb2.Degraded.KIND_PAYMENT_PENDING, reason="INTAKE_US"
    )
    return pb.CheckoutResponse(order=order, degraded=[degraded]).SerializeToString()


def aged(reply: bytes) -> bytes:
    """Answer with a copy that is older than anybody accepts."""
    page = pb.BrowseResponse.FromString(reply)
    page.degraded.append(
        common_pb2.Degraded(kind=common_pb2.Degraded.KIND_STALE, age_ms=31_000)
    )
    return page.SerializeToString()


@contextmanager
def in_front(lab: Lab, lie: str) -> Iterator[Any]:
    """Put liars before the storefronts of a lab's file; give a progress listener."""
    lying = threading.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[list[grpc.aio.Server], dict[str, str]]:
        servers, moved = [], {}
        for addresses in lab.addresses("storefront").values():
            for address in addresses:
                server = grpc.aio.server()
                server.add_generic_rpc_handlers((Liar(address, lie, lying),))
                moved[address] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
                await server.start()
                servers.append(server)
        return servers, moved

    async def stop(servers: list[grpc.aio.Server]) -> None:
        await asyncio.gather(*(server.stop(1.0) for server in servers))

    servers, moved = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    path = lab.state_dir / "lab.json"
    before = path.read_text()
    redirect(path, moved)

    def listen(line: Mapping[str, Any]) -> None:
        if line["phase"] == "fault":
            lying.set()
        elif line["phase"] in {"remove", "after"}:
            lying.clear()

    try:
        yield listen
    finally:
        path.write_text(before)
        asyncio.run_coroutine_threadsafe(stop(servers), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def redirect(path: Path, moved: Mapping[str, str]) -> None:
    document = json.loads(path.read_text())
    for service in document["services"]:
        service["address"] = moved.get(service["address"], service["address"])
    path.write_text(json.dumps(document))
