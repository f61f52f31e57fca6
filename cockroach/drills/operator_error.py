"""A DELETE without its WHERE: the standby repeats it at once, the backup undoes it.

The clients stay where they are. The backup is restored beside the server, to just
before the bad commit, and the rows that are missing are put back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from cockroach.drills import archive, book
from cockroach.drills.crisis import DETECTION, RESTORE, WAN, Crisis
from cockroach.drills.detect import Detector
from cockroach.drills.errors import DrillError
from cockroach.drills.judge import Judgement
from cockroach.drills.site import Session, Site
from cockroach.drills.standby import STANDBY

REPAIR = "repair"
_BAD = "delete from drill_rows"
# Fewer rows than this part of those that were there is what the alarm looks for.
_ALARM = 0.5
_POLL_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    primary: Site
    standby: Site
    copy: Site


def run(crisis: Crisis, rows: int) -> Judgement:
    """Play one round: the DELETE, the alarm, the restore beside, the repair."""
    plan = crisis.plan
    stage = _stage(crisis, rows)
    primary = stage.primary
    base, kept = crisis.place.home / "base", crisis.place.home / "archive"
    with crisis.writer(primary) as writer:
        came = writer.write_for(plan.before)
        with primary.session() as witness:
            witness.execute("begin isolation level repeatable read read only")
            witness.execute("select count(*) from drill_rows limit 1")
            # The witness sees the rows of this moment for as long as it asks.
            transaction = [0]

            def mistake() -> None:
                transaction[0] = _delete(primary)

            crisis.strike(primary, mistake, written=plan.before, came=came)
            reached = _wait_until_gone(stage.standby)
            crisis.facts["standby_lost_rows_after_s"] = round(
                reached - crisis.fault_at, 3
            )
            source = dict(book.read(witness))
        _notice(crisis, primary, len(source))
        with crisis.phases.phase(RESTORE):
            moment = moment_of(primary, transaction[0])
            archive.push(primary)
            settings = {
                **archive.reading(kept),
                **archive.until(moment, inclusive=False),
            }
            stage.copy.become(base, settings, signal="recovery")
            stage.copy.start()
            stage.copy.wait_for("select not pg_is_in_recovery()", "the restore", 120.0)
        crisis.facts |= {
            "restored_to": moment,
            **_compare(source, stage.copy, writer.record.sent),
        }
        with crisis.phases.phase(REPAIR):
            with stage.copy.session() as there, primary.session() as here:
                crisis.facts["rows_put_back"] = book.put_back(here, book.read(there))
            crisis.back_at = time.monotonic()
        writer.write_on(plan.after)
        found = crisis.judge(writer, primary)
    wrong = {k: crisis.facts[k] for k in ("copy_missing", "copy_differs")}
    if found.verdict == "pass" and any(wrong.values()):
        # All rows are there although the copy had not all of them: who put them back?
        crisis.doubts.append(f"the copy is not the source at its time: {wrong}")
    return found


def moment_of(primary: Site, transaction: int) -> str:
    """Give the time at which a transaction was committed, as the log has it."""
    query = f"select pg_xact_commit_timestamp('{transaction}'::xid)::text"
    return str(primary.ask(query))


def _stage(crisis: Crisis, rows: int) -> _Stage:
    place = crisis.place
    primary, standby = place.site("primary"), place.site("standby")
    primary.create()
    settings = archive.archiving(primary.folder("archive"), interval=0)
    primary.configure({**settings, "track_commit_timestamp": "on"})
    primary.server.stop()
    primary.start()
    crisis.fill(primary, rows)
    wan = place.link(WAN, primary, rtt_ms=crisis.plan.rtt_ms)
    base = place.home / "base"
    primary.base_backup(base)
    follow = primary.replication_dsn(wan, application=STANDBY)
    standby.become(base, {"primary_conninfo": follow}, signal="standby")
    standby.start()
    primary.wait_for(
        "select exists (select from pg_stat_replication where state = 'streaming')",
        "the standby does not stream",
    )
    return _Stage(primary=primary, standby=standby, copy=place.site("copy"))


def _delete(primary: Site) -> int:
    with primary.session() as session:
        session.execute("begin")
        row = session.execute("select pg_current_xact_id()::text").fetchone()
        session.execute(_BAD)
        session.execute("commit")
    assert row is not None
    return int(row[0])


def _wait_until_gone(standby: Site, timeout: float = 10.0) -> float:
    deadline = time.monotonic() + timeout
    with standby.session() as session:
        while time.monotonic() < deadline:
            if not _first_row(session):
                return time.monotonic()
            time.sleep(_POLL_S)
    raise DrillError(f"the standby still had the rows {timeout:g} s after the DELETE")


def _first_row(session: Session) -> bool:
    query = "select exists (select from drill_rows where number = 0)"
    row = session.execute(query).fetchone()
    return bool(row and row[0])


def _notice(crisis: Crisis, primary: Site, before: int) -> None:
    patience = crisis.plan.patience
    detector = Detector(patience)
    deadline = time.monotonic() + crisis.plan.give_up
    with crisis.phases.phase(DETECTION):
        while not detector.lost and time.monotonic() < deadline:
            there = int(primary.ask("select count(*) from drill_rows"))
            detector.tell(answered=there >= _ALARM * before, now=time.monotonic())
            if not detector.lost:
                time.sleep(patience.interval)
    if not detector.lost:
        crisis.doubts.append("the DELETE took nothing: most rows are still there")


def _compare(
    source: dict[int, str], copy: Site, sent: frozenset[int]
) -> dict[str, int]:
    """Compare the copy row by row with the source as it was before the DELETE."""
    with copy.session() as session:
        found = dict(book.read(session))
    missing = source.keys() - found.keys()
    differs = [n for n in source.keys() & found.keys() if source[n] != found[n]]
    # What was committed between the witness's look and the DELETE is there as well.
    extra = found.keys() - source.keys() - sent
    return {
        "copy_rows": len(found),
        "copy_missing": len(missing),
        "copy_differs": len(differs) + len(extra),
    }
