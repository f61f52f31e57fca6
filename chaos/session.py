"""One run of an experiment, step by step, with everything it must undo.

The steps are called in order by the experiment's activities. Whatever happens, `close`
takes the fault off and leaves a verdict behind, if only that the run is invalid.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from chaos import (
    environment,
    harvest,
    invariants,
    lab_state,
    preflight,
    run_files,
    scaling,
    validity,
    verdict,
)
from chaos.breaker_watch import BreakerWatch
from chaos.case import SCHEMA, Case
from chaos.fault import Fault
from chaos.figures import block
from chaos.invariants import Books
from chaos.journeys import Journey, Tail
from chaos.lab_state import Lab
from chaos.load_process import LEAD_S, LoadProcess, plan
from chaos.lock import ExperimentLock
from chaos.pulse import Pulse
from chaos.run_files import RunFiles
from chaos.scaling import Scaling
from chaos.settings import Settings
from chaos.snapshots import BEGAN, ENDS, Snapshots
from chaos.stress import Stress
from chaos.timeline import Timeline, Window
from chaos.trouble import Beginning, Trouble

POLL_S = 0.2
TELL_EVERY_S = 1.0
# The fault is measured a second time this long before it is taken off.
SECOND_LOOK_S = 2.0
# How long the slowest journey, its spans and the books may take after the load.
LAST_ANSWER_S = 20.0
LAST_SPANS_S = 10.0


class HaltedError(RuntimeError):
    """The run was ended early; the message is why it proves nothing."""


class Session:
    """A run that has begun. Raises what its parts raise; then it must be closed."""

    def __init__(self, settings: Settings, lab: Lab) -> None:
        self.settings = settings
        self.lab = lab
        folder = (
            Path(settings.run_dir)
            if settings.run_dir
            else run_files.new_folder(lab.runs, settings.scenario, settings.profile)
        )
        self.files = RunFiles(folder)
        self.aborted = ""
        self.verdict: dict[str, Any] | None = None
        self._lock = ExperimentLock(lab.state_dir)
        self._load = LoadProcess(folder)
        self._fault: Trouble | None = None
        self._books = Books(lab.admin)
        self._tail = Tail(self._load.results)
        self._seen: list[Journey] = []
        self._pulse = Pulse(settings, regions=len(lab.addresses("storefront")))
        self._breakers = BreakerWatch(lab.traces)
        self._told_s = 0.0
        self._start_s = 0.0
        self._injecting_s = 0.0
        self._lost_before: harvest.Account | None = None
        self._lost: harvest.Account | None = None
        self._stock: dict[str, dict[str, int]] = {}
        self._snapshots = Snapshots(
            lab.admin, needs=settings.needs, linked=lab.flavour == preflight.EMBEDDED
        )
        self._findings: list[dict[str, Any]] = []
        self._ended = False

    def open(self) -> None:
        """Take the lab, look at it, start the load."""
        self._lock.acquire(self.settings.scenario)
        self.files.tell("open", f"run in {self.files.folder}")
        for link in scaling.take_back(self.lab):
            self.files.tell("open", f"{link} was left by a run that was killed")
        self._fault = self._trouble()
        self._start_s = time.time() + LEAD_S
        self._load.start(plan(self.settings, self.lab, start_at=self._start_s))
        self._lost_before = harvest.account(self.lab)
        self._stock = self._books.stock()
        self._fault.prepare()
        if self._fault.foreign:
            raise HaltedError(f"a toxic that is not ours: {self._fault.foreign[0]}")
        self._watch(0.0, "exercise", "filling pools and caches")

    def until_baseline(self) -> None:
        """Wait for the baseline to begin."""
        self._watch(self.settings.timings.exercise_s, "exercise", "exercising")
        psutil.cpu_percent()  # what is asked for next counts from here

    def baseline(self) -> None:
        """Wait for the baseline to end. Raises HaltedError without a steady state."""
        timings = self.settings.timings
        self._watch(timings.fault_at_s, "baseline", "steady state")
        window = Window(since_s=self._start_s + timings.exercise_s, until_s=time.time())
        found = block(self._seen, window, max_stale_ms=self._max_stale_ms)
        needed = float(self.settings.steady_state[self.settings.profile])
        wrong = validity.unsteady(found.success_ratio, needed)
        if wrong:
            most = float(self.settings.validity["max_busy_percent"])
            busy = validity.too_busy(psutil.cpu_percent(), most)
            raise HaltedError(wrong[0] + busy)

    def inject_latency(self, region: str, latency_ms: int, jitter_ms: int) -> None:
        """Make a region's database answer late, on every link that leads to it."""
        fault = self._hurt
        if not isinstance(fault, Fault):
            raise HaltedError("the configuration has no bounds for a fault")
        self._injecting_s = time.time()
        links = fault.inject(
            region, "latency", {"latency": latency_ms, "jitter": jitter_ms}
        )
        self.files.tell(
            "inject",
            f"{latency_ms} ms on {len(links)} links",
            links=links,
            fault=fault.to_json() | {"asked_ms": latency_ms},
        )

    def begin_phase(self) -> None:
        """Let begin what is no fault: a peak of the load, or a scaler."""
        trouble = self._hurt
        if not isinstance(trouble, Beginning):
            raise HaltedError("the configuration has bounds for a fault")
        self._injecting_s = time.time()
        said = trouble.begin()
        self.files.tell("inject", said, fault=trouble.to_json())

    def prove_in_force(self) -> None:
        """Measure that the fault bites. Raises HaltedError when it does not."""
        wrong = self._hurt.prove_in_force("in_force")
        if wrong:
            raise HaltedError(f"the fault was not in force when it began: {wrong[0]}")
        self._snapshots.take(BEGAN, self._hurt)
        self.files.tell("inject", "the fault is in force", fault=self._hurt.to_json())

    def hold(self) -> None:
        """Wait out the fault, ready to halt; measure it again before its end."""
        until = self.settings.timings.fault_until_s
        self._watch(until - SECOND_LOOK_S, "fault", "in force")
        self._snapshots.take(ENDS, self._hurt)
        self._hurt.prove_in_force("still_in_force")
        self.files.tell("fault", "measured again", fault=self._hurt.to_json())
        self._watch(until, "fault", "in force")

    def remove(self) -> None:
        """Take the fault off."""
        self._hurt.remove()
        self.files.tell("remove", "the fault is taken off", fault=self._hurt.to_json())

    def prove_gone(self) -> None:
        """Measure that the fault is gone; the verdict minds if it is not."""
        wrong = self._hurt.prove_gone()
        said = wrong[0] if wrong else "the fault is gone"
        self.files.tell("remove", said, fault=self._hurt.to_json())

    def recover(self) -> None:
        """Wait for the end of the load and its last answer."""
        self._watch(self.settings.timings.duration_s, "after", "recovering")
        self._ended = True
        self._load.finish(LAST_ANSWER_S)
        self._seen += self._tail.more()
        if self._fault is not None:
            baseline_s = self._start_s + self.settings.timings.exercise_s
            self._fault.look_back(self._seen, baseline_s=baseline_s)
        beat = self._pulse.beat(self._seen, start_s=self._start_s, now_s=time.time())
        self.files.tell(
            "after",
            f"{len(self._seen)} journeys have ended",
            seconds=beat["seconds"],
            breakers=self._breakers.look(),
        )

    def check_books(self) -> None:
        """Wait until no order is under way, and ask the data what must hold."""
        gone_s = self._hurt.gone_s or time.time()
        within_s = float(self.settings.validity["settle_s"])
        stuck = invariants.await_settled(
            self._books,
            since_s=self._start_s,
            until_s=max(gone_s, time.time()) + within_s,
        )
        found = invariants.judge(
            self._books,
            stock_before=self._stock,
            journeys=self._seen,
            since_s=self._start_s,
            gone_s=gone_s,
            drained_within_s=float(self.settings.slo["drained_within_s"]),
            stuck=stuck,
        )
        counted = self.settings.checks.get("invariants", {}).get(self.settings.profile)
        self._findings = [
            {
                **finding.to_json(),
                "counts": counted is None or finding.name in counted,
            }
            for finding in found
        ]
        broken = [one["name"] for one in self._findings if not one["passed"]]
        self.files.tell("books", f"broken: {', '.join(broken)}" if broken else "hold")

    def judge(self) -> dict[str, Any]:
        """Gather the spans and judge the run; once, whoever asks how often."""
        if self.verdict is not None:
            return self.verdict
        if not self.aborted and self._ended:
            settled = harvest.settle(self.lab, timeout=LAST_SPANS_S)
            self.files.tell("verdict", f"{settled.received} spans are in")
            if self._lost_before is not None:
                lost = harvest.account(self.lab).since(self._lost_before)
                # What is still on its way now is missing from the verdict.
                self._lost = replace(lost, services=lost.services + settled.unsent)
        self.files.write("run.json", self._document())
        case = Case.load(self.files.folder, self.settings, self.lab.traces)
        self.verdict = {
            **verdict.judge(case),
            "scenario": self.settings.scenario,
            "run_dir": str(self.files.folder),
            "lab_profile": self.lab.profile,
        }
        self.files.write(run_files.VERDICT, self.verdict)
        self.files.tell("verdict", self._said())
        return self.verdict

    def abort(self, why: str) -> None:
        """Note why the run proves nothing; the first reason stays."""
        if not self.aborted:
            self.aborted = why
            self.files.tell("halt", why)

    def close(self) -> None:
        """Undo everything and leave a verdict; harmless when done already."""
        if self._fault is not None:
            self._fault.close()
        self._load.stop()
        if self.verdict is None:
            self.abort("the run was interrupted")
            with contextlib.suppress(OSError, ValueError):
                self.judge()
        self._lock.release()

    def _trouble(self) -> Trouble:
        if self.settings.hurts:
            return Fault(self.lab, self.settings)
        if self.settings.scaler:
            return Scaling(self.lab, self.settings, self.files.folder)
        return Stress(self.lab, self.settings)

    @property
    def _hurt(self) -> Trouble:
        if self._fault is None:
            raise HaltedError("the run was not opened")
        return self._fault

    @property
    def _max_stale_ms(self) -> float:
        return float(self.settings.slo["max_stale_ms"])

    def _said(self) -> str:
        told = self.verdict or {}
        if told.get("invalid_reasons"):
            return f"invalid: {told['invalid_reasons'][0]}"
        failed = [
            one["name"]
            for one in (*told.get("checks", ()), *told.get("invariants", ()))
            if not one["passed"] and one.get("counts", True)
        ]
        said = str(told.get("verdict"))
        return f"{said}: {', '.join(failed)}" if failed else said

    def _watch(self, until_s: float, phase: str, text: str) -> None:
        """Wait until so long after the start; tell, and look for a reason to halt."""
        while True:
            self._load.check()
            if not self.lab.alive():
                raise HaltedError("the lab is gone")
            now = time.time()
            self._seen += self._tail.more()
            if now - self._told_s >= TELL_EVERY_S and now >= self._start_s:
                self._told_s = now
                self._tell(phase, text, now)
            left = self._start_s + until_s - now
            if left <= 0:
                return
            time.sleep(min(left, POLL_S))

    def _tell(self, phase: str, text: str, now: float) -> None:
        self.files.tell(
            phase,
            text,
            **self._pulse.beat(self._seen, start_s=self._start_s, now_s=now),
            breakers=self._breakers.look(),
        )
        least = self.settings.halt.get("success_below")
        window_s = float(self.settings.halt.get("over_s", 10))
        if least is None or now - self._start_s < window_s:
            return
        lately = [one for one in self._seen if one.done_s >= now - window_s]
        window = Window(since_s=0, until_s=now + 1)
        ratio = block(lately, window, max_stale_ms=self._max_stale_ms).success_ratio
        if ratio is not None and ratio < float(least):
            raise HaltedError(
                f"halted: {ratio:.0%} of all journeys succeeded in {window_s:g} s"
            )

    def _document(self) -> dict[str, Any]:
        fault = self._fault
        return {
            "schema": SCHEMA,
            "scenario": self.settings.scenario,
            "profile": self.settings.profile,
            "lab_profile": self.lab.profile,
            "seed": self.settings.seed,
            "region": self.settings.region,
            "aborted": self.aborted,
            "timeline": self._timeline(),
            "read_s": round(time.time(), 3),
            "proofs": fault.proofs if fault else {},
            "foreign_toxics": fault.foreign if fault else [],
            "toxics": fault.links if fault else [],
            "lost": self._lost.to_json() if self._lost else None,
            **self._snapshots.to_json(),
            "invariants": self._findings,
            "environment": environment.present(),
        }

    def _timeline(self) -> dict[str, float] | None:
        fault = self._fault
        if fault is None or not self._ended or not fault.gone_s:
            return None
        timings = self.settings.timings
        return Timeline(
            start_s=self._start_s,
            baseline_s=self._start_s + timings.exercise_s,
            injecting_s=self._injecting_s,
            in_force_s=fault.in_force_s,
            removing_s=fault.removing_s,
            gone_s=fault.gone_s,
            end_s=self._start_s + timings.duration_s,
        ).to_json()


def begin(configuration: Mapping[str, Any]) -> Session:
    """Make the session of an experiment's configuration on the lab that runs.

    Without a profile in the configuration it is the lab's own. Raises SettingsError,
    NoLabError.
    """
    lab = lab_state.load()
    known = dict(configuration)
    if not known.get("profile"):
        known["profile"] = lab.profile
    settings = Settings.from_configuration(known)
    session = Session(settings, lab)
    session.files.write("settings.json", json.loads(json.dumps(known, default=str)))
    return session
