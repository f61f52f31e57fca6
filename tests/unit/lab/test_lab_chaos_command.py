"""`seawall chaos` on the command line: what it lists, and what it refuses and why."""

import json

import pytest

from lab import cli, experiments
from lab.results import Exit


@pytest.fixture
def seawall(monkeypatch, tmp_path, capsys):
    """The command in a folder without a lab, which starts none."""
    monkeypatch.setenv("SEAWALL_LAB", str(tmp_path / "lab.json"))

    def never(*_, **__):
        pytest.fail("a lab was started")

    monkeypatch.setattr(experiments, "_on_a_new_lab", never)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["seawall", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr()

    return run


def test_every_experiment_is_listed(seawall):
    """By name and title, and with the database that it needs, if it needs one."""
    code, told = seawall("chaos", "list", "--json", "-")
    rows = {row["name"]: row for row in json.loads(told.out)["results"]}

    assert Exit.PASS == code
    assert {"add-capacity", "hot-key", "slow-database", "wrong-gateway"} <= set(rows)
    assert all(row["title"] for row in rows.values())
    assert {"range-split": "cockroach"} == {
        name: row["needs"] for name, row in rows.items() if row["needs"]
    }


@pytest.mark.parametrize("profile", ["sick", "cured", "both"])
def test_range_split_is_refused_without_its_database(seawall, profile):
    """Exit 2 with the reason, before anything is started."""
    code, told = seawall("chaos", "run", "range-split", "--profile", profile)

    assert Exit.USAGE == code
    assert "needs cockroach" in told.err
    assert "seawall up --database" in told.err


def test_an_unknown_experiment_is_refused_with_the_known_ones(seawall):
    """A slip of the pen is answered with what there is."""
    code, told = seawall("chaos", "run", "slow-databse")

    assert Exit.USAGE == code
    assert "slow-database" in told.err
