"""The small parts: lock, lab file, journal, round trips, results, metrics."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest
from chaoslib.experiment import ensure_experiment_is_valid

from chaos import experiments, harvest, invariants, journeys, lab_state, round_trips
from chaos.experiments import UnknownExperimentError
from chaos.lab_state import NoLabError
from chaos.lock import ExperimentLock, ExperimentRunningError
from chaos.runner import ExperimentError, journal_reasons, run

PLAYED = {"status": "succeeded", "activity": {"name": "hold"}}
MET = {"before": {"steady_state_met": True}}


def test_the_second_experiment_is_refused(tmp_path):
    """One lab bears one experiment; the message tells which."""
    with ExperimentLock(tmp_path) as lock:
        lock.acquire("slow-database")
        with pytest.raises(ExperimentRunningError, match="slow-database"):
            ExperimentLock(tmp_path).acquire("other")


def test_the_lock_is_free_again(tmp_path):
    """After one experiment comes the next."""
    for title in ("one", "two"):
        with ExperimentLock(tmp_path) as lock:
            lock.acquire(title)


def _die_with_lock(folder):
    ExperimentLock(folder).acquire("doomed")
    os._exit(9)


def test_the_lock_falls_with_its_holder(tmp_path):
    """A runner that was killed blocks nobody."""
    child = multiprocessing.get_context("spawn").Process(
        target=_die_with_lock, args=(tmp_path,)
    )
    child.start()
    child.join(20)

    with ExperimentLock(tmp_path) as lock:
        lock.acquire("next")


@pytest.fixture
def lab_file(tmp_path):
    policies = tmp_path / "policies.json"
    policies.write_text(json.dumps({"profile": "cured"}))
    document = {
        "schema": "seawall-lab/1",
        "pid": os.getpid(),
        "profile": "sick",
        "state_dir": str(tmp_path),
        "policies": str(policies),
        "services": [
            {"service": "catalog", "region": "us", "zone": zone, "instance": zone}
            | {"address": f"127.0.0.1:{port}", "metrics": ""}
            for port, zone in enumerate("ab")
        ],
        "links": {"control": "127.0.0.1:1", "toxiproxy": "http://127.0.0.1:2"},
        "otlp": "http://127.0.0.1:3",
        "traces": str(tmp_path / "traces.db"),
        "runs": str(tmp_path / "runs"),
        "database": {"flavour": "embedded", "admin": {"us": "host=127.0.0.1"}},
        "catalogue": {"regions": ["us"]},
    }
    path = tmp_path / "lab.json"
    path.write_text(json.dumps(document))
    return path


def test_the_lab_is_read_from_its_file(lab_file):
    """Addresses by region, and the profile of the moment, not of the start."""
    lab = lab_state.load(lab_file)

    assert lab.addresses("catalog") == {"us": ["127.0.0.1:0", "127.0.0.1:1"]}
    assert lab.profile == "cured"
    assert lab.alive()


@pytest.mark.parametrize("left", ["verdict.json", "journal.json", "progress.jsonl"])
def test_a_folder_of_another_run_is_refused(lab_file, tmp_path, left):
    """What that one said is not told as what this one says."""
    (tmp_path / left).write_text("{}")

    with pytest.raises(ExperimentError, match="holds another run"):
        run(Path("any.json"), lab_state_path=lab_file, run_dir=tmp_path)
    assert not (tmp_path / "play.log").exists()


def test_the_environment_names_the_lab(lab_file, monkeypatch):
    """Plain `chaos run` finds it there."""
    monkeypatch.setenv("SEAWALL_LAB", str(lab_file))

    assert lab_state.load().pid == os.getpid()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: "{", "cannot be read"),
        (lambda text: text.replace("seawall-lab/1", "other"), "no seawall-lab/1 file"),
        (lambda text: text.replace('"otlp"', '"otl"'), "lacks 'otlp'"),
    ],
)
def test_a_file_that_is_no_lab_is_told(lab_file, change, says):
    """The message names what is wrong."""
    lab_file.write_text(change(lab_file.read_text()))

    with pytest.raises(NoLabError, match=says):
        lab_state.load(lab_file)


def test_no_lab_is_told(tmp_path):
    """And how to start one."""
    with pytest.raises(NoLabError, match="seawall up"):
        lab_state.load(tmp_path / "lab.json")


def test_experiments_are_found_by_name():
    """Or by path."""
    path = experiments.find("slow-database")

    assert experiments.find(str(path)) == path
    with pytest.raises(UnknownExperimentError, match=r"there are: .*slow-database"):
        experiments.find("slow-databse")


@pytest.mark.parametrize("path", experiments.available().values(), ids=str)
def test_the_files_are_chaos_toolkit_experiments(path):
    """Plain `chaos run` plays them: every function is there, with its arguments."""
    ensure_experiment_is_valid(json.loads(path.read_text()))


def test_a_journal_that_was_played_through_is_believed():
    """Every activity succeeded, the rollback too."""
    journal = {"steady_states": MET, "run": [PLAYED], "rollbacks": [PLAYED]}

    assert journal_reasons(journal) == []


@pytest.mark.parametrize(
    ("journal", "says"),
    [
        (None, "died"),
        ({"steady_states": {}, "run": []}, "not ready"),
        ({"steady_states": MET, "run": [{**PLAYED, "status": "failed"}]}, "failed"),
        ({"steady_states": MET, "run": [{"activity": {"name": "hold"}}]}, "hold: int"),
        (
            {"status": "completed", "steady_states": MET, "run": [PLAYED]}
            | {"rollbacks": [{**PLAYED, "status": "failed"}]},
            "hold: failed",
        ),
    ],
)
def test_a_journal_is_read_activity_by_activity(journal, says):
    """Its own status says completed when an action raised."""
    assert says in journal_reasons(journal)[0]


def test_a_fault_must_be_felt_on_every_link():
    """The distance is not the fault."""
    distances = {"near": 0.0, "far": 220.0}
    felt = {"near": 401.0, "far": 615.0}

    assert round_trips.bites(felt, distances, at_least_ms=300) == []
    assert round_trips.bites({**felt, "far": 223.0}, distances, at_least_ms=300) == [
        "far: 223.0 ms"
    ]
    assert round_trips.bites({}, {}, at_least_ms=300)


def test_a_fault_must_be_gone_from_every_link():
    """No answer is no proof of health either."""
    distances = {"near": 0.0, "far": 220.0}

    assert not round_trips.lingers(
        {"near": 1.0, "far": 224.0}, distances, at_most_ms=50
    )
    assert round_trips.lingers({"near": 51.0}, distances, at_most_ms=50)
    assert round_trips.lingers({"near": None}, distances, at_most_ms=50)


def test_the_best_of_two_looks_counts():
    """A busy machine may spoil one look; the fault spoils both."""
    found = round_trips.best_of({"a": 203.0, "b": None}, {"a": 81.0, "b": 5.0})

    assert found == {"a": 81.0, "b": 5.0}
    assert round_trips.best_of({}, {"a": None}) == {"a": None}


LINE = {
    "journey": "checkout",
    "home": "eu",
    "dialled": "us",
    "away": True,
    "intended_s": 1.0,
    "sent_s": 1.0,
    "done_s": 1.1,
    "latency_ms": 100.0,
    "code": "OK",
    "outcome": "success",
    "degraded_reasons": ["STALE:X"],
    "added_later": 1,
}


def test_results_are_read_as_they_grow(tmp_path):
    """Whole lines only, each once."""
    path = tmp_path / "results.jsonl"
    tail = journeys.Tail(path)
    line = json.dumps(LINE) + "\n"

    assert tail.more() == []
    path.write_text(line + line[:20])
    assert len(tail.more()) == 1
    path.write_text(line + line)
    assert len(tail.more()) == 1
    assert len(journeys.read(path)) == 2


def test_a_counter_is_summed_over_its_labels():
    """And its name is not taken for a longer one's."""
    lines = [
        "# TYPE seawall_spans_dropped_total counter",
        'seawall_spans_dropped_total{stage="queue"} 2.0',
        'seawall_spans_dropped_total{stage="export"} 1.0',
        'seawall_spans_dropped_created{stage="queue"} 1.7e9',
    ]

    assert harvest.total(lines, "seawall_spans_dropped") == 3


