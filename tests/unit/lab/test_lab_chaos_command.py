"""`seawall chaos` on the command line: what it lists, and what it refuses and why."""

import json
from types import SimpleNamespace

import pytest

from cockroach.urls import parse
from lab import cli, experiments, state
from lab.commands import chaos, cockroach
from lab.results import Exit, Result

NOBODY = "postgresql://shop@127.0.0.1:1/shop"
ON_LINKS = {
    "add-capacity",
    "contract-prices",
    "pool-exhaustion",
    "slow-database",
    "slow-gateway",
    "wrong-gateway",
}


class Asked:
    """Stands in for the questions to a database: it knows its kind."""

    def __init__(self, flavour):
        self.askers = [SimpleNamespace(flavour=flavour)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.fixture
def seawall(monkeypatch, tmp_path, capsys):
    """The command in a folder without a lab, which starts none."""
    monkeypatch.setenv("SEAWALL_LAB", str(tmp_path / "lab.json"))
    monkeypatch.delenv(cockroach.URL_VARIABLE, raising=False)

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
    """By name and title, and with what it needs of the database, if anything."""
    code, told = seawall("chaos", "list", "--json", "-")
    rows = {row["name"]: row for row in json.loads(told.out)["results"]}

    assert Exit.PASS == code
    assert {"add-capacity", "hot-key", "slow-database", "wrong-gateway"} <= set(rows)
    assert all(row["title"] for row in rows.values())
    assert {"range-split": "cockroach", **dict.fromkeys(ON_LINKS, "links")} == {
        name: row["needs"] for name, row in rows.items() if row["needs"]
    }


@pytest.mark.parametrize("profile", ["sick", "cured", "both"])
def test_range_split_is_refused_without_its_database(seawall, profile):
    """Exit 2 with the reason, before anything is started."""
    code, told = seawall("chaos", "run", "range-split", "--profile", profile)

    assert Exit.USAGE == code
    assert "needs cockroach" in told.err
    assert "--database URL" in told.err


@pytest.mark.parametrize("flavour", ["postgres", "cockroach"])
def test_range_split_asks_a_given_database_what_it_is(seawall, monkeypatch, flavour):
    """A PostgreSQL is refused with the reason; a CockroachDB is let through."""
    played = []
    monkeypatch.setattr(chaos, "Asking", lambda url: Asked(flavour))

    def play(*_, config, **__):
        played.append(config.database)
        return Result(command="chaos run")

    monkeypatch.setattr(experiments, "sick_and_cured", play)
    code, told = seawall("chaos", "run", "range-split", "--database", NOBODY)

    if flavour == "cockroach":
        assert (Exit.PASS, [parse(NOBODY)]) == (code, played)
        return
    assert (Exit.USAGE, []) == (code, played)
    assert "needs cockroach, and the lab's database is postgres" in told.err


@pytest.mark.parametrize("name", sorted(ON_LINKS))
@pytest.mark.parametrize("profile", ["cured", "both"])
def test_what_is_on_links_is_refused_on_a_given_database(seawall, name, profile):
    """Exit 2 with the reason; the database is not even asked: nobody is there."""
    code, told = seawall(
        "chaos", "run", name, "--profile", profile, "--database", NOBODY
    )

    assert Exit.USAGE == code
    assert f"{name} needs links" in told.err
    assert "a database given by URL" in told.err


@pytest.mark.parametrize("profile", ["cured", "both"])
def test_a_given_database_is_what_the_lab_is_started_on(seawall, monkeypatch, profile):
    """Any other experiment gets a lab on that database, which it may migrate."""
    configs = []

    def on_it(turn, *, config, **_):
        configs.append(config)
        raise state.LabRunningError(config.folder, "enough seen")

    monkeypatch.setattr(experiments, "_on_a_new_lab", on_it)
    code, told = seawall(
        *("chaos", "run", "chatty-checkout", "--profile", profile),
        *("--database", NOBODY, "--migrate"),
    )

    assert Exit.USAGE == code
    assert "enough seen" in told.err
    assert [(parse(NOBODY), True)] == [(one.database, one.migrate) for one in configs]


def test_a_database_and_a_lab_that_runs_exclude_each_other(seawall, monkeypatch):
    """The lab has its database already, unless the URL is only in the environment."""
    ran = []

    def play(name, *_, **__):
        ran.append(name)
        return Result(command="chaos run")

    monkeypatch.setattr(experiments, "one_profile", play)
    command = ("chaos", "run", "chatty-checkout", "--profile", "sick")
    with state.owned(state.default_folder()):
        code, told = seawall(*command, "--database", NOBODY)
        assert (Exit.USAGE, []) == (code, ran)
        assert "it has its database already" in told.err

        monkeypatch.setenv(cockroach.URL_VARIABLE, NOBODY)
        code, _ = seawall(*command)
        assert (Exit.PASS, ["chatty-checkout"]) == (code, ran)


def test_migrate_is_for_a_given_database(seawall):
    """The embedded one is always of the newest schema."""
    code, told = seawall("chaos", "run", "hot-key", "--migrate")

    assert Exit.USAGE == code
    assert "--migrate needs --database" in told.err


def test_an_unknown_experiment_is_refused_with_the_known_ones(seawall):
    """A slip of the pen is answered with what there is."""
    code, told = seawall("chaos", "run", "slow-databse")

    assert Exit.USAGE == code
    assert "slow-database" in told.err
