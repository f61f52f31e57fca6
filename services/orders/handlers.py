"""Checkout: write the order down, run its saga, and what to say when that stops.

An answer means that the order is committed: at its home, or in the intake of another
region when the home cannot take it in time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import grpc
from opentelemetry import trace

from cockroach.database import Database
from cockroach.errors import (
    AmbiguousCommitError,
    DatabaseUnavailableError,
    PoolExhaustedError,
    StatementTimeoutError,
)
from observability import names
from resilience import FallbackServed, Listener
from services.orders.domain import (
    Order,
    OrderLine,
    OrderState,
    Request,
    accepted,
)
from services.orders.elsewhere import Elsewhere
from services.orders.messages import refusal
from services.orders.prices import PriceList
from services.orders.recent import Recent
from services.orders.runner import Runner
from services.orders.store import OrderStore, UnknownCustomerError
from services.orders.unfinished import Unfinished
from services.runtime.errors import ShopError, key_reused, not_found
from services.runtime.policy import PolicySet

#: Seconds a saga may take before the rest of it is left to the resumer. Asked
#: between steps only: leaving in the middle of one would save nothing.
PATIENCE_S = 0.25

#: What is said of an order that is durable at home and not yet paid.
LATER = "HOME_SLOW"

#: The home did not take the order, or we do not know. The key makes both the same.
_NOT_TAKEN = (
    DatabaseUnavailableError,
    PoolExhaustedError,
    StatementTimeoutError,
    AmbiguousCommitError,
)


@dataclass(frozen=True, slots=True)
class Placement:
    """An accepted order; `pending` says why its payment is still to come."""

    order: Order
    pending: str = ""


class CheckoutHandlers:
    """Places orders of one region."""

    def __init__(
        self,
        *,
        store: OrderStore,
        runner: Runner,
        prices: PriceList,
        elsewhere: Elsewhere,
        unfinished: Unfinished,
        recent: Recent,
        database: Database,
        policies: Callable[[], PolicySet],
        recorder: Listener,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._runner = runner
        self._prices = prices
        self._elsewhere = elsewhere
        self._unfinished = unfinished
        self._recent = recent
        self._database = database
        self._policies = policies
        self._recorder = recorder
        self._now = now

    async def place(self, request: Request) -> Placement:
        """Place an order, or go on with it when the key is known.

        Raises UNKNOWN_PRODUCT, UNKNOWN_CUSTOMER, IDEMPOTENCY_KEY_REUSED, OUT_OF_STOCK,
        CARD_DECLINED, and what stops the saga where nothing else can be done.
        """
        if not self._policies().fallbacks:
            return await self._at_home(
                request, *await self._prices.lines(request.wishes)
            )
        if self._database.breaker_state(request.home) != "closed":
            return await self._instead(request, "breaker_open")
        try:
            lines, currency = await self._prices.lines(request.wishes)
        except grpc.RpcError:
            return await self._instead(request, "catalog_unavailable")
        try:
            return await self._at_home(request, lines, currency)
        except _NOT_TAKEN as error:
            return await self._instead(request, type(error).__name__)

    async def bring_home(self, request: Request) -> Placement:
        """Place an order that an intake holds, at the prices it promised.

        Raises HOME_NOT_READY while this region is in trouble: the intake keeps it.
        """
        if self._database.suspect(request.home):
            raise _not_ready(request.home)
        try:
            return await self._at_home(request, request.promised, request.currency)
        except _NOT_TAKEN as error:
            raise _not_ready(request.home) from error

    async def _at_home(
        self, request: Request, lines: tuple[OrderLine, ...], currency: str
    ) -> Placement:
        order = accepted(request, lines, currency, self._now())
        batched = self._policies().sql_batching == "batched"
        accept = self._store.accept_all if batched else self._store.accept_each
        try:
            order = await accept(order)
        except UnknownCustomerError as error:
            raise not_found("UNKNOWN_CUSTOMER", str(error)) from error
        except asyncio.CancelledError:
            # Its commit may have been made before the caller left: then it is ours.
            self._unfinished.add(order.id)
            raise
        if order.fingerprint != request.fingerprint:
            raise key_reused(request.key)
        return await self._run(order)

    async def _run(self, order: Order) -> Placement:
        run = None
        try:
            run = await self._runner.run(order, hurry=self._hurry(order.id.region))
        finally:
            # Also when the caller leaves: the order is ours, whoever waits for it.
            if run is None or run.paused:
                self._unfinished.add(order.id)
        self._recent.see(run.order)
        if run.order.state in {OrderState.REJECTING, OrderState.REJECTED}:
            raise refusal(run.order)
        if not run.paused:
            return Placement(run.order)
        if not self._policies().fallbacks:
            raise run.error or ShopError(
                grpc.StatusCode.ABORTED, "ORDER_BUSY", "repeat with the same key"
            )
        self._tell(order.id.region, LATER, "saga_left_to_resumer")
        return Placement(run.order, pending=LATER)

    async def _instead(self, request: Request, reason: str) -> Placement:
        order, region = await self._elsewhere.accept(request)
        self._recent.see(order)
        pending = f"INTAKE_{region.upper()}"
        self._tell(request.home, pending, reason)
        return Placement(order, pending=pending)

    def _hurry(self, home: str) -> Callable[[float], bool]:
        def hurry(elapsed_s: float) -> bool:
            if not self._policies().fallbacks:
                return False
            return elapsed_s > PATIENCE_S or self._database.suspect(home)

        return hurry

    def _tell(self, home: str, answer: str, reason: str) -> None:
        span = trace.get_current_span()
        span.set_attribute(names.FALLBACK, answer)
        span.set_attribute(names.FALLBACK_REASON, reason)
        self._recorder.on_event(
            FallbackServed(
                target=f"database@{home}", method="PlaceOrder", reason=reason
            )
        )


def _not_ready(home: str) -> ShopError:
    # No status of a failure: a home that says so is well enough to say it, and
    # neither a breaker nor a retry should make anything of it.
    return ShopError(
        grpc.StatusCode.FAILED_PRECONDITION,
        "HOME_NOT_READY",
        f"region {home} cannot take orders from an intake yet",
        retry_after_s=1.0,
    )
