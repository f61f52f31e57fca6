"""What a session writes down for whoever watches, without a lab."""

import json
import os
import time
from types import SimpleNamespace

import pytest
from chaoslib.configuration import load_configuration

from chaos import case as case_module
from chaos import experiments
from chaos import session as session_module
from chaos.case import SCHEMA, Case
from chaos.fault import Fault
from chaos.journeys import Journey
from chaos.lab_state import Lab
from chaos.scaling import Scaling
from chaos.session import HaltedError, Session
from chaos.settings import Settings
from chaos.stress import Stress
from tests.unit.chaos.conftest import TIMELINE


class FakeLoad:
    """A generator that has written its results and ended."""

    def check(self):
        pass

    def finish(self, timeout):
        return {}


@pytest.fixture
def lab(tmp_path):
    return Lab(
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


@pytest.fixture
def settings_of(tmp_path):
    """Give an experiment's settings, for a run in a folder of its own."""

    def read(name):
        document = json.loads(experiments.find(name).read_text())
        given = load_configuration(document["configuration"])
        return Settings.from_configuration(
            {**given, "profile": "cured", "run_dir": str(tmp_path / "run")}
        )

    return read


@pytest.fixture
def session(lab, settings_of, world, monkeypatch):
    """A session whose load of 50 s is over, with one journey every half second."""
    settings = settings_of("slow-database")
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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("slow-database", Fault),
        ("slow-gateway", Fault),
        # A peak besides, but what is measured is the fault.
        ("pool-exhaustion", Fault),
        ("wrong-gateway", Stress),
        ("add-capacity", Scaling),
    ],
)
def test_the_file_says_what_is_done(lab, settings_of, name, kind):
    """A fault where there are bounds for one, else a scaler or a peak."""
    assert type(Session(settings_of(name), lab)._trouble()) is kind


def test_a_peak_is_no_fault_and_a_fault_no_peak(lab, settings_of, monkeypatch):
    """A file whose steps do not fit its bounds proves nothing, and is halted."""
    faulty = Session(settings_of("slow-database"), lab)
    monkeypatch.setattr(faulty, "_fault", faulty._trouble())
    peak = Session(settings_of("wrong-gateway"), lab)
    monkeypatch.setattr(peak, "_fault", peak._trouble())

    with pytest.raises(HaltedError, match="bounds for a fault"):
        faulty.begin_phase()
    with pytest.raises(HaltedError, match="no bounds for a fault"):
        peak.inject_latency("eu", 400, 50)


def test_a_peak_that_begins_is_told(lab, settings_of, monkeypatch):
    """Whoever watches hears how high it is, and that it is in force."""
    session = Session(settings_of("wrong-gateway"), lab)
    monkeypatch.setattr(session, "_fault", session._trouble())
    session.begin_phase()
    text = (session.files.folder / "progress.jsonl").read_text()
    line = json.loads(text.splitlines()[-1])

    assert ("inject", "2 times the load") == (line["phase"], line["text"])
    assert {"state": "in force", "times": 2, "links": 0} == line["fault"]


def test_orders_have_their_time_to_end_however_long_the_load_went_on(
    session, monkeypatch
):
    """It begins when the books are asked, not when the fault went."""
    asked = {}
    fault = SimpleNamespace(gone_s=time.time() - 60, close=lambda: None)
    monkeypatch.setattr(session, "_fault", fault)
    monkeypatch.setattr(session, "_books", None)
    monkeypatch.setattr(
        session_module.invariants, "await_settled", lambda _, **given: asked | given
    )
    monkeypatch.setattr(
        session_module.invariants,
        "judge",
        lambda _, **given: asked.update(given) or [],
    )
    began = time.time()
    session.check_books()

    assert asked["stuck"]["until_s"] >= began + session.settings.validity["settle_s"]
    assert asked["gone_s"] == fault.gone_s


def test_a_run_knows_nothing_of_what_came_after_it(session, monkeypatch):
    """Judged once more, when another one has written to the same store."""
    seen = []

    class Store:
        def __init__(self, path):
            assert path.exists()

        def spans(self, since_ns, until_ns):
            seen.append((since_ns / 1e9, until_ns / 1e9))
            return []

    monkeypatch.setattr(case_module, "TraceStore", Store)
    folder = session.files.folder
    (folder / "traces.db").touch()
    run = {"schema": SCHEMA, "timeline": TIMELINE.to_json()}
    for read_s, until_s in ((1060.0, 1060.0), (2000.0, 1112.0), (None, 1112.0)):
        (folder / "run.json").write_text(json.dumps({**run, "read_s": read_s}))
        Case.load(folder, session.settings, folder / "traces.db")
        assert (999.0, until_s) == seen.pop()
