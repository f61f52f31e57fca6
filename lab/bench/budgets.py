"""What the chain may cost, and whether a run can say so."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lab.bench.figures import (
    REFERENCE_US,
    Figure,
    by_block,
    find,
    paired,
)
from lab.bench.run import Run
from lab.bench.variants import AGAIN, BARE, FULL, KIT
from lab.bench.wire import IN_FLIGHT, SEQUENTIAL

CLIENT_US = 45.0
SERVER_US = 30.0
RELATIVE_RPS = 0.88
REFUSAL_US = 1000.0

MOST_ERROR = 0.04
"""Bare gRPC against itself: the share of a call by which a run may be wrong."""

MOST_SPREAD = 0.5
"""How far bare gRPC's blocks may lie apart, as a share of their median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One promise; *passed* is None when what it is about was not measured.

    *judged_by* says which figure was held against it: the machine's own ("raw"), or
    scaled to the machine that the budget comes from, where bare gRPC is slower here.
    """

    name: str
    budget: float
    raw: float | None
    at_reference: float | None = None
    judged_by: str = "raw"
    passed: bool | None

    def document(self) -> dict[str, Any]:
        """Make the entry of the JSON object's `budgets`."""
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def judge(runs: Sequence[Run], found: Sequence[Figure]) -> list[Budget]:
    """Hold the figures against every budget."""
    bare = find(found, BARE, SEQUENTIAL)
    scale = REFERENCE_US / bare.cpu_us if bare and bare.cpu_us else None
    parallel = find(found, FULL, IN_FLIGHT)
    rps = parallel.relative_rps if parallel else None
    refusal = next((run.refusal for run in runs if run.refusal), None)
    p99 = refusal["p99_us"] if refusal else None
    return [
        _added("full client chain, added µs", CLIENT_US, found, "client", scale),
        Budget(
            name="full client chain, share of bare calls/s at 32 in flight",
            budget=RELATIVE_RPS,
            raw=rps,
            passed=None if rps is None else rps >= RELATIVE_RPS,
        ),
        _added("full server chain, added µs", SERVER_US, found, "server", scale),
        _against_kit(runs, found),
        Budget(
            name="an open breaker's refusal, p99 µs",
            budget=REFUSAL_US,
            raw=p99,
            passed=None if p99 is None else p99 < REFUSAL_US,
        ),
    ]


def _added(
    name: str, budget: float, found: Sequence[Figure], side: str, scale: float | None
) -> Budget:
    one = find(found, FULL, SEQUENTIAL, side=side)
    if one is None:
        return Budget(name=name, budget=budget, raw=None, passed=None)
    raw = one.added_cpu_us
    scaled = None if scale is None else raw * scale
    # A faster machine is no excuse; a slower one is.
    slower = scaled is not None and scaled < raw
    used = scaled if slower and scaled is not None else raw
    return Budget(
        name=name,
        budget=budget,
        raw=raw,
        at_reference=scaled,
        judged_by="at_reference" if slower else "raw",
        passed=used <= budget,
    )


def _against_kit(runs: Sequence[Run], found: Sequence[Figure]) -> Budget:
    """Compare with the kit's three policies, block by block in one interpreter."""
    name = "full client chain less grpc-client-kit's three policies, µs"
    bare = find(found, BARE, SEQUENTIAL, kit=True)
    for run in runs:
        blocks = by_block(run)
        ours = blocks.get(("client", SEQUENTIAL, FULL))
        theirs = blocks.get(("client", SEQUENTIAL, KIT))
        if run.kit and ours and theirs and bare:
            more = statistics.median(paired(ours, theirs, "client_us"))
            # Less than the run can tell apart is not worse.
            limit = MOST_ERROR / 2 * bare.cpu_us
            return Budget(name=name, budget=limit, raw=more, passed=more <= limit)
    return Budget(name=name, budget=0.0, raw=None, passed=None)


def verdict(budgets: Sequence[Budget]) -> str | None:
    """Return pass or fail; None when neither side's full chain was measured."""
    if any(one.passed is False for one in budgets):
        return "fail"
    asked = {one.name: one.passed for one in budgets if one.name.startswith("full")}
    measured = [passed for name, passed in asked.items() if "kit" not in name]
    return "pass" if measured and all(measured) else None


def doubts(found: Sequence[Figure]) -> list[str]:
    """Say why the run proves nothing; empty when it does."""
    reasons = []
    for one in found:
        # No verdict rests on the blocking API; it is shown as it came out.
        if one.shape != SEQUENTIAL or one.api != "aio":
            continue
        where = f"{one.side}, {one.api}, Python {one.python}"
        if one.name == AGAIN and abs(one.added_share) > MOST_ERROR:
            reasons.append(
                f"{where}: bare gRPC differs from itself by "
                f"{100 * one.added_share:+.1f} % (at most {100 * MOST_ERROR:.0f} %)"
            )
        if one.name == BARE and one.spread > MOST_SPREAD:
            reasons.append(
                f"{where}: bare gRPC took {one.cpu_us:.0f} µs, its measurements lie "
                f"{100 * one.spread:.0f} % apart (at most {100 * MOST_SPREAD:.0f} %)"
            )
    return reasons
