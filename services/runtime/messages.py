"""Small messages that every service builds alike."""

from protos.shop.v1 import common_pb2


def money(minor_units: int, currency: str) -> common_pb2.Money:
    """Build an amount in minor units."""
    return common_pb2.Money(currency=currency, minor_units=minor_units)


def stale(age_s: float, reason: str = "CACHE_STALE") -> common_pb2.Degraded:
    """Build the note on an answer that is past its freshness by its age in seconds."""
    return common_pb2.Degraded(
        kind=common_pb2.Degraded.KIND_STALE, reason=reason, age_ms=round(age_s * 1000)
    )


def fallback(reason: str) -> common_pb2.Degraded:
    """Build the note on a substitute, or on a part that was left out."""
    return common_pb2.Degraded(kind=common_pb2.Degraded.KIND_FALLBACK, reason=reason)
