"""Small runs on disk, with journeys and spans built by hand and judged for real.

The load lasts 12 s: 2 s of warming up, 2 s before, 4 s of fault in eu, 4 s after. Five
customers come each second, and a crowd of six in the middle of the fault.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from chaos import experiments, verdict
from chaos.case import Case
from chaos.settings import Settings
from observability import names
from observability.collector.writer import StoreWriter

START = {"sick": 1_700_000_000.0, "cured": 1_700_001_000.0}
TIMES = {"exercise_s": 2, "baseline_s": 2, "fault_s": 4, "after_s": 4}
HOMES = ("eu", "us", "asia")
CROWD_AT = 6.0
PLAYED = {"status": "succeeded", "activity": {"name": "hold"}}


def settings(profile: str, seed: int) -> dict[str, Any]:
    given = json.loads(experiments.find("slow-database").read_text())["configuration"]
    plain = {
        name: value["default"]
        if isinstance(value, dict) and "default" in value
        else value
        for name, value in given.items()
    }
    crowd = {"readers_per_region": 2, "within_s": 0.1}
    flash = [{"in_exercise": 0.3, **crowd}, {"in_fault": 0.5, **crowd}]
    return {
        **plain,
        **TIMES,
        "profile": profile,
        "seed": seed,
        "min_journeys": 10,
        "min_affected_journeys": 3,
        "load": {**plain["load"], "flash": flash},
    }


class Story:
    """Collects the spans and journeys of one run."""

    def __init__(self, profile: str, said: str) -> None:
        self.profile = profile
        self.said = said
        self.start_s = START[profile]
        self.request = ExportTraceServiceRequest()
        self.journeys: list[dict[str, Any]] = []
        self._groups: dict[str, Any] = {}
        self._count = 0

    def span(
        self, trace, name, at_s, ms, *, kind, parent=b"", service, **given
    ) -> bytes:
        if service not in self._groups:
            group = self.request.resource_spans.add()
            for key, value in (
                (names.SERVICE_NAME, service),
                (names.SERVICE_INSTANCE, f"{service}-eu-a"),
                (names.CLOUD_REGION, "eu"),
                (names.CLOUD_ZONE, "a"),
            ):
                group.resource.attributes.add(key=key).value.string_value = value
            self._groups[service] = group.scope_spans.add()
        self._count += 1
        span = self._groups[service].spans.add(
            trace_id=trace,
            span_id=self._count.to_bytes(8, "big"),
            parent_span_id=parent,
            name=name,
            kind=kind,
            start_time_unix_nano=int((self.start_s + at_s) * 1e9),
            end_time_unix_nano=int((self.start_s + at_s + ms / 1000) * 1e9),
        )
        span.status.code = 2 if given.get("failed") else 0
        for key, value in given.get("attributes", {}).items():
            span.attributes.add(key=key).value.string_value = value
        for event, attributes in given.get("events", ()):
            one = span.events.add(name=event, time_unix_nano=span.end_time_unix_nano)
            for key, value in attributes.items():
                one.attributes.add(key=key).value.string_value = value
        return span.span_id

    def customer(self, at_s: float, journey: str, home: str) -> None:
        hurt = 4 <= at_s < 8 and home == "eu" and journey == "checkout"
        failed = hurt and self.profile == "sick"
        ms = 10_000.0 if failed else 95.0 if hurt else 20.0
        key = f"{self.profile} {at_s} {journey} {home} {len(self.journeys)}"
        trace = hashlib.md5(key.encode(), usedforsecurity=False).digest()
        root = self.span(
            trace,
            f"journey {journey}",
            at_s,
            ms,
            kind=3,
            service="load",
            failed=failed,
            attributes={"said": self.said} if self.said else {},
        )
        call = {names.RPC_METHOD: "shop.v1.Orders/PlaceOrder"}
        made = self.span(
            trace,
            call[names.RPC_METHOD],
            at_s,
            ms,
            kind=3,
            parent=root,
            service="storefront",
            attributes=call,
        )
        for _ in range(2 if failed else 1):
            served = self.span(
                trace,
                call[names.RPC_METHOD],
                at_s,
                ms,
                kind=2,
                parent=made,
                service="orders",
                attributes=call,
            )
        herd = journey == "flash" and self.profile == "cured" and at_s > CROWD_AT
        if not herd:
            plan = {names.DB_PLAN: "Foreign Scan on products  (rows=1)"}
            self.span(
                trace,
                "SELECT products",
                at_s + 0.001,
                400 if failed or journey == "flash" else 5,
                kind=3,
                parent=served,
                service="orders",
                attributes={
                    names.DB_SYSTEM: "postgresql",
                    names.DB_QUERY_SUMMARY: "SELECT products",
                    names.DB_QUERY_TEXT: "SELECT * FROM products WHERE id = $1",
                    names.DB_KEY: "front page" if journey == "flash" else key,
                    names.GATEWAY_REGION: "asia" if failed else "eu",
                },
                events=[(names.EVENT_SLOW_PLAN, plan)] if failed else (),
            )
        intended = self.start_s + at_s
        degraded = hurt and not failed
        self.journeys.append(
            {
                "journey": journey,
                "home": home,
                "dialled": home,
                "away": False,
                "intended_s": intended,
                "sent_s": intended,
                "done_s": intended + ms / 1000,
                "latency_ms": ms,
                "code": "DEADLINE_EXCEEDED" if failed else "OK",
                "outcome": "failure" if failed else "success",
                "degraded": degraded,
                "degraded_reasons": ["PAYMENT_PENDING:INTAKE_US"] if degraded else [],
                "trace_id": trace.hex(),
            }
        )

    def breaker(self, at_s: float, old: str, new: str, reason: str) -> None:
        self.span(
            hashlib.md5(f"{at_s}".encode(), usedforsecurity=False).digest(),
            "database.probe",
            at_s,
            0.0,
            kind=1,
            service="orders",
            events=[
                (
                    names.EVENT_BREAKER_CHANGED,
                    {"name": "database@eu", "old": old, "new": new, "reason": reason},
                )
            ],
        )

    def play(self) -> None:
        for index in range(60):
            self.customer(
                round(index * 0.2, 3),
                "checkout" if index % 2 else "browse",
                HOMES[index % 3],
            )
        for index in range(6):
            self.customer(CROWD_AT + index / 1000, "flash", HOMES[index % 3])
        if self.profile == "cured":
            self.breaker(5.0, "closed", "open", "slow_rate")
            self.breaker(6.0, "open", "half_open", "open_interval_over")
            self.breaker(8.1, "half_open", "closed", "probe_succeeded")


def _proof(ms: float, wrong: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "round_trips_ms": {"sql-us-to-eu-a": 80 + ms, "sql-eu-to-eu-a": ms},
        "distances_ms": {"sql-us-to-eu-a": 80.0, "sql-eu-to-eu-a": 0.0},
        "wrong": list(wrong),
    }


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document))


def make_run(
    runs: Path,
    profile: str = "sick",
    *,
    name: str = "",
    seed: int = 7,
    said: str = "",
    traces: bool = True,
    **told: Any,
) -> Path:
    stamp = "20260101-000000" if profile == "sick" else "20260101-000100"
    folder = runs / (name or f"{stamp}-slow-database-{profile}")
    folder.mkdir(parents=True)
    story = Story(profile, said)
    story.play()
    start_s = story.start_s
    given = settings(profile, seed)
    _write(folder / "settings.json", given)
    _write(
        folder / "journal.json",
        {
            "status": "completed",
            "platform": "Linux-test",
            "experiment": json.loads(experiments.find("slow-database").read_text()),
            "steady_states": {"before": {"steady_state_met": True}},
            "run": [PLAYED],
            "rollbacks": [PLAYED],
        },
    )
    moments = (
        *(("start_s", 0), ("baseline_s", 2), ("injecting_s", 4), ("in_force_s", 4)),
        *(("removing_s", 8), ("gone_s", 8.05), ("end_s", 12)),
    )
    _write(
        folder / "run.json",
        {
            "schema": "seawall-run/1",
            "timeline": {key: start_s + at for key, at in moments},
            "proofs": {
                "in_force": _proof(400),
                "still_in_force": _proof(390),
                "gone": _proof(4),
            },
            "lost": {"services": 0, "collector": 0, "late": 0},
            "trips": {
                "since_s": start_s + 4,
                "until_s": start_s + 8,
                "cross_region": 40 if profile == "sick" else 0,
            },
            "environment": {
                "python": "3.11.9",
                "implementation": "CPython",
                "platform": "Linux-test",
                "cpus": 2,
                "memory_mb": 4096,
                "packages": {"grpcio": "1.85.1"},
            },
        },
    )
    count = len(story.journeys)
    beats = [{"at_s": start_s + n, "percent": 40 + n} for n in range(12)]
    _write(
        folder / "summary.json",
        {
            "offered": count,
            "sent": count,
            "late": 0,
            "dropped": 0,
            "max_lag_ms": 3.2,
            "stalls": [],
            "busy": beats,
            "spans": {"ended": count, "dropped_queue": 0},
        },
    )
    lines = "".join(json.dumps(one) + "\n" for one in story.journeys)
    (folder / "results.jsonl").write_text(lines)
    (folder / "progress.jsonl").write_text(
        json.dumps({"phase": "fault", "text": "in force", "at_s": 5.0, "of_s": 12})
        + "\n"
    )
    store = folder / "traces.db"
    writer = StoreWriter(store)
    writer.put(story.request)
    assert writer.close(10)
    case = Case.load(folder, Settings.from_configuration(given), store)
    judged = verdict.judge(case)
    _write(
        folder / "verdict.json",
        {
            **judged,
            "scenario": "slow-database",
            "run_dir": str(folder),
            "lab_profile": profile,
            **told,
        },
    )
    if not traces:
        for left in folder.glob("traces.db*"):
            left.unlink()
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "lab" / "runs"


@pytest.fixture
def run(runs: Path) -> Callable[..., Path]:
    def one(profile: str = "sick", **given: Any) -> Path:
        return make_run(runs, profile, **given)

    return one


@pytest.fixture
def passed() -> dict[str, Any]:
    """What makes a small run count, whatever its checks would say."""
    return {"valid": True, "invalid_reasons": [], "verdict": "pass"}


@pytest.fixture
def both(run: Callable[..., Path], passed: dict[str, Any]) -> list[Path]:
    return [run("sick", **passed), run("cured", **passed)]


@pytest.fixture
def interrupted(runs: Path) -> Path:
    folder = runs / "20260102-000000-slow-database-cured"
    folder.mkdir(parents=True)
    _write(
        folder / "verdict.json",
        {
            "profile": "cured",
            "seed": 7,
            "valid": False,
            "invalid_reasons": ["the run was interrupted"],
            "verdict": None,
            "scenario": "slow-database",
        },
    )
    line = {"phase": "baseline", "text": "steady state", "at_s": 13.0, "of_s": 50.0}
    (folder / "progress.jsonl").write_text(json.dumps(line) + "\n")
    return folder
