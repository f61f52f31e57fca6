"""The numbers that a run tells of itself once a second, for whoever watches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from chaos.figures import block, percentile
from chaos.journeys import Journey
from chaos.settings import Settings
from chaos.timeline import Window

# Latency and success are those of the last so many seconds.
LATELY_S = 2.0
# Journeys are written down in the order in which they end, give or take this.
OUT_OF_ORDER_S = 1.0


class Pulse:
    """Sums up a run's last seconds; looks at what is new and no further back."""

    def __init__(self, settings: Settings, *, regions: int) -> None:
        self._settings = settings
        self._regions = regions
        self._told = 0

    def beat(
        self, seen: Sequence[Journey], *, start_s: float, now_s: float
    ) -> dict[str, Any]:
        """Give the numbers of now; `seen` in the order in which journeys ended.

        `seconds` has every second that is over since the last beat.
        """
        at_s = now_s - start_s
        young_s = min(now_s - LATELY_S, start_s + self._told) - OUT_OF_ORDER_S
        young = list(takewhile(lambda one: one.done_s >= young_s, reversed(seen)))
        last = [one for one in young if one.done_s >= now_s - LATELY_S]
        found = block(
            last,
            Window(since_s=0, until_s=now_s + 1),
            max_stale_ms=float(self._settings.slo["max_stale_ms"]),
        )
        over = range(self._told, max(self._told, int(at_s)))
        self._told = over.stop
        timings = self._settings.timings
        return {
            "at_s": round(at_s, 1),
            "of_s": timings.duration_s,
            "fault_at_s": timings.fault_at_s,
            "fault_until_s": timings.fault_until_s,
            "ended": len(seen),
            "planned_rps": planned(
                self._settings, max(0.0, at_s - 1), regions=self._regions
            ),
            "ended_rps": sum(one.done_s >= now_s - 1.0 for one in last),
            "success_ratio": found.success_ratio,
            "degraded_ratio": found.degraded_ratio,
            "p50_ms": found.p50_ms,
            "p95_ms": found.p95_ms,
            "slo": {
                name: float(self._settings.slo[name])
                for name in ("success_ratio", "p95_ms")
            },
            "seconds": by_second(young, over, start_s=start_s),
        }


def by_second(
    journeys: Iterable[Journey], seconds: Iterable[int], *, start_s: float
) -> list[dict[str, Any]]:
    """Sum up those that ended in each second; no latency where none did."""
    ended: defaultdict[int, list[float]] = defaultdict(list)
    for one in journeys:
        ended[int(one.done_s - start_s)].append(one.latency_ms)
    rows = []
    for second in seconds:
        latencies = sorted(ended[second])
        rows.append(
            {
                "at_s": second,
                "ended": len(latencies),
                "p50_ms": percentile(latencies, 0.50),
                "p95_ms": percentile(latencies, 0.95),
            }
        )
    return rows


def planned(settings: Settings, at_s: float, *, regions: int) -> float:
    """Count the journeys that are to begin within one second of the plan."""
    if not 0 <= at_s < settings.timings.duration_s:
        return 0.0
    steady = sum(float(one["rate"]) for one in settings.load.get("journeys", ()))
    crowds = sum(
        int(flash["readers_per_region"]) * regions
        for flash in settings.flashes()
        if at_s <= float(flash["at_s"]) < at_s + 1.0
    )
    for surge in settings.surges():
        if surge["at_s"] <= at_s < surge["until_s"]:
            steady *= surge["times"]
    return steady + crowds
