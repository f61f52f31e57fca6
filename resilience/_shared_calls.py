"""Coalescing for whole calls: who may share an answer, and under which key."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from resilience._copies import CacheConfig

CallKey = Callable[[Any, Any], Hashable | None]


def request_bytes(request: Any, _metadata: Any) -> Hashable:
    """Return what the request says, byte by byte; the metadata is not looked at."""
    serialize = getattr(request, "SerializeToString", None)
    if serialize is None:
        return request if isinstance(request, Hashable) else repr(request)
    found: bytes = serialize(deterministic=True)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CoalesceConfig:
    """Identical reads share one call and its answer, as *cache* says.

    For methods with one request and one response that change nothing: give it to
    those methods, not to a whole target. *key*, of request and metadata, says
    which calls are identical; None means that this one is made by itself. The
    default looks at the request alone, so an answer that depends on who asks
    needs a key of its own. Answers are copied for each reader.
    """

    cache: CacheConfig = field(default_factory=CacheConfig)
    key: CallKey = request_bytes
