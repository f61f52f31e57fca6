"""`seawall report`: what is chosen, what is written, how it ends."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from lab import cli, experiments, files
from lab.report import making


@pytest.fixture
def seawall(runs, monkeypatch, capsys):
    """The command as a user calls it: exit code, standard output, standard error."""
    monkeypatch.setenv("SEAWALL_LAB", str(runs.parent / "lab.json"))
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["seawall", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def test_the_newest_runs_are_reported(both, runs, seawall):
    """Without arguments: sick and cured, into a folder beside the runs."""
    code, out, _ = seawall("report")
    folder = runs.parent / "reports" / "20260101-000100-slow-database"

    assert 0 == code
    assert f"report: {folder / 'report.html'}" in out
    assert ["report.html", "report.json", "report.md"] == sorted(
        path.name for path in folder.iterdir()
    )


def test_made_again_it_takes_the_same_place(both, runs, seawall):
    """The same runs have one report, however often it is made."""
    seawall("report")
    seawall("report")

    assert 1 == len(list((runs.parent / "reports").iterdir()))


def test_json_is_one_object_with_the_paths(both, tmp_path, seawall):
    """The shape of every command, and where the files are."""
    code, out, _ = seawall("report", "--out", tmp_path / "here", "--json", "-")
    told = json.loads(out)

    assert 0 == code
    assert ("seawall/1", "report", True, "pass") == (
        told["schema"],
        told["command"],
        told["valid"],
        told["verdict"],
    )
    assert {"html", "markdown", "json"} == set(told["report"])
    assert all(Path(path).is_file() for path in told["report"].values())


def test_a_failed_run_is_reported_with_exit_zero(run, tmp_path, seawall):
    """The report was made; what it says stands in it."""
    folder = run("cured", valid=True, invalid_reasons=[], verdict="fail")
    code, _, _ = seawall("report", folder, "--out", tmp_path / "here")

    assert 0 == code
    assert "FAIL" in (tmp_path / "here" / "report.md").read_text()


def test_two_of_one_profile_are_compared(run, runs, passed, seawall):
    """By two arguments, by --compare with a run, and by --compare with the newest."""
    first = run("cured", name="20260101-000000-slow-database-cured", **passed)
    second = run("cured", name="20260101-000300-slow-database-cured", **passed)
    for arguments in ((first, second), (second, "--compare", first)):
        code, out, _ = seawall("report", *arguments)
        assert 0 == code
        assert "20260101-000300-slow-database-cured-compared/report.html" in out
        assert f"of {first.name}, {second.name}" in out
    assert 0 == seawall("report", "--compare", first)[0]


@pytest.mark.parametrize("content", ["{", "[1]", '{"profile": "sick", "checks": [{}]}'])
def test_a_broken_verdict_is_a_message(run, tmp_path, seawall, content):
    """No traceback, no file, exit code 2."""
    folder = run("sick")
    (folder / "verdict.json").write_text(content)
    code, _, err = seawall("report", folder, "--out", tmp_path / "here")

    assert 2 == code
    assert "Error: " in err
    assert "Traceback" not in err
    assert not (tmp_path / "here").exists()


def test_usage_and_environment_exit_with_two(both, runs, tmp_path, seawall):
    """No runs, no folder, no verdict, too many runs, runs that cannot be compared."""
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ((tmp_path / "nowhere",), "is no folder of a run"),
        ((tmp_path / "empty",), "holds no verdict.json"),
        ((*both, both[0]), "these are 3"),
        ((both[0], "--compare", both[1]), "runs of one profile"),
        (("--compare", both[0]), "no other stored sick run"),
        ((both[0], "--out", both[0] / "verdict.json"), "exists"),
        ((both[0], "--out", both[0] / "verdict.json" / "below"), "verdict.json"),
    ):
        code, _, err = seawall("report", *arguments)
        assert (2, True) == (code, said in " ".join(err.split())), (arguments, err)


def test_without_stored_runs_it_says_what_leaves_some(seawall):
    """The message names the commands."""
    code, _, err = seawall("report")

    assert 2 == code
    assert "seawall demo" in err


def test_a_full_disk_leaves_the_old_report(both, tmp_path, seawall, monkeypatch):
    """All files are new, or all are the old ones; nothing half lies about."""
    out = tmp_path / "here"
    seawall("report", "--out", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    real = files.os.fdopen
    written = []

    def full(handle, *mode, **given):
        if len(written) == 2:
            os.close(handle)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(handle)
        return real(handle, *mode, **given)

    monkeypatch.setattr(files.os, "fdopen", full)
    code, _, err = seawall("report", both[0], "--out", out)
    assert (2, True) == (code, "No space left" in err)
    written.clear()
    assert 2 == seawall("report", "--out", tmp_path / "new" / "deep")[0]

    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    assert not (tmp_path / "new").exists()


def told(folder):
    return json.loads((folder / "verdict.json").read_text())


def tell(judged):
    out = io.StringIO()
    console = Console(file=out, width=160)
    result = experiments._tell(
        "slow-database", list(judged.values()), console=console, command="chaos run"
    )
    return result, out.getvalue()


def test_an_experiment_ends_with_its_report(both, runs):
    """One line with the path, and the paths in the object."""
    sick, cured = both
    result, said = tell({"sick": told(sick), "cured": told(cured)})
    lines = [line for line in said.splitlines() if line.startswith("report: ")]

    assert [f"report: {result.document()['report']['html']}"] == lines
    assert (runs.parent / "reports") in Path(lines[0].removeprefix("report: ")).parents


def test_a_report_that_fails_changes_no_exit_code(both, monkeypatch):
    """A warning is printed, and the verdict stands."""

    def broken(*_args, **_given):
        raise RuntimeError("ink is out")

    monkeypatch.setattr(making.page, "render", broken)
    result, said = tell({"cured": told(both[1])})

    assert 0 == result.exit_code
    assert re.search("warning: no report: .*ink is out", said)


def test_a_run_that_left_no_verdict_is_a_warning(runs):
    """The experiment's process died: the verdict is invalid, with or without report."""
    runs.mkdir(parents=True)
    judged = {
        "profile": "sick",
        "seed": 7,
        "valid": False,
        "invalid_reasons": ["the experiment's process died"],
        "verdict": None,
        "run_dir": str(runs / "gone"),
    }
    result, said = tell({"sick": judged})

    assert 3 == result.exit_code
    assert "warning: no report" in said


def test_of_several_seeds_the_first_that_did_not_pass_is_reported():
    """A report is of one seed: the one that somebody has to look at."""
    judged = [
        {"seed": seed, "profile": profile, "verdict": verdict}
        for seed, verdict in ((7, "pass"), (8, "fail"), (9, None))
        for profile in ("sick", "cured")
    ]

    shown = experiments._worth_a_report(judged)
    good = experiments._worth_a_report(judged[:2])

    assert [one["seed"] for one in shown] == [8, 8]
    assert good == judged[:2]
    assert experiments._worth_a_report([]) == []
