"""Orders as values: states, prices, the fingerprint of a request."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from cockroach.ids import PublicId
from services.runtime.identity import order_id


class OrderState(StrEnum):
    """Where an order stands in the database of its home."""

    ACCEPTED = "accepted"
    CONFIRMED = "confirmed"
    # Decided, and not yet undone everywhere; to the customer still accepted.
    REJECTING = "rejecting"
    REJECTED = "rejected"

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return not TRANSITIONS[self]


#: What may follow what. `rejecting` is the one decision against an order: whoever
#: gets there first undoes it, and nobody confirms it any more.
TRANSITIONS: Mapping[OrderState, frozenset[OrderState]] = {
    OrderState.ACCEPTED: frozenset({OrderState.CONFIRMED, OrderState.REJECTING}),
    OrderState.REJECTING: frozenset({OrderState.REJECTED}),
    OrderState.CONFIRMED: frozenset(),
    OrderState.REJECTED: frozenset(),
}

UNFINISHED = tuple(state for state in OrderState if TRANSITIONS[state])


def before(state: OrderState) -> tuple[OrderState, ...]:
    """Return the states from which an order may come to this one."""
    return tuple(one for one, after in TRANSITIONS.items() if state in after)


@dataclass(frozen=True, slots=True)
class Wish:
    """A quantity of one product that a customer wants."""

    product_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A wish with its price, in minor units of the order's currency."""

    product_id: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class Price:
    """What one piece costs."""

    minor_units: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A checkout as it was asked for.

    `promised` are the lines of an order that an intake brings home: its prices were
    told to the customer, so they stand.
    """

    customer: PublicId
    wishes: tuple[Wish, ...]
    card_token: str
    key: str
    promised: tuple[OrderLine, ...] = ()
    currency: str = ""

    @property
    def home(self) -> str:
        """The region the order belongs to."""
        return self.customer.region

    @property
    def order_id(self) -> PublicId:
        """The order's id.

        It follows from the key, so every region that takes the same request
        promises the same order.
        """
        return order_id(self.home, self.key)

    @property
    def fingerprint(self) -> str:
        """What a repeat with the same key must look like."""
        wishes = sorted((wish.product_id, wish.quantity) for wish in self.wishes)
        text = f"{self.customer}|{wishes}|{self.card_token}"
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as the database has it."""

    id: PublicId
    customer_id: UUID
    key: str
    fingerprint: str
    state: OrderState
    lines: tuple[OrderLine, ...]
    currency: str
    rejection: str
    card_token: str
    created_at: datetime
    updated_at: datetime
    #: Of an order that was read without its lines: what they come to.
    summed_minor: int | None = None

    @property
    def customer(self) -> PublicId:
        """The customer's public id."""
        return PublicId(self.id.region, self.customer_id)

    @property
    def total_minor(self) -> int:
        """What the customer pays, in minor units."""
        if self.summed_minor is not None:
            return self.summed_minor
        return sum(line.quantity * line.unit_price_minor for line in self.lines)

    def moved(self, state: OrderState, rejection: str = "") -> "Order":
        """Return the order in another state; the first reason for a refusal stays."""
        return replace(self, state=state, rejection=self.rejection or rejection)


class UnknownProductError(Exception):
    """These products are not for sale."""

    def __init__(self, products: Iterable[str]) -> None:
        self.products = tuple(sorted(products))
        super().__init__(f"no product {', '.join(self.products)}")


class MixedCurrenciesError(Exception):
    """The products of one order have prices in several currencies."""


def priced(
    wishes: Sequence[Wish], prices: Mapping[str, Price]
) -> tuple[tuple[OrderLine, ...], str]:
    """Return the lines and their currency.

    Raises:
        UnknownProductError: a product has no price.
        MixedCurrenciesError: the prices cannot be added up.
    """
    unknown = {wish.product_id for wish in wishes} - set(prices)
    if unknown:
        raise UnknownProductError(unknown)
    currencies = {prices[wish.product_id].currency for wish in wishes}
    if len(currencies) != 1:
        raise MixedCurrenciesError(", ".join(sorted(currencies)))
    lines = tuple(
        OrderLine(wish.product_id, wish.quantity, prices[wish.product_id].minor_units)
        for wish in wishes
    )
    return lines, currencies.pop()


def accepted(
    request: Request, lines: tuple[OrderLine, ...], currency: str, now: datetime
) -> Order:
    """Return the order that a request becomes."""
    return Order(
        id=request.order_id,
        customer_id=request.customer.uuid,
        key=request.key,
        fingerprint=request.fingerprint,
        state=OrderState.ACCEPTED,
        lines=lines,
        currency=currency,
        rejection="",
        card_token=request.card_token,
        created_at=now,
        updated_at=now,
    )
