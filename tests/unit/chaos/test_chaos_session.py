"""What a session writes down for whoever watches, without a lab."""

import json
import os
import time

import pytest
from chaoslib.configuration import load_configuration

from chaos import experiments
from chaos.journeys import Journey
from chaos.lab_state import Lab
from chaos.session import Session
from chaos.settings import Settings


class FakeLoad:
    """A generator that has written its results and ended."""

    def check(self):
        pass

    def finish(self, timeout):
        return {}


@pytest.fixture
def session(tmp_path, world, monkeypatch):
    """A session whose load of 50 s is over, with one journey every half second."""
    document = json.loads(experiments.find("slow-database").read_text())
    configuration = load_configuration(document["configuration"])
    settings = Settings.from_configuration(
        {**configuration, "profile": "cured", "run_dir": str(tmp_path / "run")}
    )
    lab = Lab(
        pid=os.getpid(),
        profile="cured",
        state_dir=tmp_path,
        services=(),
        toxiproxy="",
        control="",
        otlp="",
        traces=tmp_path / "traces.db",
        runs=tmp_path,
        admin={},
        catalogue={},
    )
    session = Session(settings, lab)
    start_s = time.time() - settings.timings.duration_s
    for n in range(100):
        world.journey(start_s + n / 2)
    text = [
        json.dumps({key: getattr(one, key) for key in Journey.__slots__}) + "\n"
        for one in world.journeys
    ]
    (session.files.folder / "results.jsonl").write_text("".join(text))
    monkeypatch.setattr(session, "_load", FakeLoad())
    monkeypatch.setattr(session, "_start_s", start_s)
    return session


def test_the_end_of_the_load_is_told_in_full(session):
    """Numbers, breakers and every second up to the last, in lines of JSON."""
    session.recover()
    lines = [
        json.loads(line)
        for line in (session.files.folder / "progress.jsonl").read_text().splitlines()
    ]
    seconds = [one["at_s"] for line in lines for one in line["seconds"]]

    assert ["after", "after"] == [line["phase"] for line in lines]
    assert list(range(50)) == seconds
    assert {"at_s", "planned_rps", "ended_rps", "p50_ms", "p95_ms"} <= lines[0].keys()
    assert "100 journeys have ended" == lines[1]["text"]
    assert all(line["breakers"]["answers"] for line in lines)
