"""What may be done to a cart."""

from collections.abc import Callable, Sequence

from cockroach.ids import PublicId
from services.cart.domain import (
    CartFullError,
    KeyReusedError,
    Known,
    Line,
    fingerprint,
)
from services.cart.store import CartStore
from services.runtime.errors import key_reused, not_found, precondition
from services.runtime.policy import PolicySet


class CartHandlers:
    """The use cases of one region's carts."""

    def __init__(self, store: CartStore, *, policies: Callable[[], PolicySet]) -> None:
        self._store = store
        self._policies = policies

    async def cart(self, customer: PublicId) -> Sequence[Line]:
        """Return a customer's lines. Raises UNKNOWN_CUSTOMER."""
        lines = await self._store.cart(customer)
        if lines is None:
            raise not_found("UNKNOWN_CUSTOMER", f"no customer {customer}")
        return lines

    async def add(
        self, customer: PublicId, lines: Sequence[Line], key: str
    ) -> Sequence[Line]:
        """Add lines and return the cart; repeating the key changes nothing.

        Raises UNKNOWN_CUSTOMER, UNKNOWN_PRODUCT, CART_FULL, IDEMPOTENCY_KEY_REUSED.
        """

        def check(known: Known) -> None:
            if not known.customer:
                raise not_found("UNKNOWN_CUSTOMER", f"no customer {customer}")
            if missing := known.missing(lines):
                named = ", ".join(missing)
                raise not_found(
                    "UNKNOWN_PRODUCT", f"no product {named}", products=",".join(missing)
                )

        try:
            return await self._store.add(
                customer,
                lines,
                key=key,
                fingerprint=fingerprint("add", lines),
                batched=self._policies().sql_batching == "batched",
                check=check,
            )
        except CartFullError as error:
            raise precondition("CART_FULL", str(error)) from error
        except KeyReusedError as error:
            raise key_reused(key) from error

    async def clear(self, customer: PublicId, key: str) -> None:
        """Empty a cart; repeating the key changes nothing."""
        try:
            await self._store.clear(customer, key=key, fingerprint=fingerprint("clear"))
        except KeyReusedError as error:
            raise key_reused(key) from error
