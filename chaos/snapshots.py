"""What is counted at two moments of a run, so that a phase's share can be told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from chaos import splits
from chaos.checks import RangeCount
from chaos.fault import BETWEEN_GATEWAYS
from chaos.trouble import Trouble

BEGAN, ENDS = splits.BEGAN, splits.ENDS


class Snapshots:
    """Trips that the links have counted, and ranges where the database has some.

    Without links to the database trips are not known; that is not the same as none.
    """

    def __init__(self, admin: Mapping[str, str], *, needs: str, linked: bool) -> None:
        self._admin = admin
        self._linked = linked
        self._needs = needs
        self._taken: list[dict[str, Any]] = []
        self._ranges: list[RangeCount] = []

    def take(self, name: str, trouble: Trouble) -> None:
        """Count now. Raises LinkError, psycopg.Error."""
        self._taken.append(
            {
                "name": name,
                "at_s": time.time(),
                "links": trouble.trips(),
                "between_gateways": trouble.trips(BETWEEN_GATEWAYS),
            }
        )
        if self._needs == splits.DATABASE:
            self._ranges += splits.count(self._admin, name)

    def to_json(self) -> dict[str, Any]:
        """Give everything counted, and the trips between the two moments."""
        return {
            "trips": self._trips(),
            "snapshots": self._taken,
            "ranges": [asdict(one) for one in self._ranges],
        }

    def _trips(self) -> dict[str, Any] | None:
        by_name = {one["name"]: one for one in self._taken}
        if not self._linked or {BEGAN, ENDS} - by_name.keys():
            return None
        began, ends = by_name[BEGAN], by_name[ENDS]
        return {
            "since_s": began["at_s"],
            "until_s": ends["at_s"],
            "cross_region": _added(began["links"], ends["links"]),
            "between_gateways": _added(
                began["between_gateways"], ends["between_gateways"]
            ),
        }


def _added(began: Mapping[str, int], ends: Mapping[str, int]) -> int:
    return sum(trips - began.get(name, 0) for name, trips in ends.items())
