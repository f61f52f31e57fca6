"""Checks of requests at the server's edge: all that is wrong, told in one reply."""

import re
from collections.abc import Sequence
from typing import Self
from uuid import UUID

from cockroach.ids import PublicId
from protos.shop.v1 import common_pb2
from services.runtime.errors import invalid, wrong_region
from services.runtime.policy import PolicySet

MAX_QUANTITY = 999
MAX_LINES = 100
MAX_PAGE = 100
DEFAULT_PAGE = 20
_KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")
_TOKEN = re.compile(r"[!-~]{1,256}")
_PRODUCT = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NOBODY = PublicId("", UUID(int=0))


class Check:
    """Collects violations; values read from a bad field are placeholders.

    Used as a context manager: leaving the block raises INVALID_ARGUMENT with every
    violation found in it.
    """

    def __init__(self) -> None:
        self.violations: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None and self.violations:
            raise invalid(self.violations)

    def fail(self, field: str, description: str) -> None:
        """Note one violation."""
        self.violations.append((field, description))

    def public_id(self, field: str, text: str) -> PublicId:
        """Read `<region>-<uuid>`."""
        if not text:
            self.fail(field, "must be given")
            return _NOBODY
        try:
            return PublicId.parse(text)
        except ValueError as error:
            self.fail(field, str(error))
            return _NOBODY

    def product_id(self, field: str, text: str) -> str:
        """Read a product's id; whether it exists is not known here."""
        if not _PRODUCT.fullmatch(text):
            self.fail(field, "must be a product id such as P0001")
        return text

    def quantity(self, field: str, quantity: int) -> int:
        """Read a quantity of 1 to 999."""
        if not 1 <= quantity <= MAX_QUANTITY:
            self.fail(field, f"must be 1 to {MAX_QUANTITY}, was {quantity}")
        return quantity

    def line(self, field: str, item: common_pb2.LineItem) -> tuple[str, int]:
        """Read one line as (product, quantity)."""
        return (
            self.product_id(f"{field}.product_id", item.product_id),
            self.quantity(f"{field}.quantity", item.quantity),
        )

    def lines(
        self, field: str, items: Sequence[common_pb2.LineItem], *, least: int = 1
    ) -> list[tuple[str, int]]:
        """Read `least` to 100 lines, one per product: repeats are added up."""
        if not least <= len(items) <= MAX_LINES:
            self.fail(field, f"must be {least} to {MAX_LINES} items, was {len(items)}")
            return []
        totals: dict[str, int] = {}
        for number, item in enumerate(items):
            product, quantity = self.line(f"{field}[{number}]", item)
            totals[product] = totals.get(product, 0) + quantity
        for product, total in totals.items():
            if total > MAX_QUANTITY and not self.violations:
                self.fail(field, f"{product}: at most {MAX_QUANTITY} in all")
        return list(totals.items())

    def idempotency_key(self, text: str, field: str = "idempotency_key") -> str:
        """Read a key of 8 to 64 characters of A-Z a-z 0-9 _ -."""
        if not text:
            self.fail(field, "must be given: it makes a repeat safe")
        elif not _KEY.fullmatch(text):
            self.fail(field, "must be 8 to 64 characters of A-Z a-z 0-9 _ -")
        return text

    def card_token(self, text: str, field: str = "card_token") -> str:
        """Read a card's token: 1 to 256 visible characters, as card networks give."""
        if not text:
            self.fail(field, "must be given")
        elif not _TOKEN.fullmatch(text):
            self.fail(field, "must be at most 256 visible ASCII characters")
        return text

    def page(self, page: common_pb2.PageRequest) -> tuple[int, str]:
        """Read (size, token); no size means 20."""
        size = page.page_size or DEFAULT_PAGE
        if not 1 <= size <= MAX_PAGE:
            self.fail("page.page_size", f"must be 1 to {MAX_PAGE}, was {size}")
        return size, page.page_token

    def money(self, field: str, money: common_pb2.Money) -> tuple[int, str]:
        """Read a positive amount as (minor units, currency)."""
        if money.minor_units <= 0:
            self.fail(f"{field}.minor_units", "must be above 0")
        if not re.fullmatch(r"[A-Z]{3}", money.currency):
            self.fail(f"{field}.currency", "must be an ISO 4217 code such as EUR")
        return money.minor_units, money.currency


def at_home(id_: PublicId, region: str, policies: PolicySet) -> PublicId:
    """Return the id if it may be served in this region. Raises WRONG_REGION."""
    if id_.region != region and not policies.any_region:
        raise wrong_region(id_.region, region)
    return id_


def offset_of(token: str) -> int:
    """Read a page token that is an offset. Raises INVALID_ARGUMENT."""
    if not token:
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", token):
        raise invalid([("page.page_token", "must be what the last reply gave")])
    return int(token)
