"""Standbys: shipped logs, streaming, and streaming that every commit waits for."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from cockroach.drills import archive, faults
from cockroach.drills.crisis import CLIENTS, PROMOTION, WAN, Crisis
from cockroach.drills.errors import DrillError
from cockroach.drills.judge import Judgement
from cockroach.drills.site import Site

Kind = Literal["warm", "hot", "sync"]
STANDBY = "drill_standby"
# Room for a server and its log, and per row, when its disk is to fill.
_DISK_MB = 130
_DISK_BYTES_PER_ROW = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A region's server and its standby, with what the fault can reach."""

    primary: Site
    standby: Site
    scene: faults.Scene


def run(crisis: Crisis, kind: Kind, rows: int) -> Judgement:
    """Play one round: strike the server, promote the standby, lead clients there."""
    plan = crisis.plan
    pair = _pair(crisis, kind, rows)
    before = plan.before
    if kind == "warm":
        # Anywhere in an interval: just before the next segment leaves is the worst.
        rng = random.Random(plan.seed * 1_000_003 + rows)  # noqa: S311 - no secret
        before += crisis.target.scaled_interval_s * rng.uniform(0.5, 1.0)
    fault = faults.BY_NAME[plan.fault]
    with crisis.writer(pair.primary) as writer:
        came = writer.write_for(before)
        _must_follow(pair, kind)
        crisis.strike(
            pair.primary,
            lambda: fault.inject(pair.scene),
            written=before,
            came=came,
        )
        lost = crisis.detect(pair.primary)
        if lost and not fault.in_force(pair.scene):
            crisis.doubts.append(f"the fault was not in force: {fault.says}")
        with crisis.phases.phase(PROMOTION):
            if plan.fault != "black-hole":
                # A server that may wake up must not take writes again. One behind a
                # black hole cannot be reached: there, moving the link is the fence.
                pair.primary.kill()
            pair.standby.promote()
        fault.lift(pair.scene)
        crisis.reconnect(writer, pair.standby)
        return crisis.judge(writer, pair.standby)


def _pair(crisis: Crisis, kind: Kind, rows: int) -> Pair:
    place = crisis.place
    primary, standby = place.site("primary"), place.site("standby")
    disk = None
    if crisis.plan.fault == "disk-full":
        disk = place.cap(primary, _DISK_MB + rows * _DISK_BYTES_PER_ROW // 2**20)
    primary.create()
    far = primary.folder("archive") if kind == "warm" else None
    if far is not None:
        shipping = archive.archiving(far, interval=crisis.target.scaled_interval_s)
        primary.configure(shipping)
        primary.server.stop()
        primary.start()
    crisis.fill(primary, rows)
    wan = place.link(WAN, primary, rtt_ms=crisis.plan.rtt_ms)
    backup = place.home / "backup"
    primary.base_backup(backup)
    if far is not None:
        settings = archive.reading(far)
    else:
        settings = {
            "primary_conninfo": primary.replication_dsn(wan, application=STANDBY)
        }
    standby.become(backup, settings, signal="standby")
    standby.start()
    if kind == "sync":
        primary.reload({"synchronous_standby_names": f"FIRST 1 ({STANDBY})"})
    pair = Pair(
        primary=primary,
        standby=standby,
        scene=faults.Scene(
            site=primary,
            links=place.links,
            link_names=(CLIENTS, WAN),
            archive=far,
            disk=disk,
        ),
    )
    _must_follow(pair, kind)
    return pair


def _must_follow(pair: Pair, kind: Kind) -> None:
    """Raise DrillError unless the standby follows as its kind promises."""
    if kind == "warm":
        if not pair.standby.ask("select pg_is_in_recovery()"):
            raise DrillError("the standby does not follow the archive")
        return
    wanted = "sync" if kind == "sync" else "async"
    pair.primary.wait_for(
        "select exists (select from pg_stat_replication where state = 'streaming' "  # noqa: S608 - our own words
        f"and sync_state = '{wanted}' and application_name = '{STANDBY}')",
        f"the standby does not stream ({wanted})",
    )
