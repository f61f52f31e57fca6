"""A peak of customers in the place of a fault: what is wrong stands in the design.

Nothing is hurt. Whether the peak was there is counted afterwards, from journeys that
were sent: so many times as many a second as in the baseline, in both halves of the
phase, and no longer after it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from time import time
from typing import Any

from chaos.journeys import Journey
from chaos.lab_state import Lab
from chaos.settings import Settings
from chaos.timeline import Window
from chaos.toxics import Toxiproxy
from chaos.trouble import CROSSING_KINDS, paid_trips
from links.control import LinkControl


class Stress:
    """More load for a while. Times are epoch seconds."""

    def __init__(self, lab: Lab, settings: Settings) -> None:
        self._settings = settings
        self._toxiproxy = Toxiproxy(lab.toxiproxy)
        self._control = LinkControl(lab.control)
        self.proofs: dict[str, dict[str, Any]] = {}
        self.foreign: list[str] = []
        self.links: list[str] = []
        self.in_force_s = 0.0
        self.removing_s = 0.0
        self.gone_s = 0.0

    def to_json(self) -> dict[str, Any]:
        """Say whether the peak has begun or is over."""
        state = "gone" if self.gone_s else "in force" if self.in_force_s else "off"
        return {"state": state, "times": self._settings.stress["times"], "links": 0}

    def prepare(self) -> None:
        """Look whether anybody else hurts the lab. Raises ToxiproxyError."""
        self.foreign = [
            f"{one.toxic} on {one.proxy}" for one in self._toxiproxy.placed()
        ]

    def begin(self) -> str:
        """Note that the peak begins now, as the plan of the load has it; say so."""
        self.in_force_s = time()
        return f"{self._settings.stress['times']:g} times the load"

    def prove_in_force(self, moment: str) -> list[str]:
        """Say nothing yet: who was sent is known when the load has ended."""
        del moment
        return []

    def remove(self) -> None:
        """Note that the peak ends now."""
        self.removing_s = self.removing_s or time()
        self.gone_s = self.gone_s or time()

    def prove_gone(self) -> list[str]:
        """Look once more whether anybody else hurts the lab. Raises ToxiproxyError."""
        self.prepare()
        return []

    def look_back(self, journeys: Sequence[Journey], *, baseline_s: float) -> None:
        """Count who was sent, in the baseline, in each half of the peak, and after."""
        if not journeys or not self.gone_s:
            return
        middle_s = (self.in_force_s + self.removing_s) / 2
        last_s = max(one.sent_s for one in journeys)
        usual = _rate(journeys, Window(since_s=baseline_s, until_s=self.in_force_s))
        least = float(self._settings.proof["in_force_at_least_times"])
        most = float(self._settings.proof["gone_at_most_times"])
        for moment, since_s, until_s in (
            ("in_force", self.in_force_s, middle_s),
            ("still_in_force", middle_s, self.removing_s),
            ("gone", self.gone_s, last_s),
        ):
            times = _rate(journeys, Window(since_s=since_s, until_s=until_s))
            times = round(times / usual, 2) if usual else 0.0
            if moment == "gone":
                wrong = times > most
                bound = f"at most {most:g} times are wanted"
            else:
                wrong = times < least
                bound = f"at least {least:g} times are needed"
            said = f"{times:g} times the journeys of the baseline, {bound}"
            self.proofs[moment] = {
                "at_s": round(until_s, 3),
                "times": times,
                "needed": bound,
                "wrong": [said] if wrong else [],
            }

    def trips(self, kinds: Container[str] = CROSSING_KINDS) -> dict[str, int]:
        """Read the paid round trips of the links of some kinds between two regions."""
        return paid_trips(self._control, kinds)

    def close(self) -> None:
        """Let go of the lab; nothing was put on it."""
        self._control.close()


def _rate(journeys: Sequence[Journey], window: Window) -> float:
    sent = sum(window.since_s <= one.sent_s < window.until_s for one in journeys)
    return sent / window.seconds if window.seconds else 0.0
