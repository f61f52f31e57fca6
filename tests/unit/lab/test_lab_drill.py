"""`seawall drill` as a person and a program meet it, without a server."""

from __future__ import annotations

import json
import time

import pytest
from click.testing import CliRunner

from cockroach.drills import catalogue, load_targets
from cockroach.drills.history import Rehearsal, recall, remember
from lab.cli import seawall
from lab.drill_tables import span


@pytest.fixture
def ask(tmp_path, monkeypatch):
    monkeypatch.setenv("SEAWALL_LAB", str(tmp_path / "lab.json"))
    monkeypatch.delenv("COCKROACH_URL", raising=False)

    def run(*words):
        return CliRunner().invoke(seawall, ["drill", *words], standalone_mode=False)

    return run


def _found(name="hot-standby", **change):
    values = {
        "name": name,
        "solution": "a standby",
        "owner": "somebody",
        "cost": "a server",
        "fault": "kill",
        "target_rpo_s": 5.0,
        "rpo_s": 0.04,
        "lost_rows": 2,
        "target_rto_s": 600,
        "rto_s": 0.6,
        "phases": [],
        "verdict": "pass",
        "valid": True,
        "invalid_reasons": [],
        "reasons": [],
        "scale": {"time_scale": 1, "promised_rpo_s": 5},
        "rounds": [],
        "far": {
            "gigabytes": 10.0,
            "rto_s": 4.2,
            "seconds_per_gb": 0.36,
            "grows": True,
            "within_target": True,
        },
    }
    return values | change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, 0),
        ({"verdict": "fail", "reasons": ["2 rows are lost"]}, 1),
        ({"valid": False, "verdict": None, "invalid_reasons": ["no bite"]}, 3),
    ],
)
def test_a_run_exits_by_its_verdict_and_is_remembered(
    ask, monkeypatch, tmp_path, change, code
):
    """0, 1 or 3, one JSON object with the drill's result, and a line of history."""
    monkeypatch.setattr(catalogue, "run", lambda *_, **__: _found(**change))
    path = tmp_path / "result.json"
    done = ask("run", "hot-standby", "--json", str(path))
    document = json.loads(path.read_text())
    (remembered,) = recall(tmp_path / "drills" / "history.jsonl")

    assert code == done.return_value
    assert "seawall/1" == document["schema"]
    assert [_found(**change)] == document["results"]
    assert _found(**change)["verdict"] == document["verdict"] == remembered.verdict
    assert "scaled 1:1" in done.output
    for reason in (*_found(**change)["reasons"], *_found(**change)["invalid_reasons"]):
        assert reason in done.output


def test_options_reach_the_plan(ask, monkeypatch):
    """What a person asks for is what is played."""
    seen = {}
    monkeypatch.setattr(
        catalogue, "run", lambda name, **values: seen.update(values) or _found()
    )
    words = [
        "--fault",
        "pause",
        "--rows",
        "10",
        "--rows",
        "20",
        "--day-part",
        "0.2",
        "--seed",
        "3",
    ]
    ask("run", "hot-standby", *words)
    plan = seen["plan"]

    assert ("pause", (10, 20), 0.2, 3) == (
        plan.fault,
        plan.sizes,
        plan.day_part,
        plan.seed,
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "earthquake"], "there are: backup-restore"),
        (["run", "cockroach-backup"], "set COCKROACH_URL"),
        (["run", "cockroach-region"], "set COCKROACH_URL"),
        (["run", "backup-restore", "--fault", "pause"], "one fault of its own"),
        (["run", "hot-standby", "--targets", "/none.toml"], "No such file"),
        (["history", "--targets", "/none.toml"], "No such file"),
    ],
)
def test_what_cannot_be_had_is_a_sentence(ask, words, told):
    """No traceback: an error that the command line turns into exit code 2."""
    done = ask(*words)

    assert told in str(done.exception.message)


def test_every_drill_is_listed_with_its_promise(ask, tmp_path):
    """Those that cannot be had here are listed too, with the reason."""
    path = tmp_path / "list.json"
    done = ask("list", "--json", str(path))
    rows = {row["name"]: row for row in json.loads(path.read_text())["results"]}

    assert 0 == done.return_value
    assert set(rows) == set(load_targets()) == set(catalogue.TITLES)
    assert "set COCKROACH_URL" in rows["cockroach-backup"]["reason"]
    assert rows["hot-standby"]["reason"] is None
    assert rows["hot-standby"]["faults"] == ["kill", "pause", "black-hole", "disk-full"]
    assert rows["operator-error"]["faults"] == []


def _remember(tmp_path, names, days_ago):
    for name in names:
        remember(
            tmp_path / "drills" / "history.jsonl",
            Rehearsal(
                at=time.time() - days_ago * 86400,
                name=name,
                fault="kill",
                valid=True,
                verdict="pass",
                rpo_s=0.0,
                lost_rows=0,
                rto_s=0.5,
            ),
        )


def test_history_exits_1_when_a_rehearsal_is_overdue(ask, tmp_path):
    """Without rehearsals it fails; with all of them it passes; in time they age."""
    in_use = [name for name, one in load_targets().items() if one.in_use]

    assert 1 == ask("history").return_value
    _remember(tmp_path, in_use, 31)
    assert 1 == ask("history").return_value
    _remember(tmp_path, in_use, 1)
    assert 0 == ask("history").return_value


def test_history_that_is_damaged_is_told(ask, tmp_path):
    """It must not look as if there were none."""
    (tmp_path / "drills").mkdir()
    (tmp_path / "drills" / "history.jsonl").write_text("nonsense\n")
    done = ask("history")

    assert "line 1 is no rehearsal" in str(done.exception.message)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "never"),
        (86400, "24 h"),
        (3600, "60 min"),
        (300, "5 min"),
        (5, "5 s"),
        (0, "0 s"),
        (0.579, "0.579 s"),
        (112.4, "112 s"),
    ],
)
def test_times_are_written_as_people_do(seconds, said):
    """Backup plans speak of 24 h, drills of milliseconds."""
    assert said == span(seconds)
