"""One experiment with several seeds: which runs, what they say together.

Every run is played on a lab of its own, and judged by itself; the pooled checks come on
top of the runs' own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from chaos import pooled, ranges
from lab import tables
from lab.watched import Turn

Judged = Mapping[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

MOST = 20


def repeat_option(command: F) -> F:
    """Add `--repeat N`: the same with N seeds, one after the other."""
    return click.option(
        "--repeat",
        type=click.IntRange(1, MOST),
        default=1,
        show_default=True,
        metavar="N",
        help="Play it with N seeds, each on a new lab, and judge the cured runs "
        f"pooled, too, when there are {pooled.LEAST_RUNS} of them.",
    )(command)


def turns(name: str, profiles: Sequence[str], *, seed: int, repeat: int) -> list[Turn]:
    """Give the runs in the order in which they are played: seed by seed."""
    runs = [(n, profile) for n in range(seed, seed + repeat) for profile in profiles]
    return [
        Turn(
            experiment=name,
            profile=profile,
            seed=n,
            place=place,
            of=len(runs),
            seeds=repeat,
        )
        for place, (n, profile) in enumerate(runs, 1)
    ]


def play(
    planned: Sequence[Turn], run: Callable[[Turn], Judged], *, console: Console
) -> list[Judged]:
    """Play all runs. Cut short, it says what was judged so far, and raises on."""
    judged: list[Judged] = []
    try:
        for turn in planned:
            judged.append(run(turn))
            if turn.seeds > 1:
                tables.outcome(console, judged[-1])
    except BaseException:
        # A terminal that is gone must not hide why it ends.
        with contextlib.suppress(OSError):
            if judged:
                console.print(f"{len(judged)} of {len(planned)} runs were judged:")
            for one in judged:
                tables.outcome(console, one)
        raise
    return judged


def several(judged: Iterable[Judged]) -> bool:
    """Whether there is more than one seed."""
    return len({int(one["seed"]) for one in judged}) > 1


def summary(judged: Sequence[Judged]) -> dict[str, Any]:
    """Sum up the valid runs, for `repeat` in the JSON. Raises OSError, ValueError."""
    valid = [one for one in judged if one["valid"]]
    by_profile = {
        profile: [one for one in valid if one["profile"] == profile]
        for profile in dict.fromkeys(one["profile"] for one in judged)
    }
    cured = by_profile.get("cured", [])
    return {
        "seeds": list(dict.fromkeys(int(one["seed"]) for one in judged)),
        "valid_runs": {profile: len(runs) for profile, runs in by_profile.items()},
        "profiles": {profile: ranges.of(runs) for profile, runs in by_profile.items()},
        "pooled": pooled.judge([pooled.read(Path(one["run_dir"])) for one in cured])
        if cured
        else None,
    }


def verdict_of(document: Mapping[str, Any], summed: Mapping[str, Any]) -> str | None:
    """Give the verdict of the whole: that of its runs, and of the pooled checks."""
    verdict: str | None = document["verdict"]
    pool = summed["pooled"] or {}
    return "fail" if verdict == "pass" and pool.get("verdict") == "fail" else verdict


def tell(console: Console, judged: Sequence[Judged], summed: Mapping[str, Any]) -> None:
    """Print every run's verdict, the ranges, and what the runs say together."""
    for one in judged:
        tables.outcome(console, one)
    tables.ranges(console, summed["profiles"], summed["valid_runs"])
    pool = summed["pooled"]
    if pool is None:
        return
    if pool["checks"]:
        title = f"{pool['runs']} cured runs together"
        tables.checks(console, "cured", pool["checks"], title=title)
        return
    console.print(
        f"{pool['runs']} cured runs together, not judged below {pool['least_runs']}:"
    )
    for group, found in pool["groups"].items():
        tables.pool(console, group, found)
