"""The journeys, each made of calls to the services of this region."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc

from cockroach.ids import PublicId, derived
from protos.shop.v1 import (
    cart_pb2,
    cart_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    common_pb2,
    orders_pb2,
    orders_pb2_grpc,
    recommendations_pb2,
    recommendations_pb2_grpc,
)
from protos.shop.v1 import storefront_pb2 as pb
from resilience import (
    CacheConfig,
    Coalescer,
    Fallback,
    Listener,
    current_deadline,
    deadline_scope,
)
from services.runtime.errors import precondition, reason_of
from services.runtime.identity import order_id
from services.runtime.messages import fallback
from services.runtime.peers import Peers
from services.runtime.policy import PolicySet
from services.runtime.wiring import Derived

Item = common_pb2.LineItem
Recommended = recommendations_pb2.RecommendResponse


class Journeys:
    """What a customer can do in the shop, served in this region."""

    def __init__(
        self,
        peers: Peers,
        *,
        region: str,
        policies: Callable[[], PolicySet],
        listener: Listener,
        logger: logging.Logger,
    ) -> None:
        self._policies = policies
        self._logger = logger
        self._catalog = peers.stub(catalog_pb2_grpc.CatalogStub, "catalog")
        self._cart = peers.stub(cart_pb2_grpc.CartServiceStub, "cart")
        self._orders = peers.stub(orders_pb2_grpc.OrdersStub, "orders")
        self._recommendations = peers.stub(
            recommendations_pb2_grpc.RecommendationsStub, "recommendations"
        )
        # Nothing is kept: only calls that are under way are shared.
        shared = Derived(policies, _shared)
        self._lists: Coalescer[bytes, catalog_pb2.ListProductsResponse] = Coalescer(
            shared, listener=listener
        )
        self._shelves: Coalescer[str, Recommended] = Coalescer(
            shared, listener=listener
        )
        self._last_recommended: Sequence[str] = ()
        self._shelf: Fallback[Recommended] = Fallback(
            f"recommendations@{region}",
            lambda _: self._instead(),
            method="Recommend",
            listener=listener,
        )

    async def browse(self, request: pb.BrowseRequest) -> pb.BrowseResponse:
        """Return a page of products; for customers we know, recommendations too."""
        listing = catalog_pb2.ListProductsRequest(
            category=request.category, page=request.page
        )
        if not request.customer_id:
            listed, recommended = await self._list(listing), Recommended()
        elif self._policies().rpc_batching == "batched":
            shelf = asyncio.ensure_future(self._recommend())
            try:
                listed = await self._list(listing)
                recommended = await shelf
            finally:
                shelf.cancel()
                # Nobody is left to hear of what went wrong there.
                shelf.add_done_callback(lambda one: one.cancelled() or one.exception())
        else:
            listed = await self._list(listing)
            recommended = await self._recommend()
        return pb.BrowseResponse(
            products=listed.products,
            next_page_token=listed.next_page_token,
            recommended_product_ids=recommended.product_ids,
            degraded=_degraded(listed, recommended),
        )

    async def contract_prices(
        self, request: pb.ContractPricesRequest
    ) -> pb.ContractPricesResponse:
        """Return one page of what a corporate customer has agreed."""
        found = await self._catalog.ListContractPrices(
            catalog_pb2.ListContractPricesRequest(
                customer_id=request.customer_id, page=request.page
            )
        )
        return pb.ContractPricesResponse(
            contract_id=found.contract_id,
            prices=found.prices,
            next_page_token=found.next_page_token,
            degraded=_degraded(found),
        )

    async def add_to_cart(self, request: pb.AddToCartRequest) -> pb.AddToCartResponse:
        """Put a quantity of one product into the cart."""
        added = await self._cart.AddItem(
            cart_pb2.AddItemRequest(
                customer_id=request.customer_id,
                item=request.item,
                idempotency_key=request.idempotency_key,
            )
        )
        return pb.AddToCartResponse(cart=added.cart)

    async def view_cart(self, request: pb.ViewCartRequest) -> pb.ViewCartResponse:
        """Show the cart."""
        found = await self._cart.GetCart(
            cart_pb2.GetCartRequest(customer_id=request.customer_id)
        )
        return pb.ViewCartResponse(cart=found.cart, degraded=_degraded(found))

    async def checkout(
        self, customer: PublicId, request: pb.CheckoutRequest
    ) -> pb.CheckoutResponse:
        """Place the order of the items given, or of the cart. Raises CART_EMPTY."""
        items: Sequence[Item] = request.items
        if not items:
            items = await self._cart_items(customer)
            if not items:
                return await self._bought_before(customer, request.idempotency_key)
        placed = await self._orders.PlaceOrder(
            orders_pb2.PlaceOrderRequest(
                customer_id=str(customer),
                items=items,
                card_token=request.card_token,
                idempotency_key=request.idempotency_key,
            )
        )
        if not request.items:
            await self._clear_cart(customer, request.idempotency_key)
        return pb.CheckoutResponse(order=placed.order, degraded=_degraded(placed))

    async def history(self, request: pb.OrderHistoryRequest) -> pb.OrderHistoryResponse:
        """Return one page of a customer's orders, the newest first."""
        found = await self._orders.ListOrders(
            orders_pb2.ListOrdersRequest(
                customer_id=request.customer_id, page=request.page, view=request.view
            )
        )
        return pb.OrderHistoryResponse(
            orders=found.orders,
            next_page_token=found.next_page_token,
            degraded=_degraded(found),
        )

    async def status(self, order: PublicId) -> AsyncIterator[pb.OrderStatusResponse]:
        """Yield an order's state now and every change until it is final."""
        watched = self._orders.WatchOrder(
            orders_pb2.WatchOrderRequest(order_id=str(order))
        )
        async for one in watched:
            yield pb.OrderStatusResponse(order=one.order)

    async def _list(
        self, request: catalog_pb2.ListProductsRequest
    ) -> catalog_pb2.ListProductsResponse:
        deadline = current_deadline()

        async def load() -> catalog_pb2.ListProductsResponse:
            # Whoever asked first lends the shared call the time that is left to him.
            with deadline_scope(deadline):
                return await self._catalog.ListProducts(request)

        return (await self._lists.get(request.SerializeToString(), load)).value

    async def _recommend(self) -> Recommended:
        # What sells is the same for everybody, so nobody is named and all can share.
        request = recommendations_pb2.RecommendRequest()
        policies = self._policies()
        if not policies.fallbacks:
            return await self._recommendations.Recommend(request)
        deadline = current_deadline()

        async def load() -> Recommended:
            timeout = policies.recommendation_timeout_s
            with deadline_scope(deadline):
                return await self._recommendations.Recommend(request, timeout=timeout)

        async def ask() -> Recommended:
            found = (await self._shelves.get("", load)).value
            self._last_recommended = tuple(found.product_ids)
            return found

        return (await self._shelf.run(ask)).value

    def _instead(self) -> Recommended:
        last = self._last_recommended
        reason = "RECOMMENDED_BEFORE" if last else "RECOMMENDATIONS_LEFT_OUT"
        return Recommended(product_ids=last, degraded=fallback(reason))

    async def _cart_items(self, customer: PublicId) -> Sequence[Item]:
        found = await self._cart.GetCart(
            cart_pb2.GetCartRequest(customer_id=str(customer))
        )
        return found.cart.items

    async def _bought_before(self, customer: PublicId, key: str) -> pb.CheckoutResponse:
        # A repeat whose first reply was lost finds the cart it has bought empty.
        order = order_id(customer.region, key)
        try:
            found = await self._orders.GetOrder(
                orders_pb2.GetOrderRequest(order_id=str(order))
            )
        except grpc.RpcError as error:
            if reason_of(error) != "UNKNOWN_ORDER":
                raise
            raise _cart_empty(customer) from error
        if found.order.customer_id != str(customer):
            raise _cart_empty(customer)
        return pb.CheckoutResponse(order=found.order, degraded=_degraded(found))

    async def _clear_cart(self, customer: PublicId, key: str) -> None:
        clear: Awaitable[object] = self._cart.ClearCart(
            cart_pb2.ClearCartRequest(
                customer_id=str(customer),
                idempotency_key=str(derived(f"clear {customer} {key}")),
            )
        )
        try:
            await clear
        except grpc.RpcError as error:
            # The order stands; a cart left full is no reason to call it failed.
            if not self._policies().fallbacks:
                raise
            self._logger.warning("cart of %s not cleared: %s", customer, error)


def _shared(policies: PolicySet) -> CacheConfig:
    return CacheConfig(ttl_s=0.0, single_flight=policies.single_flight)


def _cart_empty(customer: PublicId) -> Exception:
    return precondition(
        "CART_EMPTY", f"the cart of {customer} is empty and no items were given"
    )


def _degraded(*parts: Any) -> list[common_pb2.Degraded]:
    return [part.degraded for part in parts if part.HasField("degraded")]
