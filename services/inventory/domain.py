"""Reservations as values: what an order holds, and what a repeat may do to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from cockroach.ids import PublicId


class ReservationState(StrEnum):
    """Where an order's reservation stands."""

    RESERVED = "reserved"
    COMMITTED = "committed"
    RELEASED = "released"


class OutOfStockError(Exception):
    """There is not enough of these products."""

    def __init__(self, products: Iterable[str]) -> None:
        self.products = tuple(sorted(products))
        super().__init__(f"not enough stock of {', '.join(self.products)}")


class ReservationClosedError(Exception):
    """The order's reservation is past the state that the caller asks for."""

    def __init__(self, state: ReservationState | None) -> None:
        self.state = state
        super().__init__(
            f"the reservation is {state.value}" if state else "there is no reservation"
        )


@dataclass(frozen=True, slots=True)
class Line:
    """A quantity of one product."""

    product_id: str
    quantity: int


def merged(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return one line per product, ordered by product.

    One order of locking for all callers, and an UPDATE .. FROM that meets each
    stock row once.
    """
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.product_id] = totals.get(line.product_id, 0) + line.quantity
    return tuple(Line(product, totals[product]) for product in sorted(totals))


def from_json(lines: Iterable[Mapping[str, object]]) -> tuple[Line, ...]:
    """Return the lines that a reservation row keeps."""
    return tuple(
        Line(str(line["product_id"]), int(str(line["quantity"]))) for line in lines
    )


def as_json(lines: Iterable[Line]) -> list[dict[str, object]]:
    """Return lines as the reservation row keeps them."""
    return [
        {"product_id": line.product_id, "quantity": line.quantity} for line in lines
    ]


def shard_of(order: PublicId, shards: int) -> int:
    """Return the shard that an order takes from: always the same, any of them."""
    return order.uuid.int % shards


def spread(left: int, rows: int, shards: int) -> tuple[int, int]:
    """Share out what is left: what shard 0 holds, and what each other row does.

    Evenly over all rows; with one shard in use that one has everything.
    """
    if shards == 1:
        return left, 0
    each, odd = divmod(left, rows)
    return each + odd, each


def short(lines: Iterable[Line], available: Mapping[str, int]) -> tuple[str, ...]:
    """Return the products of which there is not enough."""
    return tuple(
        line.product_id
        for line in lines
        if available.get(line.product_id, 0) < line.quantity
    )


def missing(lines: Iterable[Line], held: Iterable[Line]) -> tuple[Line, ...]:
    """Return the lines that a reservation does not hold yet."""
    there = {line.product_id for line in held}
    return tuple(line for line in lines if line.product_id not in there)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An order's reservation as it stood before a statement; no state, no row."""

    state: ReservationState | None = None
    held: tuple[Line, ...] = ()


def still_to_take(lines: Iterable[Line], standing: Standing) -> tuple[Line, ...]:
    """Return what a repeated reserve has still to take.

    Raises:
        ReservationClosedError: it was released; it must not be taken late.
    """
    match standing.state:
        case ReservationState.RELEASED:
            raise ReservationClosedError(standing.state)
        case ReservationState.COMMITTED:
            return ()
        case _:
            return missing(lines, standing.held)
