"""What customers lived through: the generator's results, as a verdict reads them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.timeline import Window

CHECKOUT = "checkout"
HISTORY = "history"
CONTRACT_PRICES = "contract_prices"
FLASH = "flash"
STALE = "STALE"
FALLBACK = "FALLBACK"
INTAKE = "INTAKE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """One line of the generator's results. Epoch seconds, latency in milliseconds."""

    journey: str
    home: str
    dialled: str
    away: bool
    intended_s: float
    sent_s: float
    done_s: float
    latency_ms: float
    code: str
    outcome: str
    reason: str = ""
    degraded: bool = False
    degraded_reasons: tuple[str, ...] = ()
    stale_ms: int = 0
    category: str = ""
    order_id: str = ""
    order_state: str = ""
    trace_id: str = ""

    def succeeded(self, max_stale_ms: float) -> bool:
        """Whether the intent was met, by an answer that is not too old."""
        if self.stale_ms > max_stale_ms:
            return False
        return self.outcome in {"success", "business"}

    def is_of(self, region: str, names: Collection[str] = ()) -> bool:
        """Tell whether the home is a region, "" for any, and the kind one of `names`.

        Without names it may be of any kind.
        """
        return region in {"", self.home} and (not names or self.journey in names)

    def touches(self, region: str) -> bool:
        """Whether the region's database has to do with it: home or dialled there."""
        return region in {self.home, self.dialled}


def read(path: Path) -> list[Journey]:
    """Read a results file in order of intended time; a cut last line is left out."""
    with path.open() as lines:
        found = [parse(line) for line in lines if line.endswith("\n")]
    return sorted(found, key=lambda journey: journey.intended_s)


def parse(line: str) -> Journey:
    """Read one line; what newer writers added is left out."""
    document: dict[str, Any] = json.loads(line)
    known = {key: document[key] for key in Journey.__slots__ if key in document}
    known["degraded_reasons"] = tuple(known.get("degraded_reasons", ()))
    return Journey(**known)


class Tail:
    """The lines of a results file that were added since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def more(self) -> list[Journey]:
        """Read on; empty as long as there is no file."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        return [parse(line) for line in whole.decode().splitlines()]


def offered(journeys: Iterable[Journey], window: Window) -> Iterator[Journey]:
    """Those that were meant to start in the window."""
    return (
        one for one in journeys if window.since_s <= one.intended_s < window.until_s
    )


def under_way(journeys: Iterable[Journey], window: Window) -> Iterator[Journey]:
    """Those that lived through any of the window, whenever they began and ended."""
    return (
        one
        for one in journeys
        if one.intended_s < window.until_s and one.done_s >= window.since_s
    )


def ended(journeys: Iterable[Journey], window: Window) -> Iterator[Journey]:
    """Those whose customer got an answer, or gave up, in the window."""
    return (one for one in journeys if window.since_s <= one.done_s < window.until_s)
