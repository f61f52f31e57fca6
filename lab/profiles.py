"""Sick and cured as values: one table of policy settings, and the cures as switches.

The services know neither word. They read a snapshot of values (`PolicySet`); which
values make a platform sick, and which cure it, is said here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Value = str | float | int | bool
Profile = Literal["sick", "cured"]
PROFILES: tuple[Profile, ...] = ("sick", "cured")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One policy value in both profiles, and where the sick one comes from."""

    name: str
    sick: Value
    cured: Value
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """A switch: the settings that it moves from their sick to their cured value."""

    name: str
    summary: str
    settings: tuple[Setting, ...]


def _setting(name: str, sick: Value, cured: Value, source: str) -> Setting:
    return Setting(name=name, sick=sick, cured=cured, source=source)


_CASE = "case study"

CURES: tuple[Cure, ...] = (
    Cure(
        name="locality-routing",
        summary="the row's home region decides the gateway, not round-robin",
        settings=(_setting("gateway_choice", "round_robin_all", "home_region", _CASE),),
    ),
    Cure(
        name="weighted-routing",
        summary="of a region's gateways the one that answers soonest is asked",
        settings=(
            _setting("gateway_pick", "round_robin", "weighted_response_time", _CASE),
        ),
    ),
    Cure(
        name="local-schema",
        summary="the region stands in every join and predicate",
        settings=(_setting("query_schema", "naive", "local", _CASE),),
    ),
    Cure(
        name="batching",
        summary="one statement and one call instead of one for each item",
        settings=(
            _setting("sql_batching", "per_item", "batched", _CASE),
            _setting("rpc_batching", "per_item", "batched", _CASE),
        ),
    ),
    Cure(
        name="hot-keys",
        summary="no row or key that everybody writes: shards, random keys, one line",
        settings=(
            _setting("reservations", "alone", "together", _CASE),
            _setting("stock_keys", "one", "sharded", _CASE),
            _setting("ledger_keys", "sequential", "random", _CASE),
        ),
    ),
    Cure(
        name="breakers",
        summary="a failing or slow target is left alone until it answers again",
        settings=(
            _setting("breakers", False, True, "grpcio: none"),  # noqa: FBT003
            _setting("data_breakers", False, True, "SQLAlchemy: none"),  # noqa: FBT003
        ),
    ),
    Cure(
        name="deadlines",
        summary="the caller's deadline travels on and shrinks at every hop",
        settings=(
            _setting("propagate_deadlines", False, True, "grpcio: not passed on"),  # noqa: FBT003
            _setting("rpc_timeout_s", 8.0, 5.0, "case study: one limit for all"),
        ),
    ),
    Cure(
        name="bulkheads",
        summary="no target holds more than its share of a caller",
        settings=(_setting("bulkhead", 0, 64, "grpcio: unbounded"),),
    ),
    Cure(
        name="fallbacks",
        summary="intake, stale pages and empty shelves instead of errors",
        settings=(
            _setting("fallbacks", False, True, _CASE),  # noqa: FBT003
            # What the experiments' objectives still call a good answer.
            _setting("stale_reads_s", 0.0, 30.0, "no reads at copies"),
            _setting("recommendation_timeout_s", 10.0, 0.15, "the hop's own limit"),
        ),
    ),
    Cure(
        name="coalescing",
        summary="one load for many readers, and the stale copy meanwhile",
        settings=(
            _setting("single_flight", False, True, "a plain cache-aside"),  # noqa: FBT003
            _setting("stale_s", 0.0, 30.0, "a plain cache-aside"),
        ),
    ),
    Cure(
        name="lease",
        summary="one process of a region loads for all of them",
        settings=(_setting("lease", False, True, "a plain cache-aside"),),  # noqa: FBT003
    ),
    Cure(
        name="retry-budget",
        summary="few retries, late, with jitter, paid from a budget",
        settings=(
            _setting(
                "retry_on",
                "any_failure",
                "unavailable",
                "tenacity: any exception",
            ),
            _setting("retry_attempts", 3, 2, "tenacity's examples: 3"),
            _setting("retry_backoff_s", 0.0, 0.05, "tenacity: wait_none"),
            _setting("retry_backoff_max_s", 0.0, 0.25, "tenacity: wait_none"),
            _setting("retry_budget", False, True, "tenacity: none"),  # noqa: FBT003
            _setting("transaction_attempts", 5, 5, "both: the engine asks for it"),
        ),
    ),
    Cure(
        name="bounded-pools",
        summary="pools sized to the database, warm, with a short bounded wait",
        settings=(
            _setting("pool_timeout_s", 30.0, 0.25, "SQLAlchemy: 30 s"),
            _setting("pools_warm", False, True, "SQLAlchemy: connects on first use"),  # noqa: FBT003
        ),
    ),
)

# The same in both profiles, so that no comparison hangs on them.
COMMON: Mapping[str, Value] = MappingProxyType(
    {
        # A single statement needs no BEGIN and COMMIT; where each is a round trip
        # across an ocean, nobody's checkout ends in time with them.
        "single_statements": "autocommit",
        "cache_ttl_s": 5.0,
        "data_slow_ms": 200.0,
        "data_open_s": 1.0,
        # Connections a gateway and process. The library's own 5 + 10 do not fit three
        # small servers with 27 clients each, and the case study's counts were normal.
        "pool_size": 2,
        # The front door asks its database at the start only, the catalog for crowds.
        "pool_size_storefront": 1,
        "pool_size_catalog": 3,
        "pool_overflow": 0,
    }
)

CURE_NAMES: tuple[str, ...] = tuple(cure.name for cure in CURES)


class UnknownCureError(ValueError):
    """There is no such switch."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no cure named {name!r}; there are: {', '.join(CURE_NAMES)}")


def cures_of(profile: Profile) -> dict[str, bool]:
    """Every switch as the profile has it: all off when sick, all on when cured."""
    return dict.fromkeys(CURE_NAMES, profile == "cured")


def values(cures: Mapping[str, bool]) -> dict[str, Value]:
    """Policy values for any mixture of cures.

    Raises UnknownCureError for a name that is no cure; cures not named are off.
    """
    for name in cures:
        if name not in CURE_NAMES:
            raise UnknownCureError(name)
    settled = dict(COMMON)
    for cure in CURES:
        cured = cures.get(cure.name, False)
        for setting in cure.settings:
            settled[setting.name] = setting.cured if cured else setting.sick
    return settled


def describe(cures: Mapping[str, bool]) -> str:
    """`sick`, `cured`, or `mixed` for what is neither."""
    switched = [cures.get(name, False) for name in CURE_NAMES]
    if all(switched):
        return "cured"
    return "mixed" if any(switched) else "sick"
