"""The fault of one run: put on, measured, taken off, and guarded against our death."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Container, Mapping, Sequence
from typing import Any

import psycopg

from chaos import round_trips
from chaos.guard import Guard
from chaos.journeys import Journey
from chaos.lab_state import Lab
from chaos.round_trips import Path, RoundTrips
from chaos.settings import Settings
from chaos.toxics import PREFIX, Placed, Toxiproxy, ToxiproxyError
from chaos.trouble import CROSSING_KINDS, paid_trips
from links.control import LinkControl, LinkInfo

# Links that end at a region's database server, whoever dials.
DATABASE_KINDS = frozenset({"sql", "fdw", "repl"})
# Which one server dials to ask another for rows that it has not.
BETWEEN_GATEWAYS = frozenset({"fdw"})
GONE_PATIENCE_S = 5.0


class NoLinksError(RuntimeError):
    """No link leads to the database that is to be hurt."""


class Fault:
    """Toxics on the links to one region's database, or to one gateway of it.

    Times are epoch seconds.
    """

    def __init__(self, lab: Lab, settings: Settings) -> None:
        self._lab = lab
        self._settings = settings
        self._toxiproxy = Toxiproxy(lab.toxiproxy)
        self._control = LinkControl(lab.control)
        self._prefix = f"{PREFIX}{int(time.time() * 1000):x}-"
        self._guard: Guard | None = None
        self._probes: RoundTrips | None = None
        self._placed: list[Placed] = []
        self.proofs: dict[str, dict[str, Any]] = {}
        self.foreign: list[str] = []
        self.in_force_s = 0.0
        self.removing_s = 0.0
        self.gone_s = 0.0
        self._felt_ms: float | None = None

    @property
    def links(self) -> list[str]:
        """The links that were hurt."""
        return [one.proxy for one in self._placed]

    def to_json(self) -> dict[str, Any]:
        """Say how it stands: its state, what was last measured, on how many links."""
        return {
            "state": self._state(),
            "region": self._settings.region,
            "links": len(self._placed),
            "measured_ms": self._felt_ms,
        }

    def prepare(self) -> None:
        """Open the connections that will feel the fault, and set the guard.

        Raises psycopg.Error, NoLinksError, ToxiproxyError.
        """
        self._look_around()
        self._guard = Guard(self._lab.toxiproxy, self._prefix)
        region = self._settings.region
        paths = [
            Path(link=link.name, listen=link.listen, rtt_ms=link.spec.rtt_ms)
            for link in self._leading_to(region)
            if link.spec.kind == "sql"
        ]
        self._probes = RoundTrips(self._lab.admin[region], paths)

    def inject(
        self, region: str, type_: str, attributes: Mapping[str, int]
    ) -> list[str]:
        """Put a toxic on every link to the region's database; the links' names."""
        links = self._leading_to(region)
        for link in links:
            name = f"{self._prefix}{type_}"
            # Noted first: what may be on must come off.
            self._placed.append(Placed(proxy=link.name, toxic=name))
            self._toxiproxy.add(
                link.name, name=name, type_=type_, attributes=attributes
            )
        self.in_force_s = time.time()
        return [link.name for link in links]

    def prove_in_force(self, moment: str) -> list[str]:
        """Measure through the links; give those on which the fault is not felt."""
        self._look_around()
        measured = self._measure()
        wrong = round_trips.bites(
            measured,
            self._distances(),
            at_least_ms=float(self._settings.proof["in_force_at_least_ms"]),
        )
        self._note(moment, measured, wrong)
        return wrong

    def remove(self) -> None:
        """Take off all toxics of this run. Raises ToxiproxyError."""
        self.removing_s = self.removing_s or time.time()
        self._toxiproxy.remove_all(self._placed)
        self._toxiproxy.remove_named(self._prefix)
        self.gone_s = self.gone_s or time.time()

    def prove_gone(self) -> list[str]:
        """Measure through the links; give those on which the fault is still felt."""
        wrong: list[str] = []
        best: dict[str, float | None] = {}
        give_up = time.monotonic() + GONE_PATIENCE_S
        while True:
            # The best so far: a machine that is still busy with the queue that the
            # fault left is slow too, but never faster than the fault would allow.
            best = round_trips.best_of(best, self._measure())
            wrong = round_trips.lingers(
                best,
                self._distances(),
                at_most_ms=float(self._settings.proof["gone_at_most_ms"]),
            )
            self._note("gone", best, wrong)
            if not wrong or time.monotonic() > give_up:
                break
        self._look_around()
        return wrong

    def look_back(self, journeys: Sequence[Journey], *, baseline_s: float) -> None:
        """Do nothing: a fault is measured while it is there."""

    def trips(self, kinds: Container[str] = CROSSING_KINDS) -> dict[str, int]:
        """Read the paid round trips of the links of some kinds between two regions."""
        return paid_trips(self._control, kinds)

    def close(self) -> None:
        """Take everything off and let the guard see to it; harmless when done."""
        with contextlib.suppress(ToxiproxyError):
            if self._placed:
                self.remove()
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None
        if self._probes is not None:
            with contextlib.suppress(psycopg.Error):
                self._probes.close()
            self._probes = None
        self._control.close()

    def _state(self) -> str:
        proofs = self.proofs
        if "gone" in proofs:
            return "lingers" if proofs["gone"]["wrong"] else "gone"
        if self.removing_s:
            return "removed"
        felt = proofs.get("still_in_force") or proofs.get("in_force")
        if felt:
            return "not felt" if felt["wrong"] else "in force"
        return "injecting" if self._placed else "off"

    def _leading_to(self, region: str) -> list[LinkInfo]:
        gateway = self._settings.gateway
        found = [
            link
            for link in self._control.list()
            if link.spec.kind in DATABASE_KINDS
            and link.spec.target == region
            and (not gateway or link.name.endswith(f"-{gateway}"))
        ]
        if not found and self._lab.flavour != "embedded":
            raise NoLinksError(
                "the lab runs on a database given by URL, and no link of the lab leads "
                "to it: its faults must come from elsewhere"
            )
        if not found:
            where = f"gateway {gateway}" if gateway else f"{region}'s database"
            raise NoLinksError(f"no link leads to {where}")
        return found

    def _look_around(self) -> None:
        """Note toxics that this run did not place."""
        for one in self._toxiproxy.placed():
            told = f"{one.toxic} on {one.proxy}"
            if not one.toxic.startswith(self._prefix) and told not in self.foreign:
                self.foreign.append(told)

    def _measure(self) -> dict[str, float | None]:
        return self._probes.measure() if self._probes is not None else {}

    def _distances(self) -> Mapping[str, float]:
        return self._probes.distances() if self._probes is not None else {}

    def _note(
        self, moment: str, measured: Mapping[str, float | None], wrong: list[str]
    ) -> None:
        self._felt_ms = round_trips.felt_ms(measured, self._distances())
        self.proofs[moment] = {
            "at_s": round(time.time(), 3),
            "round_trips_ms": dict(measured),
            "distances_ms": dict(self._distances()),
            "wrong": wrong,
        }