class Books:
    """Data that a test says what is in."""

    def __init__(self, *, counts=0, stock=None, states=None, last=None):
        self._counts, self._stock = counts, stock or {"eu": {"P0001": 9}}
        self._states, self._last = states or {}, last

    def counts(self):
        return dict.fromkeys(invariants._COUNTS, self._counts)

    def stock(self):
        return self._stock

    def states(self, ids):
        return self._states

    def drained(self, since_s):
        return 1, self._last


def broken(books, them=(), stuck=0):
    found = invariants.judge(
        books,
        stock_before={"eu": {"P0001": 9}},
        journeys=them,
        since_s=1000,
        gone_s=1040,
        drained_within_s=10,
        stuck=stuck,
    )
    return [finding.name for finding in found if not finding.passed]


ORDER = "eu-00000000-0000-4000-8000-000000000001"


def test_sound_books_break_nothing(world):
    """Every acknowledged order is there, and the goods add up."""
    one = world.journey(1021, order_id=ORDER, order_state="ACCEPTED")

    assert broken(Books(states={ORDER: "confirmed"}, last=1042.0), [one]) == []


@pytest.mark.parametrize(
    ("books", "stuck", "says"),
    [
        ({"counts": 1}, 0, set(invariants._COUNTS)),
        ({"stock": {"eu": {"P0001": 8}}}, 0, {"goods_are_conserved"}),
        ({"last": 1051.0}, 0, {"intake_drained_in_time"}),
        ({}, 2, {"no_order_stuck"}),
    ],
)
def test_unsound_books_are_named(books, stuck, says):
    """Each invariant breaks by itself."""
    assert set(broken(Books(**books), stuck=stuck)) == says


LOST, REJECTED = "no_acknowledged_order_lost", "few_accepted_orders_rejected"


@pytest.mark.parametrize(
    ("states", "said"), [({}, [LOST]), ({ORDER: "rejected"}, [LOST, REJECTED])]
)
def test_a_lost_order_is_named(world, states, said):
    """Acknowledged and missing, or confirmed and taken back."""
    one = world.journey(1021, order_id=ORDER, order_state="CONFIRMED")

    assert broken(Books(states=states), [one]) == said


@pytest.mark.parametrize(("orders", "said"), [(100, []), (99, [REJECTED])])
def test_few_accepted_orders_are_rejected_later(world, orders, said):
    """Goods that are gone by then may cost one accepted order in a hundred."""
    ids = [f"{ORDER[:-3]}{n:03d}" for n in range(orders)]
    them = [world.journey(1021, order_id=one, order_state="ACCEPTED") for one in ids]
    states = dict.fromkeys(ids, "confirmed") | {ids[0]: "rejected"}

    assert broken(Books(states=states), them) == said
