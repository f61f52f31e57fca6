"""Drills on a CockroachDB of yours: a database lost and restored, a region killed.

CockroachDB could not be run where this was written. The course of a drill is tested
on PostgreSQL with statements of its own; those for CockroachDB are golden files.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
from opentelemetry import trace
from psycopg import conninfo

from cockroach.drills import book
from cockroach.drills import cockroach_statements as say
from cockroach.drills.crisis import DETECTION, RESTORE, listen, too_few
from cockroach.drills.detect import Probe
from cockroach.drills.errors import DrillError, DrillUnavailableError
from cockroach.drills.judge import judge
from cockroach.drills.phases import Phases
from cockroach.drills.plan import Outcome, Plan
from cockroach.drills.records import content
from cockroach.drills.run import result
from cockroach.drills.targets import Target
from cockroach.drills.writer import Orders
from cockroach.drills.writing import WriterProcess
from observability import names

URL = "COCKROACH_URL"
PLACE = "COCKROACH_BACKUP_URL"
REGION = "COCKROACH_DRILL_REGION"
BACKUP_DRILL = "cockroach-backup"
REGION_DRILL = "cockroach-region"
TITLES: Mapping[str, str] = MappingProxyType(
    {
        BACKUP_DRILL: "A CockroachDB database is dropped and restored from its backup",
        REGION_DRILL: "Every node of a region is killed in docker-compose",
    }
)
RECOVERY = "recovery"
_REGIONS = ("us", "eu", "asia")


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a drill says and does to a cluster, in this order.

    `admin` is where the statements go, `clients` where the writer does. `lose` brings
    the fault on, `restore` mends what must be restored, `mend` undoes the fault.
    """

    admin: str
    clients: str
    schema: Sequence[str]
    keep: Sequence[str]
    lose: Callable[[], None]
    restore: Sequence[str]
    mend: Callable[[], None]
    cleanup: Sequence[str]
    detected: bool


def unavailable(name: str, environ: Mapping[str, str]) -> str | None:
    """Say why a drill cannot be had here; None when it can."""
    if not environ.get(URL):
        return f"needs a CockroachDB: set {URL}"
    if name == BACKUP_DRILL and not environ.get(PLACE):
        return f"needs a place for the copies: set {PLACE}, as nodelocal://1/drill"
    if name == REGION_DRILL and shutil.which("docker") is None:
        return "needs docker compose with the cluster of docker-compose.yml"
    return None


def run(
    name: str,
    *,
    target: Target,
    plan: Plan,
    folder: Path,
    tracer: trace.Tracer,
    environ: Mapping[str, str],
) -> dict[str, Any]:
    """Run a drill on the cluster that the environment names.

    Raises DrillError where it could not be carried out.
    """
    if plan.fault != "kill":
        raise DrillUnavailableError(f"{name} has one fault of its own")
    try:
        course = _backup(environ) if name == BACKUP_DRILL else _region(environ)
        folder.mkdir(parents=True, exist_ok=True)
        outcomes = [
            play(course, name, rows, target, plan, folder, tracer)
            for rows in plan.sizes
        ]
    except (psycopg.Error, ValueError) as error:
        raise DrillError(f"{name}: {error}") from error
    return result(name, target=target, plan=plan, outcomes=outcomes)


def _address(url: str) -> str:
    # SQLAlchemy's names of the dialect, which the driver does not know.
    return re.sub(r"^(cockroachdb|postgresql)(\+\w+)?://", "postgresql://", url)


def _backup(environ: Mapping[str, str]) -> Course:
    admin, place = _address(environ[URL]), environ[PLACE]

    def lose() -> None:
        _execute(admin, [say.lose()])

    return Course(
        admin=admin,
        clients=conninfo.make_conninfo(admin, dbname=say.SOURCE),
        schema=say.schema(),
        keep=[say.full_backup(place), say.next_backup(place)],
        lose=lose,
        restore=[say.restore(place)],
        mend=lambda: None,
        cleanup=[say.cleanup()],
        detected=True,
    )


