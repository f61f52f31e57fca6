"""What must not pass: liars, promotions of nothing, restores to the wrong time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cockroach.drills import DrillError, archive, faults, operator_error
from cockroach.drills.detect import Patience
from cockroach.drills.site import Site
from cockroach.drills.standby import STANDBY
from cockroach.drills.workplace import Workplace

pytestmark = [pytest.mark.drill, pytest.mark.timeout(90)]
LIAR = str(Path(__file__).with_name("lying_writer.py"))


def _lost(found):
    assert [] == found["invalid_reasons"]
    assert "fail" == found["verdict"]
    return " ".join(found["reasons"])


def test_a_writer_that_acknowledges_before_it_commits_is_caught(play):
    """No standby saves what was never committed: the rows are counted as lost."""
    found = play("hot-standby-sync", writer=(sys.executable, LIAR))

    assert "acknowledged rows" in _lost(found)
    assert found["lost_rows"] > 10


def test_a_standby_that_is_not_promoted_is_caught(play, monkeypatch):
    """Clients led to a server that takes no writes are not served."""
    monkeypatch.setattr(Site, "promote", lambda *_: None)
    found = play("hot-standby", give_up=3.0)

    assert "writing never worked again" in _lost(found)
    assert found["rto_s"] is None


def test_a_promotion_of_nothing_is_caught(play, monkeypatch):
    """A standby made without the copy has none of the rows, however fast it is."""
    monkeypatch.setattr(Site, "promote", _begin_anew)
    found = play("hot-standby")

    assert "2000 rows that every copy had are lost" in _lost(found)
    assert found["lost_rows"] >= 2000


def _begin_anew(standby):
    standby.server.stop()
    standby.server.destroy()
    standby.create()
    with standby.session() as session:
        session.execute("create table drill_rows (number bigint, content text)")
        session.execute("create table drill_probe (content text)")


def test_a_restore_to_the_wrong_time_is_caught(play, monkeypatch):
    """A restore to after the DELETE brings nothing back."""
    right = operator_error.moment_of

    def too_late(primary, transaction):
        right(primary, transaction)
        moment = primary.ask("select clock_timestamp()::text")
        primary.wait_for(
            f"select max(pg_xact_commit_timestamp(xmin)) > '{moment}' from drill_rows",
            "the writer",
        )
        return moment

    monkeypatch.setattr(operator_error, "moment_of", too_late)
    found = play("operator-error")

    assert "acknowledged rows" in _lost(found)
    assert found["rounds"][0]["copy_missing"] >= 2000


def test_a_copy_that_cannot_be_restored_fails(play, monkeypatch):
    """A base backup without its log is no backup, and that is a failure, no error."""
    monkeypatch.setattr(archive, "ship", lambda *_, **__: None)
    found = play("backup-restore")

    assert "the restore failed" in _lost(found)
    assert (None, True) == (found["rto_s"], found["lost_rows"] > 2000)


def test_more_loss_than_promised_fails(play):
    """A day of one second that is missed is a failed drill."""
    found = play("backup-restore", target={"time_scale": 86400}, day_part=1.0)

    assert "target 1 s" in _lost(found)


def test_a_log_that_no_longer_leaves_fails(play, monkeypatch):
    """Shipping that stopped unseen costs more than its interval."""
    ship = archive.archiving
    monkeypatch.setattr(
        archive, "archiving", lambda folder, *, interval: ship(folder, interval=0)
    )
    found = play("warm-standby", before=4.0)

    assert "target 5 s" in _lost(found)


NOTHING = {
    "kill": faults.Fault(
        says="nothing", inject=lambda _: None, in_force=lambda _: False
    )
}


def test_a_fault_that_does_not_bite_proves_nothing(play, monkeypatch):
    """Without a fault there is neither a pass nor a failure."""
    monkeypatch.setattr(faults, "BY_NAME", NOTHING)
    found = play("hot-standby", give_up=1.5)

    assert (None, False) == (found["verdict"], found["valid"])
    assert "still answered" in found["invalid_reasons"][0]


def test_a_prober_without_patience_is_told_apart(play, monkeypatch):
    """A server that counts as lost although no fault is in force proves nothing."""
    monkeypatch.setattr(faults, "BY_NAME", NOTHING)
    found = play("hot-standby", patience=Patience(failures=1, timeout=0.0001))

    assert not found["valid"]
    assert "the fault was not in force" in found["invalid_reasons"][0]


def test_a_standby_that_does_not_stream_stops_the_drill(play, monkeypatch):
    """A drill whose standby is not the one that was meant is not begun."""
    become = Site.become

    def become_another(site, backup, settings, *, signal):
        named = settings["primary_conninfo"]
        assert STANDBY in named
        other = {"primary_conninfo": named.replace(STANDBY, "somebody_else")}
        become(site, backup, other, signal=signal)

    monkeypatch.setattr(Site, "become", become_another)
    monkeypatch.setattr(
        Site,
        "wait_for",
        lambda site, query, what, timeout=1.0, real=Site.wait_for: real(
            site, query, what, 1.0
        ),
    )
    with pytest.raises(DrillError, match="does not stream"):
        play("hot-standby")


def test_two_drills_do_not_share_a_folder(folder):
    """The second is told who is there, and changes nothing."""
    with (
        Workplace(folder) as first,
        pytest.raises(DrillError, match="already runs a drill"),
        Workplace(folder),
    ):
        pass
    assert first.links is not None
