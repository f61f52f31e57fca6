"""Ids that follow from others, so that a repeat finds what was made before."""

from cockroach.ids import PublicId, derived


def order_id(home: str, idempotency_key: str) -> PublicId:
    """Return the id of the order that this key places in this region."""
    return PublicId(home, derived(f"order/{home}/{idempotency_key}"))
