"""`--repeat` on the command line: exit codes, Ctrl-C, refusals, the JSON object."""

import json
import signal

import pytest

from lab import cli, experiments
from lab.results import Exit

HANDLED = (signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def seawall(monkeypatch, tmp_path, capsys, pool, judged):
    """The command without its labs: `play` is called for every run."""
    handlers = {number: signal.getsignal(number) for number in HANDLED}
    monkeypatch.setenv("SEAWALL_LAB", str(tmp_path / "lab.json"))

    def run(*arguments, play=None):
        def on_a_new_lab(turn, **_):
            return (play or (lambda turn: judged(turn.seed, turn.profile)))(turn)

        monkeypatch.setattr(experiments, "_on_a_new_lab", on_a_new_lab)
        monkeypatch.setattr("sys.argv", ["seawall", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("command", [("demo",), ("chaos", "run", "slow-database")])
def test_the_command_exits_by_all_its_runs(seawall, command, judged):
    """0 when all passed, 1 when one failed, 3 when one is invalid."""
    for said, code in (("pass", 0), ("fail", 1), (None, 3)):

        def play(turn, said=said):
            return judged(
                turn.seed, turn.profile, said=said if turn.place == 4 else "pass"
            )

        assert code == seawall(*command, "--repeat", "2", play=play)[0]


def test_ctrl_c_in_the_middle_exits_130_and_says_what_was_judged(seawall, judged):
    """The run that was cut short is not among them."""

    def play(turn):
        if turn.seed == 8:
            raise KeyboardInterrupt
        return judged(turn.seed, turn.profile)

    code, told = seawall("demo", "--repeat", "3", play=play)

    assert Exit.INTERRUPTED == code
    assert "2 of 6 runs were judged" in told.out
    assert "seed 7 cured: pass" in told.out
    assert "seed 8" not in told.out
    assert "interrupted" in told.err


@pytest.mark.parametrize("times", ["0", "21", "x"])
def test_too_few_and_too_many_are_refused(seawall, times):
    """One to twenty; a usage error says so."""
    code, told = seawall("demo", "--repeat", times)

    assert Exit.USAGE == code
    assert "--repeat" in told.err


def test_the_object_is_alone_on_standard_output(seawall):
    """With `--json -`, what a person reads goes to standard error."""
    code, told = seawall("demo", "--repeat", "5", "--json", "-")
    document = json.loads(told.out)

    assert (0, "pass") == (code, document["verdict"])
    assert [7, 8, 9, 10, 11] == document["repeat"]["seeds"]
    assert "pooled_success_affected" in told.err
    assert "\x1b" not in told.err
