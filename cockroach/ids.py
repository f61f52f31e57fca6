"""Public identifiers: the home region first, so that anybody can route by them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4, uuid5

from cockroach.topology import REGIONS, check_region

# Any fixed value does; it keeps our derived ids apart from everybody else's.
_NAMESPACE = UUID("6b1c0f0a-6a51-4d0f-9d3c-5ea3a1150001")


@dataclass(frozen=True, slots=True, order=True)
class PublicId:
    """An id that carries its home region: "eu-6f1c2f5e-8a44-4c0e-9d2f-6f0f6a3f0a11"."""

    region: str
    uuid: UUID

    def __str__(self) -> str:
        return f"{self.region}-{self.uuid}"

    @classmethod
    def parse(cls, text: str) -> PublicId:
        """Read an id in its one spelling. Raises ValueError that says what is wrong."""
        region, dash, rest = text.partition("-")
        if not dash:
            raise ValueError(f"{text!r} is not an id: expected <region>-<uuid>")
        if region not in REGIONS:
            raise ValueError(
                f"{text!r} names no region we have: expected one of "
                f"{', '.join(REGIONS)} before the first dash"
            )
        try:
            uuid = UUID(rest)
        except ValueError:
            uuid = None
        if uuid is None or str(uuid) != rest:
            raise ValueError(
                f"{text!r} is not an id: {rest!r} is not a UUID in its lower-case "
                "form with dashes"
            )
        return cls(region, uuid)


def new_id(region: str) -> PublicId:
    """Make a fresh random id at home in a region. Raises TopologyError."""
    return PublicId(check_region(region), uuid4())


def customer_id(region: str, n: int) -> PublicId:
    """Name the n-th seeded customer of a region, from 1."""
    return PublicId(check_region(region), UUID(f"00000000-0000-4000-8000-{n:012d}"))


def product_id(n: int) -> str:
    """Name the n-th product, from 1; the lower, the more popular."""
    return f"P{n:04d}"


def contract_id(region: str, n: int) -> str:
    """Name the contract of the n-th corporate customer of a region."""
    return f"C-{check_region(region)}-{n:03d}"


def derived(namespace_text: str) -> UUID:
    """Return the same UUID for the same text, everywhere and always (version 5)."""
    return uuid5(_NAMESPACE, namespace_text)
