"""A nightly job that copies away, and a region that burns down with all it held."""

from __future__ import annotations

import shutil

from cockroach.drills import archive
from cockroach.drills.crisis import RESTORE, Crisis
from cockroach.drills.judge import Judgement
from cockroach.drills.site import Site


def run(crisis: Crisis, rows: int, *, day_part: float) -> Judgement:
    """Play one round: a night's copy, a part of a day, the fire, the restore.

    Only what was carried off the site is used: the server and its archive are gone.
    """
    place, plan = crisis.place, crisis.plan
    primary, restored = place.site("primary"), place.site("restored")
    primary.create()
    onsite = primary.folder("archive")
    offsite = primary.folder("offsite")
    primary.configure(archive.archiving(onsite, interval=0))
    primary.server.stop()
    primary.start()
    crisis.fill(primary, rows)
    with crisis.writer(primary) as writer:
        writer.write_for(plan.before)
        base = offsite / "base"
        primary.base_backup(base)
        primary.verify_backup(base)
        until = _point(primary)
        archive.push(primary)
        archive.ship(onsite, offsite, own=primary.own)
        day = crisis.target.scaled_interval_s * day_part
        before = len(writer.record.acknowledged)
        came = writer.write_on(day) - before

        def burn() -> None:
            primary.destroy()
            shutil.rmtree(onsite)

        crisis.strike(primary, burn, written=day, came=came)
        crisis.detect(primary)
        with crisis.phases.phase(RESTORE):
            settings = {**archive.reading(offsite), **archive.until(until)}
            restored.become(base, settings, signal="recovery")
            restored.start()
            restored.wait_for("select not pg_is_in_recovery()", "the restore", 120.0)
        crisis.facts |= {"restored_to": until, "day_part": day_part}
        crisis.reconnect(writer, restored)
        return crisis.judge(writer, restored)


def _point(primary: Site) -> str:
    """Give a moment to restore to, and let the log reach beyond it."""
    moment = str(primary.ask("select clock_timestamp()::text"))
    with primary.session() as session:
        session.execute("insert into drill_probe (content) values ('night')")
    return moment
