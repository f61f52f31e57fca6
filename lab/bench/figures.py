"""From samples to figures: medians over blocks of what differs within a block."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.bench.run import Run
from lab.bench.variants import BARE, TABLES

REFERENCE_US = 174.0
"""CPU of a bare call where the budgets were measured; they are scaled from there."""

Key = tuple[str, str, str]
Blocks = Mapping[int, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One variant in one shape. CPU is that of the process on *side*."""

    name: str
    side: str
    api: str
    python: str
    shape: str
    kit: bool
    cpu_us: float
    added_cpu_us: float
    added_low_us: float
    added_high_us: float
    blocks: int
    peer_cpu_us: float
    p50_us: float
    rps: float
    relative_rps: float
    added_share: float
    added_at_reference_us: float
    spread: float

    def document(self) -> dict[str, Any]:
        """Make the entry of the JSON object's `results`."""
        found = {name: getattr(self, name) for name in self.__slots__}
        found["interpreter"] = "kit" if found.pop("kit") else "own"
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in found.items()
        }


def figures(runs: Iterable[Run]) -> list[Figure]:
    """Compare every variant with bare gRPC of the same run, side, shape and block."""
    found: list[Figure] = []
    for run in runs:
        blocks = by_block(run)
        found += [
            _figure(run, key, blocks[key], blocks[key[0], key[1], BARE])
            for key in sorted(blocks, key=_place)
        ]
    return found


def _place(key: Key) -> tuple[int, int, str]:
    """Order as the tables of variants do, whatever was measured first."""
    side, shape, name = key
    names = [one.name for one in TABLES[side]]
    return list(TABLES).index(side), names.index(name), shape


def by_block(run: Run) -> dict[Key, dict[int, dict[str, float]]]:
    """Return a run's samples by side, shape and name, each by block."""
    found: dict[Key, dict[int, dict[str, float]]] = {}
    for sample in run.samples:
        key = (sample["side"], sample["shape"], sample["name"])
        found.setdefault(key, {})[sample["block"]] = sample
    return found


def cpu(side: str) -> str:
    """Return the sample's name for the CPU of the process that *side* is about."""
    return "server_us" if side == "server" else "client_us"


def paired(mine: Blocks, other: Blocks, name: str) -> list[float]:
    """Return what *mine* has more than *other*, block by block."""
    return [mine[b][name] - other[b][name] for b in mine if b in other]


def _figure(run: Run, key: Key, mine: Blocks, bare: Blocks) -> Figure:
    side, shape, name = key
    own = cpu(side)
    peer = "client_us" if own == "server_us" else "server_us"

    def median(what: str, of: Blocks = mine) -> float:
        return statistics.median(one[what] for one in of.values())

    differences = paired(mine, bare, own)
    added = statistics.median(differences)
    low, high = bounds(differences)
    base = median(own, bare)
    ratios = [mine[b]["rps"] / bare[b]["rps"] for b in mine if b in bare]
    share = added / base if base else 0.0
    return Figure(
        name=name,
        side="server" if side == "server" else "client",
        api="blocking" if side == "blocking" else "aio",
        python=run.python,
        shape=shape,
        kit=run.kit,
        cpu_us=median(own),
        added_cpu_us=added,
        added_low_us=low,
        added_high_us=high,
        blocks=len(differences),
        peer_cpu_us=median(peer),
        p50_us=median("p50_us"),
        rps=median("rps"),
        relative_rps=statistics.median(ratios),
        added_share=share,
        added_at_reference_us=share * REFERENCE_US,
        spread=spread([one[own] for one in mine.values()]),
    )


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Return between which the median lies, 19 times of 20, whatever the distribution.

    Order statistics by the binomial's normal approximation: half the number, less
    and more 0.98 times its square root.
    """
    ordered = sorted(values)
    aside = 0.98 * math.sqrt(len(ordered))
    low = max(0, math.floor(len(ordered) / 2 - aside) - 1)
    return ordered[low], ordered[len(ordered) - 1 - low]


def spread(values: Sequence[float]) -> float:
    """Return how far apart the middle eight tenths lie, as a share of the median."""
    if len(values) < 2:
        return 0.0
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    middle = statistics.median(values)
    return (tenths[-1] - tenths[0]) / middle if middle else 0.0


def find(
    found: Iterable[Figure],
    name: str,
    shape: str,
    *,
    side: str = "client",
    kit: bool = False,
) -> Figure | None:
    """Return one grpc.aio figure, None when it was not measured."""
    for one in found:
        if (one.name, one.shape, one.side, one.kit, one.api) == (
            name,
            shape,
            side,
            kit,
            "aio",
        ):
            return one
    return None
