"""What every configuration is checked for, whatever its fields are."""

import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final

STATUS_NAMES: Final = frozenset(
    {
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
    }
)
"""The names of gRPC's seventeen statuses."""


def refuse_nan(config: Any) -> None:
    """Raise ValueError for a field that is no number.

    TOML and Python's JSON can both say "nan", and no comparison finds it: it is
    neither more than a bound nor less.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f"{field.name} must be a number, not nan")


def refuse_unknown(name: str, codes: Iterable[str] | None) -> None:
    """Raise ValueError for a status in the field *name* that gRPC does not have.

    A misspelt one would match no failure, ever, and nobody would notice.
    """
    unknown = sorted(str(code) for code in frozenset(codes or ()) - STATUS_NAMES)
    if unknown:
        raise ValueError(f"{name}: {', '.join(unknown)} is no gRPC status")
