"""Choosing what to recommend: popular things, of the kind that is looked at first."""

from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_LIMIT = 4
MAX_LIMIT = 20
MAX_SEEN = 100


@dataclass(frozen=True, slots=True)
class Popular:
    """A product and its category; a sequence of them is ordered by popularity."""

    product_id: str
    category: str


def recommend(popular: Sequence[Popular], seen: Sequence[str], limit: int) -> list[str]:
    """Pick up to `limit` products that were not seen.

    Those of the seen products' categories come first, by popularity in each group.
    """
    known = set(seen)
    liked = {one.category for one in popular if one.product_id in known}
    offered = [one for one in popular if one.product_id not in known]
    # A stable sort keeps the order of popularity inside both groups.
    offered.sort(key=lambda one: one.category not in liked)
    return [one.product_id for one in offered[:limit]]
