"""Each disaster for real, and what is there afterwards."""

from __future__ import annotations

import pytest

from cockroach.drills import DrillUnavailableError

drill = pytest.mark.drill
STANDBYS = ("warm-standby", "hot-standby", "hot-standby-sync")
OTHER_FAULTS = ("pause", "black-hole", "disk-full")


def _phases(found):
    return [phase["name"] for phase in found["phases"]]


@pytest.mark.timeout(90)
def test_a_hot_standby_takes_over(play, exported):
    """A killed server costs a second and at most what was on the line; spans say so."""
    found = play("hot-standby")

    assert ("pass", []) == (found["verdict"], found["invalid_reasons"])
    assert 0.3 < found["rto_s"] < 10
    assert found["rpo_s"] < 1
    assert ["detection", "promotion", "reconnection"] == _phases(found)
    spans = {span.name: span for span in exported.get_finished_spans()}
    root = spans["drill hot-standby"]
    assert root.attributes["seawall.drill.fault"] == "kill"
    assert root.attributes["seawall.drill.rto_s"] == pytest.approx(
        found["rto_s"], abs=0.001
    )
    for name in _phases(found):
        assert spans[f"drill {name}"].parent.span_id == root.context.span_id
    assert found["rounds"][0]["trace_id"] == f"{root.context.trace_id:032x}"


RATE = 50.0


@drill
@pytest.mark.timeout(90)
@pytest.mark.parametrize("name", ["warm-standby", "hot-standby-sync"])
def test_the_other_standbys_take_over(name, play):
    """A shipped log loses up to its interval, a synchronous standby nothing."""
    found = play(name)

    assert ("pass", []) == (found["verdict"], found["invalid_reasons"])
    if name == "warm-standby":
        assert 0 < found["rpo_s"] <= 5
        # How many depends on when, between two shipped segments, the server went: as
        # many as the writer sends in the time that was lost.
        sent = found["rpo_s"] * RATE
        assert found["lost_rows"] == pytest.approx(sent, rel=0.2, abs=3)
    else:
        assert (0.0, 0) == (found["rpo_s"], found["lost_rows"])


@drill
@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", OTHER_FAULTS)
@pytest.mark.parametrize("name", STANDBYS)
def test_every_fault_is_survived(name, fault, play):
    """A paused server, a silent line and a full disk are noticed and left behind."""
    try:
        found = play(name, fault=fault)
    except DrillUnavailableError as error:
        pytest.skip(str(error))

    assert ("pass", [], []) == (
        found["verdict"],
        found["invalid_reasons"],
        found["reasons"],
    )
    if name == "hot-standby-sync":
        assert 0 == found["lost_rows"]


@drill
@pytest.mark.timeout(90)
def test_a_copy_off_the_site_is_restored(play):
    """What came after last night's copy is lost, and nothing from before it."""
    found = play("backup-restore", sizes=(1000, 20_000))

    assert ("pass", []) == (found["verdict"], found["invalid_reasons"])
    assert 2 < found["rpo_s"] < 24
    assert found["lost_rows"] > 50
    assert ["detection", "restore", "reconnection"] == _phases(found)
    small, large = found["rounds"]
    assert small["size_bytes"] < large["size_bytes"]
    assert found["far"]["rto_s"] >= found["rto_s"] - 0.01


@drill
@pytest.mark.timeout(90)
def test_a_bad_delete_reaches_the_standby_and_the_backup_undoes_it(play):
    """The standby repeats the mistake within a second; every row is put back."""
    found = play("operator-error")
    (one,) = found["rounds"]

    assert ("pass", [], 0) == (
        found["verdict"],
        found["invalid_reasons"],
        found["lost_rows"],
    )
    assert one["standby_lost_rows_after_s"] < 1
    assert (0, 0) == (one["copy_missing"], one["copy_differs"])
    assert one["rows_put_back"] >= 2000
    assert ["detection", "restore", "repair"] == _phases(found)


def test_a_fault_that_a_drill_does_not_know_is_refused(play, folder):
    """A backup's drill burns the site down and nothing else."""
    with pytest.raises(DrillUnavailableError, match="one fault of its own"):
        play("backup-restore", fault="pause")
