"""A scaler counts as having been at work only if it looked, and until the end."""

import json
import time
from types import SimpleNamespace

import pytest
from chaoslib.configuration import load_configuration

from chaos import experiments
from chaos.scaling import LOG, Scaling
from chaos.settings import Settings


class NoLinks:
    """An engine without links: there is nothing to add to."""

    def list(self):
        return []

    def stats(self):
        return {}

    def close(self):
        pass


@pytest.fixture
def lists(tmp_path):
    for region in ("us", "eu"):
        path = tmp_path / f"database-{region}.json"
        path.write_text(json.dumps({"gateways": []}))
    return tmp_path


@pytest.fixture
def scaling(lists, monkeypatch):
    document = json.loads(experiments.find("add-capacity").read_text())
    given = load_configuration(document["configuration"])
    settings = Settings.from_configuration({**given, "profile": "sick"})
    lab = SimpleNamespace(
        toxiproxy="http://127.0.0.1:9",
        control="127.0.0.1:9",
        state_dir=lists,
        admin={"us": "", "eu": ""},
    )
    scaling = Scaling(lab, settings, lists)
    monkeypatch.setattr(scaling, "_control", NoLinks())
    monkeypatch.setattr(scaling, "_toxiproxy", SimpleNamespace(placed=list))
    scaling.prepare()
    yield scaling
    scaling.close()


def look(scaling, times, *, ago_s=0.0):
    """Let it have looked so often, the last time so long ago."""
    scaling._at_work.looks_s = [time.time() - ago_s] * times


@pytest.mark.parametrize(
    ("looks", "ago_s", "wrong"),
    [
        (15, 0.0, []),
        (3, 0.0, ["in_force"]),
        (15, 60.0, ["still_in_force"]),
        (0, 0.0, ["in_force", "still_in_force"]),
    ],
)
def test_it_has_to_have_looked(scaling, looks, ago_s, wrong):
    """Often enough, and shortly before its end: else the run proves nothing."""
    look(scaling, looks, ago_s=ago_s)
    scaling.prove_in_force("still_in_force")

    assert wrong == [name for name, one in scaling.proofs.items() if one["wrong"]]


def test_a_scaler_that_broke_was_not_at_work(scaling):
    """What it met is the reason that is told."""
    look(scaling, 15)
    scaling._at_work.error = "ControlError: gone"

    assert "ControlError: gone" in scaling.prove_in_force("still_in_force")
    assert scaling.proofs["in_force"]["wrong"] == ["ControlError: gone"]


def test_the_lists_are_taken_back_and_it_is_proved(scaling, lists):
    """What the services follow is as it was, whoever has written to it."""
    (lists / "database-eu.json").write_text("{}")
    scaling.remove()

    assert scaling.prove_gone() == []
    assert json.loads((lists / "database-eu.json").read_text()) == {"gateways": []}
    assert scaling.to_json() == {"state": "gone", "added": 0}


def test_its_decisions_are_written_beside_the_traces(scaling, lists):
    """The log is in the run's own folder, and there is one from the first look on."""
    scaling._at_work.look()

    assert (lists / LOG).exists()


def test_it_stops_when_it_is_told(scaling):
    """Nothing looks any more once the run has ended, however it ended."""
    scaling.begin()
    scaling.close()

    with pytest.raises(RuntimeError, match="not prepared"):
        scaling.begin()
