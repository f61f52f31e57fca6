"""The targets file: every key, no other, and nothing that cannot be kept."""

from __future__ import annotations

import pytest

from cockroach.drills import TargetsError, load_targets
from cockroach.drills.catalogue import TITLES

GOOD = """
[hot-standby]
solution = "a standby"
owner = "somebody"
cost = "a server"
rehearse_every_days = 90
interval_s = 0
rpo_s = 5
rto_s = 600
time_scale = 1
in_use = true
"""


def _load(path, text):
    path.write_text(text)
    return load_targets(path)


def test_the_file_that_comes_with_it_promises_the_table():
    """The built-in promises are those of the issue's table, for every drill."""
    found = load_targets()

    assert set(found) == set(TITLES)
    assert (86400, 24.0, 3600) == _promise(found["backup-restore"])
    assert (300, 5.0, 600) == _promise(found["warm-standby"])
    assert (5, 5.0, 600) == _promise(found["hot-standby"])
    assert (0, 0.0, 600) == _promise(found["hot-standby-sync"])
    assert (0, 0.0, 30) == _promise(found["cockroach-region"])
    assert 24.0 == found["backup-restore"].scaled_interval_s
    assert 3.0 == found["warm-standby"].scaled_interval_s


def _promise(target):
    return target.rpo_s, target.scaled_rpo_s, target.rto_s


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("in_use = true", "in_use = true\nowners = 1", "unknown key 'owners'"),
        ('owner = "somebody"\n', "", "no 'owner'"),
        ('owner = "somebody"', 'owner = " "', "owner must say something"),
        ("rpo_s = 5", "rpo_s = -1", "rpo_s must be a number of 0 or more"),
        ("rpo_s = 5", "rpo_s = nan", "rpo_s must be a number"),
        ("rpo_s = 5", "rpo_s = true", "rpo_s must be a number"),
        ("rpo_s = 5", 'rpo_s = "5"', "rpo_s must be a number"),
        ("rto_s = 600", "rto_s = 0", "rto_s must be above 0"),
        ("time_scale = 1", "time_scale = 0", "time_scale must be above 0"),
        ("in_use = true", "in_use = 1", "in_use is true or false"),
        ("interval_s = 0", "interval_s = 6", "every 6 s cannot promise an RPO of 5"),
        ("[hot-standby]", "[[hot-standby]]", "is not a table"),
        ("rpo_s = 5", "rpo_s =", "is no TOML"),
    ],
)
def test_what_cannot_be_understood_is_refused(tmp_path, old, new, told):
    """The message names the file, the drill and the key."""
    path = tmp_path / "mine.toml"
    with pytest.raises(TargetsError, match=told) as raised:
        _load(path, GOOD.replace(old, new))

    assert str(path) in str(raised.value)


def test_a_good_file_is_taken(tmp_path):
    """A file of one's own may speak of some drills only."""
    assert ["hot-standby"] == list(_load(tmp_path / "mine.toml", GOOD))


def test_a_missing_file_is_told(tmp_path):
    """No traceback for a path that is not there."""
    with pytest.raises(TargetsError, match="No such file"):
        load_targets(tmp_path / "none.toml")
