"""From samples to rows, and from rows to the budgets' verdict."""

import statistics
from typing import Any

from lab.bench.measure import Samples
from lab.bench.variants import FULL, KIT, SERVER_FULL, THREE

# The budgets were set where a bare unary call takes this much CPU.
REFERENCE_US = 174.0
CLIENT_US = 45.0
CLIENT_SHARE = 0.88
SERVER_US = 30.0
REFUSAL_US = 1000.0
# Bare rounds that differ by more than this are a machine that did something else.
SPREAD = 1.8

Row = dict[str, Any]


def rows(samples: dict[str, Samples], *, side: str) -> list[Row]:
    """Return one row a variant; what is added is the median of paired differences."""
    bare = samples["bare"]
    scale = REFERENCE_US / statistics.median(bare.cpu_us)
    found = []
    for name, one in samples.items():
        added = _median_of(lambda a, b: a - b, one.cpu_us, bare.cpu_us)
        found.append(
            {
                "name": name,
                "side": side,
                "cpu_us": round(statistics.median(one.cpu_us), 1),
                "added_cpu_us": round(added, 1),
                "added_at_reference_us": round(added * scale, 1),
                "p50_us": round(statistics.median(one.p50_us), 1),
                "rps": round(statistics.median(one.rps)),
                "relative_rps": round(
                    _median_of(lambda a, b: a / b, one.rps, bare.rps), 3
                ),
                "message_cpu_us": round(statistics.median(one.message_us), 2),
                "added_message_cpu_us": round(
                    _median_of(lambda a, b: a - b, one.message_us, bare.message_us), 2
                ),
            }
        )
    return found


def _median_of(combine: Any, ours: list[float], bare: list[float]) -> float:
    pairs = zip(ours, bare, strict=True)
    return float(statistics.median(combine(a, b) for a, b in pairs))


def noise(samples: dict[str, Samples]) -> str | None:
    """Return why the run proves nothing, None when it does."""
    bare = sorted(samples["bare"].cpu_us)
    low, high = bare[len(bare) // 10], bare[-1 - len(bare) // 10]
    if high > SPREAD * low:
        return f"bare calls took {low:.0f} to {high:.0f} us of CPU from round to round"
    return None


def budgets(found: list[Row], kit: list[Row], refusal_us: float) -> list[Row]:
    """Return each budget with what was measured; CPU at the reference's scale."""
    client = _named(found, FULL, "client")
    server = _named(found, SERVER_FULL, "server")
    judged = []
    if client is not None:
        judged += [
            _budget(
                "client chain, added CPU at reference",
                client["added_at_reference_us"],
                CLIENT_US,
            ),
            _budget("client chain, relative rps", client["relative_rps"], CLIENT_SHARE),
        ]
        judged[-1]["ok"] = client["relative_rps"] >= CLIENT_SHARE
    if server is not None:
        judged.append(
            _budget(
                "server chain, added CPU at reference",
                server["added_at_reference_us"],
                SERVER_US,
            )
        )
    judged.append(_budget("open breaker's refusal, p99", refusal_us, REFUSAL_US))
    theirs, ours = _named(kit, KIT, "kit"), _named(kit, THREE, "kit")
    if theirs is not None and ours is not None:
        judged.append(
            _budget(
                "same three policies, added CPU against grpc-client-kit",
                ours["added_cpu_us"],
                theirs["added_cpu_us"],
            )
        )
    return judged


def _budget(name: str, measured: float, allowed: float) -> Row:
    return {
        "budget": name,
        "measured": round(measured, 3),
        "allowed": round(allowed, 3),
        "ok": measured <= allowed,
    }


def _named(found: list[Row], name: str, side: str) -> Row | None:
    return next((r for r in found if r["name"] == name and r["side"] == side), None)