def _region(environ: Mapping[str, str]) -> Course:
    admin = _address(environ[URL])
    region = environ.get(REGION, "eu")
    fault = say.region_fault(region, _compose("docker", "compose", "ps", "--services"))
    regions = (region, *(one for one in _REGIONS if one != region))
    return Course(
        admin=admin,
        clients=conninfo.make_conninfo(admin, dbname=say.SOURCE),
        schema=say.schema(regions=regions),
        keep=[],
        lose=_orders(fault.kill),
        restore=[],
        mend=_orders(fault.start),
        cleanup=[say.cleanup()],
        detected=False,
    )


def _orders(command: Sequence[str]) -> Callable[[], None]:
    def give() -> None:
        _compose(*command)

    return give


def _compose(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DrillError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.split()


def _execute(dsn: str, statements: Sequence[str]) -> None:
    with psycopg.connect(dsn, autocommit=True) as session:
        for statement in statements:
            session.execute(statement.encode())


def _restore(course: Course) -> str | None:
    """Say why it could not be done: a drill is there to find that."""
    try:
        _execute(course.admin, course.restore)
    except psycopg.Error as error:
        return f"the restore failed: {error}"
    return None


def play(
    course: Course,
    name: str,
    rows: int,
    target: Target,
    plan: Plan,
    folder: Path,
    tracer: trace.Tracer,
) -> Outcome:
    """Play one round and leave nothing of it. Raises psycopg.Error, DrillError."""
    attributes: dict[str, str | int] = {
        names.DRILL_NAME: name,
        names.DRILL_ROWS: rows,
    }
    with (
        tempfile.TemporaryDirectory(prefix="cluster-", dir=folder) as work,
        tracer.start_as_current_span(
            f"{names.SPAN_DRILL} {name}", attributes=attributes
        ) as span,
    ):
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        try:
            return _round(course, rows, target, plan, Path(work), tracer, trace_id)
        finally:
            _execute(course.admin, course.cleanup)


def _round(
    course: Course,
    rows: int,
    target: Target,
    plan: Plan,
    work: Path,
    tracer: trace.Tracer,
    trace_id: str,
) -> Outcome:
    phases = Phases(tracer)
    doubts: list[str] = []
    back_at: float | None = None
    _execute(course.admin, course.schema)
    with psycopg.connect(course.clients, autocommit=True) as session:
        loaded = book.load(session, seed=plan.seed, rows=rows)
    orders = Orders(
        conninfo=course.clients,
        record=str(work / "record"),
        seed=plan.seed,
        first=rows,
        rate=plan.rate,
        sessions=plan.sessions,
    )
    with WriterProcess(orders, program=plan.writer) as writer:
        writer.write_for(plan.before)
        _execute(course.admin, course.keep)
        came = writer.write_on(plan.before)
        doubts.extend(too_few(came, 2 * plan.before * plan.rate))
        fault_at = time.monotonic()
        try:
            course.lose()
            lost_at = time.monotonic()
            if course.detected:
                probe = Probe(course.clients)
                with phases.phase(DETECTION):
                    if not listen(probe, plan, fault_at):
                        doubts.append("the cluster still answered after the fault")
            grows = RESTORE if course.restore else RECOVERY
            with phases.phase(grows):
                failure = _restore(course)
                if failure is None:
                    since = time.monotonic() if course.restore else lost_at
                    back_at = writer.first_after(since, plan.give_up)
            if back_at is not None:
                writer.write_on(plan.after)
        finally:
            course.mend()
        record = writer.stop()
    restored: list[tuple[int, str]] = []
    try:
        with psycopg.connect(course.clients, autocommit=True) as session:
            restored.extend(book.read(session))
    except psycopg.Error as error:
        failure = failure or f"no rows can be read: {error}"
    judgement = judge(
        acknowledged={**loaded, **record.acknowledged},
        sent=record.sent,
        restored=restored,
        expected=lambda number: content(plan.seed, number),
        fault_at=fault_at,
        back_at=back_at,
        target_rpo_s=target.scaled_rpo_s,
        target_rto_s=target.rto_s,
        copied=loaded,
        failure=failure,
    )
    return Outcome(
        rows=rows,
        # CockroachDB tells sizes of ranges, late; what was written is known exactly.
        size_bytes=(rows + len(record.acknowledged)) * len(content(plan.seed, 0)),
        acknowledged=len(record.acknowledged),
        judgement=judgement,
        recovery_s=phases.seconds(grows),
        phases=phases.document(fault_at),
        trace_id=trace_id,
        doubts=tuple(doubts),
    )
