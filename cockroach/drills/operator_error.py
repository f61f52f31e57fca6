"""A DELETE without its WHERE: the standby repeats it at once, the backup undoes it.

The clients stay where they are. The backup is restored beside the server, to just
before the bad commit, and the rows that are missing are put back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from cockroach.drills import archive, book
from cockroach.drills.crisis import DETECTION, RESTORE, WAN, Crisis
from cockroach.drills.detect import Detector
from cockroach.drills.errors import DrillError
from cockroach.drills.judge import Judgement
from cockroach.drills.site import Session, Site
from cockroach.drills.standby import STANDBY

REPAIR = "repair"
_BAD = "delete from drill_rows"
_FIRST = "select exists (select from drill_rows where number = 0)"
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
    stage = _stage(crisis, rows)
    primary = stage.primary
    with crisis.writer(primary) as writer, primary.session() as witness:
        came = writer.write_for(crisis.plan.before)
        # The witness sees the rows of this moment for as long as it is asked.
        witness.execute("begin isolation level repeatable read read only")
        before = int(_value(witness, "select count(*) from drill_rows"))
        transaction = [0]

        def mistake() -> None:
            transaction[0] = _delete(primary)

        crisis.strike(primary, mistake, written=crisis.plan.before, came=came)
        gone = _wait_until_gone(stage.standby) - crisis.fault_at
        crisis.facts["standby_lost_rows_after_s"] = round(gone, 3)
        _notice(crisis, primary, before)
        if not _undo(crisis, stage, transaction[0]):
            return crisis.judge(writer, primary)
        writer.write_on(crisis.plan.after)
        # The comparisons come last: they are no part of anybody's recovery.
        source = dict(book.read(witness))
        crisis.facts |= _compare(source, stage.copy, writer.record.sent)
        found = crisis.judge(writer, primary)
    wrong = {k: crisis.facts[k] for k in ("copy_missing", "copy_differs")}
    if found.verdict == "pass" and any(wrong.values()):
        # All rows are there although the copy had not all of them: who put them back?
        crisis.doubts.append(f"the copy is not the source at its time: {wrong}")
    return found


def _undo(crisis: Crisis, stage: _Stage, transaction: int) -> bool:
    base, kept = crisis.place.home / "base", crisis.place.home / "archive"
    moment = moment_of(stage.primary, transaction)
    crisis.facts["restored_to"] = moment

    def restore() -> None:
        archive.push(stage.primary)
        point = archive.until(moment, inclusive=False)
        archive.recover(stage.copy, base, {**archive.reading(kept), **point})

    def repair() -> None:
        with stage.copy.session() as there, stage.primary.session() as here:
            crisis.facts["rows_put_back"] = book.put_back(here, book.read(there))
        crisis.back_at = time.monotonic()

    return crisis.recover(RESTORE, restore) and crisis.recover(REPAIR, repair)


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
            if not _value(session, _FIRST):
                return time.monotonic()
            time.sleep(_POLL_S)
    raise DrillError(f"the standby still had the rows {timeout:g} s after the DELETE")


def _value(session: Session, query: str) -> Any:
    row = session.execute(query).fetchone()
    assert row is not None
    return row[0]


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
