"""From the fault to the first commit afterwards: what every kind of drill shares."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psycopg
from opentelemetry import trace

from cockroach.drills import book
from cockroach.drills.detect import Detector, Probe
from cockroach.drills.errors import DrillError
from cockroach.drills.judge import Judgement, judge
from cockroach.drills.phases import Phases
from cockroach.drills.plan import Outcome, Plan
from cockroach.drills.records import content
from cockroach.drills.site import Site
from cockroach.drills.targets import Target
from cockroach.drills.workplace import Round
from cockroach.drills.writer import Orders
from cockroach.drills.writing import WriterProcess
from cockroach.embedded.errors import EmbeddedError

DETECTION = "detection"
PROMOTION = "promotion"
RESTORE = "restore"
RECONNECTION = "reconnection"
CLIENTS = "drill-clients"
WAN = "drill-wan"
# Of the rows that were due before the fault.
_DELIVERED = 0.8


def listen(probe: Probe, plan: Plan, since: float) -> bool:
    """Ask until the server counts as lost; false when it answers for too long.

    Closes the probe.
    """
    detector = Detector(plan.patience)
    try:
        while not detector.lost and time.monotonic() < since + plan.give_up:
            began = time.monotonic()
            answered = probe.ask(plan.patience.timeout)
            detector.tell(answered=answered, now=time.monotonic())
            left = began + plan.patience.interval - time.monotonic()
            if not detector.lost and left > 0:
                time.sleep(left)
    finally:
        probe.close()
    return detector.lost


def too_few(came: int, due: float) -> list[str]:
    """Say what makes a round doubtful when so many of the rows that were due came."""
    if came >= _DELIVERED * due:
        return []
    return [f"only {came} of {due:.0f} rows were written in time"]


class Crisis:
    """One round while it lasts: the clients' link, the writer, the times."""

    def __init__(
        self, *, place: Round, plan: Plan, target: Target, tracer: trace.Tracer
    ) -> None:
        self.place = place
        self.plan = plan
        self.tracer = tracer
        self.target = target
        self.phases = Phases(tracer)
        self.doubts: list[str] = []
        self.facts: dict[str, Any] = {}
        self.loaded: dict[int, float] = {}
        self.size_bytes = 0
        self.fault_at = 0.0
        self.back_at: float | None = None
        self._failure: str | None = None
        self._port = 0
        self._written = 0

    def fill(self, site: Site, rows: int) -> None:
        """Make the tables with the round's first rows."""
        self.loaded = book.make(site, seed=self.plan.seed, rows=rows)

    def writer(self, site: Site) -> WriterProcess:
        """Make the writer, which reaches the server by the clients' link."""
        self._port = self.place.link(CLIENTS, site)
        orders = Orders(
            conninfo=site.dsn(self._port),
            record=str(Path(self.place.home) / "record"),
            seed=self.plan.seed,
            first=len(self.loaded),
            rate=self.plan.rate,
            sessions=self.plan.sessions,
        )
        return WriterProcess(orders, program=self.plan.writer)

    def strike(
        self, site: Site, inject: Callable[[], None], *, written: float, came: int
    ) -> None:
        """Bring the fault on, after `came` rows in `written` seconds."""
        self._written = came
        self.doubts.extend(too_few(came, self.plan.rate * written))
        self.size_bytes = book.size(site)
        self.fault_at = time.monotonic()
        inject()

    def detect(self, site: Site) -> bool:
        """Ask through the clients' link until the server counts as lost."""
        with self.phases.phase(DETECTION):
            lost = listen(Probe(site.dsn(self._port)), self.plan, self.fault_at)
        if not lost:
            self.doubts.append(
                f"the server still answered {self.plan.give_up:g} s after the fault"
            )
        return lost

    def recover(self, name: str, work: Callable[[], None]) -> bool:
        """Promote or restore, and tell whether it could be done.

        That it cannot is what a drill is there to find: a failure, no mere error.
        """
        with self.phases.phase(name):
            try:
                work()
            except (DrillError, EmbeddedError, psycopg.Error) as error:
                self._failure = f"the {name} failed: {error}"
        return self._failure is None

    def reconnect(
        self, writer: WriterProcess, site: Site, lift: Callable[[], None]
    ) -> None:
        """Lead the clients to another server and wait until a row is committed.

        `lift` takes the fault off the links, when nobody is led to the old server any
        more.
        """
        with self.phases.phase(RECONNECTION):
            self.place.links.retarget(CLIENTS, site.address)
            lift()
            self.back_at = writer.first_after(time.monotonic(), self.plan.give_up)
        if self.back_at is not None:
            writer.write_on(self.plan.after)

    def judge(self, writer: WriterProcess, site: Site) -> Judgement:
        """Stop the writer and compare what is there with what was acknowledged."""
        record = writer.stop()
        self._written = len(record.acknowledged)
        acknowledged: Mapping[int, float] = {**self.loaded, **record.acknowledged}

        def compare(restored: Iterable[tuple[int, str]]) -> Judgement:
            return judge(
                acknowledged=acknowledged,
                sent=record.sent,
                restored=restored,
                expected=lambda number: content(self.plan.seed, number),
                fault_at=self.fault_at,
                back_at=self.back_at,
                target_rpo_s=self.target.scaled_rpo_s,
                target_rto_s=self.target.rto_s,
                copied=self.loaded,
                failure=self._failure,
            )

        try:
            with site.session() as session:
                return compare(book.read(session))
        except psycopg.Error as error:
            # What cannot be read holds no rows: all of them are lost.
            self._failure = self._failure or f"no rows can be read: {error}"
            return compare(())

    def outcome(
        self, judgement: Judgement, *, grows: tuple[str, ...], trace_id: str
    ) -> Outcome:
        """Put the round together; `grows` are phases that may grow with the data."""
        return Outcome(
            rows=len(self.loaded),
            size_bytes=self.size_bytes,
            acknowledged=self._written,
            judgement=judgement,
            recovery_s=sum(self.phases.seconds(name) for name in grows),
            phases=self.phases.document(self.fault_at),
            trace_id=trace_id,
            doubts=tuple(self.doubts),
            facts=self.facts,
        )
