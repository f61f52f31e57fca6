"""The course of the drills on a CockroachDB, played with PostgreSQL's statements."""

from __future__ import annotations

import time
from dataclasses import replace

import psutil
import pytest
from opentelemetry import trace

from cockroach.drills import book, load_targets
from cockroach.drills.cluster import Course, play
from cockroach.drills.errors import DrillError
from cockroach.drills.plan import Plan
from cockroach.drills.workplace import Workplace

pytestmark = [pytest.mark.drill, pytest.mark.timeout(90)]
TABLES = "drill_rows, drill_probe, kept"
PLAN = Plan(sizes=(500,), before=0.5, after=0.2, give_up=10.0)


@pytest.fixture
def site(folder):
    """Run one server that stands for the cluster."""
    with Workplace(folder / "servers") as workplace, workplace.round("one") as place:
        server = place.site("one")
        server.create()
        yield server


def _course(site, **change):
    values = {
        "admin": site.dsn(),
        "clients": site.dsn(),
        "schema": [f"drop table if exists {TABLES}", *book.SCHEMA],
        "keep": ["create table kept as table drill_rows"],
        "lose": lambda: _say(site, "drop table drill_rows, drill_probe"),
        "restore": ["create table drill_rows as table kept", book.SCHEMA[1]],
        "mend": lambda: None,
        "cleanup": [f"drop table if exists {TABLES}"],
        "detected": True,
    }
    return Course(**(values | change))


def _say(site, statement):
    with site.session() as session:
        session.execute(statement)


def _play(course, folder, name="cockroach-backup", **target):
    promised = replace(load_targets()[name], **target)
    tracer = trace.get_tracer("test")
    return play(course, name, 500, promised, PLAN, folder, tracer)


def test_what_was_written_since_the_copy_is_lost_and_counted(site, folder):
    """The database is dropped, noticed, restored; half a second of rows is gone."""
    found = _play(_course(site), folder)

    assert [] == [*found.doubts, *found.judgement.reasons]
    assert 0.3 < found.judgement.rpo_s < 5
    assert 5 < len(found.judgement.lost)
    assert min(found.judgement.lost) > 500
    assert ["detection", "restore"] == [one["name"] for one in found.phases]
    assert site.ask("select to_regclass('drill_rows') is null")


def test_a_restore_of_nothing_fails(site, folder):
    """Tables that are there and empty are no restore."""
    found = _play(_course(site, restore=book.SCHEMA), folder)

    assert "fail" == found.judgement.verdict
    assert 500 < len(found.judgement.lost)


def test_a_copy_that_cannot_be_restored_fails(site, folder):
    """That is a result, with every row lost, and no error of the drill."""
    found = _play(_course(site, restore=["restore it by magic"]), folder)

    assert ("fail", (), None) == (
        found.judgement.verdict,
        found.doubts,
        found.judgement.rto_s,
    )
    assert found.judgement.reasons[0].startswith("the restore failed: syntax error")
    assert 500 < len(found.judgement.lost)


def test_what_was_begun_to_be_lost_is_mended(site, folder):
    """A fault that fails half way leaves no region dead."""
    mended = []

    def half():
        raise DrillError("interrupted")

    course = _course(site, lose=half, mend=lambda: mended.append(True))
    with pytest.raises(DrillError, match="interrupted"):
        _play(course, folder)

    assert [True] == mended


def test_a_cluster_that_only_stalls_loses_nothing(site, folder):
    """With nothing to restore, the time runs until the next commit."""

    def stall():
        family = site.processes()
        for one in family:
            one.suspend()
        deadline = time.monotonic() + 5
        while any(one.status() != psutil.STATUS_STOPPED for one in family):
            assert time.monotonic() < deadline
        for one in family:
            one.resume()

    course = _course(site, lose=stall, restore=[], detected=False)
    found = _play(course, folder, "cockroach-region")

    assert ("pass", ()) == (found.judgement.verdict, found.judgement.lost)
    assert found.judgement.rto_s is not None
