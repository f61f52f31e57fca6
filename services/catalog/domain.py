"""Products and prices as values, and how lists of them are cut into pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

FRONT_PAGE = ""
FRONT_PAGE_SIZE = 24
CATEGORIES = (
    "books",
    "games",
    "garden",
    "kitchen",
    "music",
    "office",
    "sport",
    "toys",
)
MAX_BATCH = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product with its list price, in minor units of the currency."""

    id: str
    name: str
    category: str
    price_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractPrice:
    """What a corporate customer pays for a product instead of its list price."""

    product_id: str
    name: str
    list_minor: int
    contract_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One page of a customer's contract; no id when the customer has none."""

    id: str
    prices: tuple[ContractPrice, ...] = ()
    next_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staleness:
    """How old an answer is, in seconds, and whether it is past its freshness."""

    age_s: float = 0.0
    stale: bool = False

    def worse(self, other: "Staleness") -> "Staleness":
        """Return what to say of an answer made of both."""
        return Staleness(
            age_s=max(self.age_s, other.age_s), stale=self.stale or other.stale
        )


def known_category(category: str) -> bool:
    """Tell whether there is such a list; the empty one is the front page."""
    return category == FRONT_PAGE or category in CATEGORIES


def cut(items: Sequence[T], offset: int, size: int) -> tuple[Sequence[T], str]:
    """Return a page and the token of the next one, empty after the last."""
    page = items[offset : offset + size]
    following = offset + size
    return page, str(following) if following < len(items) else ""


def contract_page(
    contract_id: str, prices: Sequence[ContractPrice], size: int
) -> Contract:
    """Make a page of rows that were asked for with one more than `size`."""
    page = tuple(prices[:size])
    more = len(prices) > size
    return Contract(
        id=contract_id,
        prices=page,
        next_token=page[-1].product_id if more else "",
    )
