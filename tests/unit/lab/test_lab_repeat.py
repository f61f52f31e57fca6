"""Several seeds: their order, what is said of them, and the exit code of the whole."""

import io

import pytest
from rich.console import Console

from chaos import verdict
from lab import experiments, repeat
from lab.results import Exit


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=160, highlight=False)


def tell(found, console):
    return experiments._tell("slow-database", found, console=console, command="demo")


def test_runs_go_seed_by_seed():
    """Sick and cured of one seed follow each other, and each knows its place."""
    turns = repeat.turns("slow-database", ["sick", "cured"], seed=7, repeat=2)

    assert [(7, "sick"), (7, "cured"), (8, "sick"), (8, "cured")] == [
        (turn.seed, turn.profile) for turn in turns
    ]
    assert [(1, 4), (2, 4), (3, 4), (4, 4)] == [(t.place, t.of) for t in turns]
    assert "seed 7 sick" == turns[0].title


def test_one_seed_is_told_as_before(console, pool, runs):
    """No ranges of one run, and nothing new in the object."""
    found = [{**one, "during": {}, "before": {}, "after": {}} for one in runs(1)]
    document = tell(found, console).document()

    assert "repeat" not in document
    assert 1 == len(document["results"])
    assert "median" not in console.file.getvalue()


def test_several_seeds_have_ranges_and_a_pool(console, pool, runs):
    """One result a seed, and the whole under `repeat`."""
    result = tell(runs(5), console)
    document = result.document()
    told = document["repeat"]

    assert [7, 8, 9, 10, 11] == [one["seed"] for one in document["results"]]
    assert [7, 8, 9, 10, 11] == told["seeds"]
    assert {"sick": 5, "cured": 5} == told["valid_runs"]
    assert {"median": 109, "min": 107, "max": 111} == told["profiles"]["sick"]["p95_ms"]
    assert ("pass", 1000) == (
        told["pooled"]["verdict"],
        told["pooled"]["groups"]["affected"]["journeys"],
    )
    assert Exit.PASS == result.exit_code
    text = console.file.getvalue()
    assert "109 (107 to 111)" in text
    assert "seed 11 cured: pass" in text
    assert "pooled_success_affected" in text


def test_a_pool_that_fails_fails_the_whole(console, pool, runs):
    """Although every run passed by itself; the check is named."""
    pool(failures=2)
    result = tell(runs(5), console)

    assert Exit.FAIL == result.exit_code
    (check,) = [
        one for one in result.extra["repeat"]["pooled"]["checks"] if not one["passed"]
    ]
    assert "pooled_success_affected" == check["name"]
    assert "failed: 2 with seed 7" in console.file.getvalue()


def test_a_pool_of_few_runs_decides_nothing(console, pool, runs):
    """Below five runs it is shown."""
    pool(failures=50)
    result = tell(runs(4), console)

    assert Exit.PASS == result.exit_code
    assert "not judged below 5" in console.file.getvalue()


@pytest.mark.parametrize(
    ("said", "code"), [("fail", Exit.FAIL), (None, Exit.INVALID), ("pass", Exit.PASS)]
)
def test_one_run_decides_for_all(console, pool, said, code, judged, runs):
    """Any failed run fails the whole, any invalid one makes it invalid."""
    found = runs(5)
    found[4] = judged(
        9, "sick", said=said, failing=["chatty"] if said == "fail" else []
    )
    result = tell(found, console)

    assert code == result.exit_code
    if said == "fail":
        assert "seed 9 sick: fail: chatty" in console.file.getvalue()
    if said is None:
        assert "seed 9 sick: invalid: the machine stalled" in console.file.getvalue()
        assert 4 == result.extra["repeat"]["valid_runs"]["sick"]


def test_an_invalid_cured_run_is_not_pooled(console, pool, judged, runs):
    """What proves nothing adds nothing."""
    found = runs(6)
    found[1] = judged(7, "cured", said=None)
    told = tell(found, console).extra["repeat"]

    assert [8, 9, 10, 11, 12] == told["pooled"]["seeds"]


def test_sick_alone_has_no_pool(console, pool, runs):
    """Only cured runs have an SLO to prove."""
    found = [one for one in runs(5) if one["profile"] == "sick"]
    result = tell(found, console)

    assert result.extra["repeat"]["pooled"] is None
    assert Exit.PASS == result.exit_code


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_cut_short_it_says_what_was_judged(console, error, judged):
    """Ctrl-C in the third run: the first two are told, and it goes on up."""
    turns = repeat.turns("slow-database", ["sick", "cured"], seed=7, repeat=2)

    def play(turn):
        if turn.place == 3:
            raise error
        return judged(turn.seed, turn.profile)

    with pytest.raises(error):
        repeat.play(turns, play, console=console)

    told = console.file.getvalue().splitlines()
    assert ["2 of 4 runs were judged:", "seed 7 sick: pass", "seed 7 cured: pass"] == (
        told[-3:]
    )


def test_cut_short_before_the_first_it_says_nothing(console):
    """A port that is taken is told by its own message."""
    turns = repeat.turns("slow-database", ["sick"], seed=7, repeat=1)

    def play(turn):
        raise OSError

    with pytest.raises(OSError):
        repeat.play(turns, play, console=console)

    assert "" == console.file.getvalue()


def test_the_command_keeps_all_its_own_runs(tmp_path):
    """Older ones go, down to ten."""
    for n in range(50):
        (tmp_path / f"{n:03d}").mkdir()
    experiments._forget_old(tmp_path, keep=40)
    assert 40 == len(list(tmp_path.iterdir()))

    experiments._forget_old(tmp_path, keep=2)

    kept = sorted(one.name for one in tmp_path.iterdir())
    assert [f"{n:03d}" for n in range(40, 50)] == kept


def test_the_document_has_one_result_a_seed(runs):
    """As every command that runs experiments has it."""
    document = verdict.document("demo", "slow-database", runs(3))

    assert [["sick", "cured"]] * 3 == [
        list(one["profiles"]) for one in document["results"]
    ]
