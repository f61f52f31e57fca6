"""Lines of a run's progress, and consoles that remember what they were given."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from chaos import pooled
from chaos.checks import Check
from lab.watched import Turn, Watched

START_S = 5000.0
BREAKER = "database@eu"


def beat(at_s, *, p95=80.0, standing=(), phase="fault", **given):
    """One line as an experiment writes it once a second."""
    return {
        "time_s": START_S + at_s,
        "phase": phase,
        "text": "in force",
        "at_s": at_s,
        "of_s": 50.0,
        "fault_at_s": 20.0,
        "fault_until_s": 40.0,
        "ended": int(50 * at_s),
        "planned_rps": 50.0,
        "ended_rps": 48,
        "success_ratio": 0.861,
        "degraded_ratio": 0.12,
        "p50_ms": 17.0,
        "p95_ms": p95,
        "seconds": [{"at_s": int(at_s) - 1, "ended": 48, "p50_ms": 9, "p95_ms": p95}],
        "slo": {"success_ratio": 0.995, "p95_ms": 750},
        "breakers": {
            "answers": True,
            "not_closed": list(standing),
            "opened": {BREAKER: {"times": 3, "processes": 2}},
        },
        **given,
    }


def standing(process="catalog-eu-a", state="open", since_s=START_S + 21):
    return {
        "process": process,
        "breaker": BREAKER,
        "state": state,
        "since_s": since_s,
        "reason": "slow_rate",
        "opened": 2,
    }


@pytest.fixture
def made():
    """Makers of what an experiment writes: `beat`, `standing`; `start_s`."""
    return SimpleNamespace(beat=beat, standing=standing, start_s=START_S)


@pytest.fixture
def turn():
    return Turn(experiment="slow-database", profile="cured", seed=7, place=2, of=2)


@pytest.fixture
def heard():
    """A run as it is known after some lines."""

    def fold(*lines):
        watched = Watched()
        for line in lines:
            watched = watched.heard(line)
        return watched

    return fold


@pytest.fixture
def terminal():
    """A terminal of a size; `file` has what was written to it."""

    def made(width=80, height=24, **given):
        given = {"force_terminal": True, "color_system": "standard", **given}
        return Console(
            file=given.pop("file", io.StringIO()),
            width=width,
            height=height,
            highlight=False,
            _environ={"TERM": given.pop("term", "xterm"), **given.pop("environ", {})},
            **given,
        )

    return made


def _judged(seed, profile, *, said="pass", failing=(), **given):
    """One judged run, as small as it can be."""
    block = {"success_ratio": 1.0, "degraded_ratio": 0.1, "p95_ms": 100.0 + seed}
    check = Check(name="goodput", passed=True, observed=1, expected="1")
    return {
        "profile": profile,
        "seed": seed,
        "valid": said is not None,
        "invalid_reasons": [] if said else ["the machine stalled"],
        "verdict": said,
        **block,
        "recovery_s": 0.0,
        "groups": {"affected": {"during": block}, "others": {"during": block}},
        "checks": [
            check.to_json(),
            *({**check.to_json(), "name": name, "passed": False} for name in failing),
        ],
        "invariants": [],
        "run_dir": f"runs/{seed}-{profile}",
        **given,
    }


def _runs(count, **given):
    return [
        _judged(seed, profile, **given)
        for seed in range(7, 7 + count)
        for profile in ("sick", "cured")
    ]


@pytest.fixture
def judged():
    return _judged


@pytest.fixture
def runs():
    """Judged runs of so many seeds, sick and cured."""
    return _runs


def _sample(seed, failures):
    """Four hundred journeys of one run; those that failed are of the seed 7."""

    def one(n, home):
        failed = home == "eu" and n < failures and seed == 7
        return pooled.Journey(
            journey="browse",
            home=home,
            dialled=home,
            away=False,
            intended_s=0,
            sent_s=0,
            done_s=1,
            latency_ms=10,
            code="OK",
            outcome="failure" if failed else "success",
        )

    return pooled.Sample(
        seed=seed,
        region="eu",
        slo={
            "success_ratio": 0.995,
            "pooled_success_ratio": 0.999,
            "p95_ms": 750,
            "max_stale_ms": 30_000,
        },
        journeys=[one(n, home) for n in range(200) for home in ("eu", "us")],
    )


@pytest.fixture
def pool(monkeypatch):
    """Runs' journeys without their files: a thousand, some of them failed."""

    def planted(failures=0):
        def read(run_dir):
            seed = int(run_dir.name.partition("-")[0])
            return _sample(seed, failures)

        monkeypatch.setattr(pooled, "read", read)

    planted()
    return planted
