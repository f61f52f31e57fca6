"""What the spans of a gRPC call carry, the same for callers, attempts and servers.

Written are the present attribute names and the earlier ones beside them, save
`rpc.method`, whose key is shared: it holds the full name.
"""

from functools import lru_cache
from types import MappingProxyType
from typing import Any

import grpc
from opentelemetry.trace import Span, Status, StatusCode

from observability import names

_SKIPPED = ("/grpc.health.", "/grpc.reflection.")
# The conventions' list: a server is at fault for these, not for what a caller sent.
SERVER_ERRORS = frozenset(
    {
        "UNKNOWN",
        "DEADLINE_EXCEEDED",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
    }
)
_NUMBERS = MappingProxyType({code.name: int(code.value[0]) for code in grpc.StatusCode})
_NAMES = MappingProxyType({number: name for name, number in _NUMBERS.items()})


def wanted(details: grpc.HandlerCallDetails | grpc.aio.ClientCallDetails) -> bool:
    """Whether a call gets spans: health checks and reflection do not."""
    return not _path(details.method).startswith(_SKIPPED)


def full_method(path: str | bytes) -> str:
    """Return `pkg.Service/Method` for a call's path."""
    return _path(path).removeprefix("/")


@lru_cache(maxsize=1024)
def attributes(method: str) -> MappingProxyType[str, str]:
    """Return the attributes that every span of a method begins with."""
    return MappingProxyType(
        {
            names.RPC_SYSTEM_NAME: "grpc",
            names.OLD_RPC_SYSTEM: "grpc",
            names.RPC_METHOD: method,
            names.OLD_RPC_SERVICE: method.partition("/")[0],
        }
    )


def set_code(span: Span, code: str, *, error: bool, details: str | None = None) -> None:
    """Write the status of a finished call on its span."""
    span.set_attribute(names.RPC_STATUS, code)
    number = _NUMBERS.get(code)
    if number is not None:
        span.set_attribute(names.OLD_RPC_STATUS, number)
    if error:
        span.set_attribute(names.ERROR_TYPE, code)
        span.set_status(Status(StatusCode.ERROR, (details or code)[:200]))


def named(code: Any) -> str:
    """Return the name of a status as handlers give it: a StatusCode, or its number."""
    if isinstance(code, int):
        return _NAMES.get(code, "UNKNOWN")
    return str(getattr(code, "name", "UNKNOWN"))


def _path(method: str | bytes) -> str:
    # grpc.aio hands bytes to client interceptors whatever its types say.
    return method.decode() if isinstance(method, bytes) else method
