"""The metadata keys by which hops tell each other what happened."""

from typing import Final

REFUSAL: Final = "x-seawall-refusal"
"""Trailer: the policy that turned the call away (breaker_open, bulkhead, ...)."""

ORIGIN: Final = "x-seawall-origin"
"""Trailer: the hop that really failed, when the answering one only passed it on."""

PUSHBACK: Final = "grpc-retry-pushback-ms"
"""Trailer, gRFC A6: retry after so many milliseconds, or not at all."""

PREVIOUS_ATTEMPTS: Final = "grpc-previous-rpc-attempts"
"""Header, gRFC A6: how many attempts of this call were made before."""

NO_RETRY: Final = "-1"

FALLBACK: Final = "x-seawall-fallback"
"""Trailer: why the answer is the second best one, or whose second best it rests on."""

CACHE: Final = "x-seawall-cache"
"""Trailer of a call that was answered from a copy: hit, stale, joined."""

CRITICALITY: Final = "x-seawall-criticality"
"""Header: how much the answer matters, one of four levels."""

CRITICALITY_LEVEL: Final = "x-seawall-criticality-level"
"""Header: the user's rank within that level, 0 to 99; the lowest are shed first."""
