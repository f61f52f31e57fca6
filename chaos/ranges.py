"""The figures of several runs of one profile: their medians and ranges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

FIGURES = (
    "success_ratio",
    "degraded_ratio",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "goodput_rps",
    "offered_rps",
    "sql_per_checkout",
    "cross_region_sql_per_checkout",
    "attempts_per_call",
    "peak_identical_loads",
    "recovery_s",
)
GROUPS = ("affected", "others")
OF_A_GROUP = ("success_ratio", "degraded_ratio", "p95_ms")
# None is no figure that is missing here, but one without end.
NEVER = frozenset({"recovery_s"})

Range = dict[str, float | None]


def of(judged: Iterable[Mapping[str, Any]]) -> dict[str, Range]:
    """Give each figure's median, least and greatest over judged runs.

    Those of a group of customers are called `affected.p95_ms`. A recovery that never
    came is longer than any that did, and None in what is given.
    """
    runs = list(judged)
    values = {name: [run.get(name) for run in runs if name in run] for name in FIGURES}
    for group in GROUPS:
        for name in OF_A_GROUP:
            values[f"{group}.{name}"] = [
                run["groups"][group]["during"].get(name)
                for run in runs
                if group in run.get("groups", {})
            ]
    return {
        name: found
        for name, given in values.items()
        if (found := spread(given, never=name in NEVER)) is not None
    }


def spread(given: Sequence[float | None], *, never: bool = False) -> Range | None:
    """Give median, least and greatest; None of nothing.

    With `never`, None among the values counts as without end; else it is left out.
    """
    known = [
        math.inf if one is None else one for one in given if never or one is not None
    ]
    if not known:
        return None
    return {
        "median": _finite(median(known)),
        "min": _finite(min(known)),
        "max": _finite(max(known)),
    }


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
