"""Carts as values: what adding to one gives, and when it is too full."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MAX_QUANTITY = 999
MAX_LINES = 100

Line = tuple[str, int]


class CartFullError(Exception):
    """The cart would hold more than a cart can."""


class KeyReusedError(Exception):
    """A known idempotency key came with another request."""

    def __init__(self, key: str) -> None:
        super().__init__(f"idempotency key {key} was used with another request")
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a cart's home knows when something is added to it."""

    customer: bool
    items: Mapping[str, int] = field(default_factory=dict)
    products: frozenset[str] = frozenset()

    def missing(self, lines: Iterable[Line]) -> list[str]:
        """List the products among the lines that do not exist."""
        return [product for product, _ in lines if product not in self.products]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """The rows that adding changes, and the cart after it."""

    changed: tuple[Line, ...]
    new: tuple[Line, ...]
    items: tuple[Line, ...]


def add(items: Mapping[str, int], lines: Sequence[Line]) -> Addition:
    """Add lines to a cart.

    Raises:
        CartFullError: more than 999 of one product, or more than 100 products.
    """
    merged = dict(items)
    for product, quantity in lines:
        merged[product] = merged.get(product, 0) + quantity
        if merged[product] > MAX_QUANTITY:
            raise CartFullError(f"a cart holds at most {MAX_QUANTITY} of {product}")
    if len(merged) > MAX_LINES:
        raise CartFullError(f"a cart holds at most {MAX_LINES} products")
    touched = dict(lines)
    return Addition(
        changed=tuple((one, merged[one]) for one in touched if one in items),
        new=tuple((one, merged[one]) for one in touched if one not in items),
        items=tuple(sorted(merged.items())),
    )


def fingerprint(operation: str, lines: Iterable[Line] = ()) -> str:
    """Return what a repeat of the same write must look like."""
    text = "|".join([operation, *(f"{product}={n}" for product, n in sorted(lines))])
    return hashlib.sha256(text.encode()).hexdigest()
