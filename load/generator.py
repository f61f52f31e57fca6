"""The open loop: every arrival is sent at its time, whatever became of those before.

Latency counts from the intended time, so a generator that falls behind cannot hide it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from load import answers
from load.arrivals import CHECKOUT, CONTRACT_PRICES, FLASH, Arrival
from load.plan import Flash, Plan
from load.records import Record
from observability import names
from protos.shop.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    common_pb2,
    orders_pb2,
    storefront_pb2,
    storefront_pb2_grpc,
)

CARD = "tok_visa"
LATE_S = 0.05
# Caches are expired this long before the crowd comes, so that its first reader misses.
EXPIRE_LEAD_S = 0.03
CONNECT_S = 5.0
_OPTIONS = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
_PROPAGATOR = TraceContextTextMapPropagator()


class NoStorefrontError(RuntimeError):
    """A storefront of the plan does not answer."""

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__(f"no answer from {', '.join(sorted(addresses))}")


@dataclass(slots=True, kw_only=True)
class Tally:
    """How much of the load was delivered, and how punctually."""

    offered: int = 0
    sent: int = 0
    late: int = 0
    dropped: int = 0
    max_lag_ms: float = 0.0
    flash: list[dict[str, Any]] = field(default_factory=list)

    def lag(self, lag_s: float) -> None:
        """Count one arrival that was sent this long after its time."""
        self.sent += 1
        self.late += lag_s > LATE_S
        self.max_lag_ms = max(self.max_lag_ms, round(lag_s * 1000, 1))


class Generator:
    """Plays a schedule against the storefronts; one record goes out per arrival."""

    def __init__(
        self,
        plan: Plan,
        arrivals: Sequence[Arrival],
        *,
        tracer: trace.Tracer,
        sink: Callable[[Record], None],
        connect_s: float = CONNECT_S,
    ) -> None:
        self._plan = plan
        self._arrivals = arrivals
        self._tracer = tracer
        self._sink = sink
        self._connect_s = connect_s
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._stubs: dict[str, storefront_pb2_grpc.StorefrontAsyncStub] = {}
        self._running: set[asyncio.Task[None]] = set()
        # Epoch time that no clock correction can bend during the run.
        self._epoch = time.time() - time.perf_counter()
        self._key = f"load-{int(plan.start_at * 1000):x}"
        self._serial = itertools.count(1)
        self.tally = Tally(offered=len(arrivals))

    def now(self) -> float:
        """Epoch seconds."""
        return self._epoch + time.perf_counter()

    async def run(self) -> None:
        """Connect, wait for the start, play everything, wait for the last answer.

        Raises NoStorefrontError when a storefront cannot be reached before the start.
        """
        await self._connect()
        try:
            crowds = [
                asyncio.create_task(self._expire(flash)) for flash in self._plan.flash
            ]
            for arrival in self._arrivals:
                await self._sleep_until(self._plan.start_at + arrival.at_s)
                if len(self._running) >= self._plan.max_in_flight:
                    self.tally.dropped += 1
                    continue
                task = asyncio.create_task(self._play(arrival))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            await self._sleep_until(self._plan.start_at + self._plan.duration_s)
            while self._running:
                await asyncio.wait(self._running)
            await asyncio.gather(*crowds)
        finally:
            for channel in self._channels.values():
                await channel.close()

    async def _connect(self) -> None:
        addresses = {
            address
            for table in (self._plan.storefronts, self._plan.catalogs)
            for listed in table.values()
            for address in listed
        }
        for address in addresses:
            channel = grpc.aio.insecure_channel(address, _OPTIONS)
            self._channels[address] = channel
            # Made once: a stub sets up each of its methods.
            self._stubs[address] = storefront_pb2_grpc.StorefrontStub(channel)
        ready = [channel.channel_ready() for channel in self._channels.values()]
        try:
            await asyncio.wait_for(asyncio.gather(*ready), self._connect_s)
        except TimeoutError:
            silent = [
                address
                for address, channel in self._channels.items()
                if channel.get_state() is not grpc.ChannelConnectivity.READY
            ]
            for channel in self._channels.values():
                await channel.close()
            raise NoStorefrontError(silent) from None

    async def _sleep_until(self, epoch_s: float) -> None:
        delay = epoch_s - self.now()
        # All that is due goes out before answers are looked at: whoever reads
        # answers first sends the rest of a crowd late.
        if delay > 0:
            await asyncio.sleep(delay)

    async def _expire(self, flash: Flash) -> None:
        await self._sleep_until(self._plan.start_at + flash.at_s - EXPIRE_LEAD_S)
        began = self.now()
        addresses = [one for listed in self._plan.catalogs.values() for one in listed]

        async def expire(address: str) -> int:
            stub = catalog_pb2_grpc.CatalogStub(self._channels[address])
            with contextlib.suppress(grpc.aio.AioRpcError):
                reply = await stub.ExpireCache(
                    catalog_pb2.ExpireCacheRequest(category=""), timeout=1.0
                )
                return int(reply.expired)
            return -1

        expired = await asyncio.gather(*(expire(address) for address in addresses))
        self.tally.flash.append(
            {
                "at_s": flash.at_s,
                "started_s": round(began, 3),
                "took_ms": round((self.now() - began) * 1000, 1),
                "expired": dict(zip(addresses, expired, strict=True)),
            }
        )

    async def _play(self, arrival: Arrival) -> None:
        intended = self._plan.start_at + arrival.at_s
        sent = self.now()
        self.tally.lag(sent - intended)
        remaining = max(0.001, arrival.deadline_s - (sent - intended))
        with self._tracer.start_as_current_span(
            f"{names.SPAN_JOURNEY} {arrival.journey}",
            kind=trace.SpanKind.CLIENT,
            attributes={
                names.JOURNEY: arrival.journey,
                names.HOME_REGION: arrival.home,
                names.CLIENT_REGION: arrival.dialled,
                names.DEADLINE_REMAINING_MS: int(remaining * 1000),
            },
        ) as span:
            carrier: dict[str, str] = {}
            _PROPAGATOR.inject(carrier)
            carrier["x-client-ip"] = arrival.client_ip
            answer = await self._ask(arrival, remaining, carrier)
            done = self.now()
            span.set_attribute(names.RPC_STATUS, answer.code)
            span.set_attribute(names.DEGRADED, bool(answer.degraded_reasons))
            if answer.outcome == "failure":
                span.set_status(trace.StatusCode.ERROR, answer.reason)
        context = span.get_span_context()
        self._sink(
            Record(
                journey=arrival.journey,
                home=arrival.home,
                dialled=arrival.dialled,
                away=arrival.away,
                intended_s=round(intended, 6),
                sent_s=round(sent, 6),
                done_s=round(done, 6),
                latency_ms=round((done - intended) * 1000, 3),
                code=answer.code,
                outcome=answer.outcome,
                reason=answer.reason,
                degraded=bool(answer.degraded_reasons),
                degraded_reasons=answer.degraded_reasons,
                stale_ms=answer.stale_ms,
                category=arrival.category,
                order_id=answer.order_id,
                order_state=answer.order_state,
                trace_id=format(context.trace_id, "032x") if context.is_valid else "",
            )
        )

    async def _ask(
        self, arrival: Arrival, remaining: float, metadata: Mapping[str, str]
    ) -> answers.Answer:
        doors = self._plan.storefronts[arrival.dialled]
        stub = self._stubs[doors[arrival.door % len(doors)]]
        pairs = tuple(metadata.items())
        try:
            if arrival.journey == CHECKOUT:
                return answers.of_checkout(
                    await stub.Checkout(
                        self._order(arrival), timeout=remaining, metadata=pairs
                    )
                )
            if arrival.journey == "history":
                return answers.of_history(
                    await stub.OrderHistory(
                        storefront_pb2.OrderHistoryRequest(
                            customer_id=arrival.customer_id,
                            view=orders_pb2.ORDER_VIEW_SUMMARY,
                        ),
                        timeout=remaining,
                        metadata=pairs,
                    )
                )
            if arrival.journey == CONTRACT_PRICES:
                return answers.of_contract_prices(
                    await stub.ContractPrices(
                        storefront_pb2.ContractPricesRequest(
                            customer_id=arrival.customer_id
                        ),
                        timeout=remaining,
                        metadata=pairs,
                    )
                )
            return answers.of_browse(
                await stub.Browse(
                    storefront_pb2.BrowseRequest(
                        # A crowd comes before it signs in.
                        customer_id=""
                        if arrival.journey == FLASH
                        else arrival.customer_id,
                        category=arrival.category,
                    ),
                    timeout=remaining,
                    metadata=pairs,
                )
            )
        except grpc.aio.AioRpcError as error:
            return answers.of_error(error)

    def _order(self, arrival: Arrival) -> storefront_pb2.CheckoutRequest:
        return storefront_pb2.CheckoutRequest(
            customer_id=arrival.customer_id,
            items=[
                common_pb2.LineItem(product_id=product, quantity=quantity)
                for product, quantity in arrival.items
            ],
            card_token=CARD,
            idempotency_key=f"{self._key}-{arrival.number}-{next(self._serial)}",
        )
