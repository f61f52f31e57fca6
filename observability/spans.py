"""A span as it is read back, from whatever store it came.

Ids are lower-case hex, times nanoseconds since the epoch. Attributes that were
stored as protobuf are decoded when first looked at: a verdict reads all spans but
looks into few.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from sys import intern
from types import MappingProxyType
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as _Message

from observability import names

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened at one moment of a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Span:
    """One unit of work of one process; compared by identity."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    service: str
    instance: str = ""
    region: str = ""
    zone: str = ""
    start_ns: int
    end_ns: int
    status: str = "UNSET"
    attributes: Mapping[str, Any]
    events: tuple[SpanEvent, ...] = ()
    received_ns: int = 0

    @property
    def duration_ms(self) -> float:
        """How long it took, in milliseconds."""
        return (self.end_ns - self.start_ns) / 1e6

    @property
    def is_attempt(self) -> bool:
        """Whether this is one attempt of a call, below the logical span."""
        return self.kind == "CLIENT" and names.PREVIOUS_ATTEMPTS in self.attributes

    @property
    def is_sql(self) -> bool:
        """Whether this is a database statement; waiting for a pool is none."""
        return (
            self.kind == "CLIENT"
            and self.name not in {names.SPAN_POOL_ACQUIRE, names.SPAN_CONNECT}
            and names.DB_SYSTEM in self.attributes
        )

    @property
    def rpc_method(self) -> str:
        """The full `pkg.Service/Method`, whichever convention wrote it."""
        method = str(self.attributes.get(names.RPC_METHOD, ""))
        if method and "/" not in method:
            return f"{self.attributes.get(names.OLD_RPC_SERVICE, '')}/{method}"
        return method

    @property
    def rpc_status(self) -> str:
        """The name of the call's gRPC status, whichever convention wrote it."""
        for key in (names.RPC_STATUS, names.RPC_STATUS_NEXT):
            if key in self.attributes:
                return str(self.attributes[key])
        number = self.attributes.get(names.OLD_RPC_STATUS)
        return "" if number is None else _RPC_STATUSES[int(number)]


class LazyAttributes(Mapping[str, Any]):
    """The attributes of one protobuf span, decoded at the first look."""

    __slots__ = ("_found", "_raw")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._found: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> Any:
        return self._all()[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        return self._all().get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._all() == dict(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> dict[str, Any]:
        if self._found is None:
            self._found = decode_attributes(_Message.FromString(self._raw).attributes)
            self._raw = b""
        return self._found


def decode_attributes(pairs: Any) -> dict[str, Any]:
    """Return a message's repeated key values as a dictionary."""
    # Interned: the same few words in a hundred thousand spans are kept once.
    return {intern(pair.key): _value(pair.value) for pair in pairs}


def decode_events(raw: bytes) -> tuple[SpanEvent, ...]:
    """Return the events of one stored span."""
    return tuple(
        SpanEvent(
            event.name,
            event.time_unix_nano,
            MappingProxyType(decode_attributes(event.attributes)),
        )
        for event in _Message.FromString(raw).events
    )


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return intern(value.string_value)
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        pairs: list[KeyValue] = list(value.kvlist_value.values)
        return decode_attributes(pairs)
    return getattr(value, kind)


_RPC_STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
