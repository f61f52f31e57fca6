"""The steps of an experiment as Chaos Toolkit calls them: plain functions of JSON.

A step that cannot be done ends the run at once, with its rollbacks: Chaos Toolkit
would note the failure and go on with the next step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from chaoslib.exit import exit_gracefully

from chaos import lab_state, preflight, session
from chaos.session import HaltedError, Session

__all__ = [
    "begin",
    "check_books",
    "close",
    "hold",
    "inject_latency",
    "lab_is_ready",
    "prove_gone",
    "prove_in_force",
    "raise_load",
    "recover",
    "remove",
    "start_scaler",
    "steady_state",
    "verdict_is_good",
]

P = ParamSpec("P")
T = TypeVar("T")

# Chaos Toolkit has no place for what lives from one activity to the next.
_current: dict[str, Session] = {}


def _step(function: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if "run" in _current:
                kind = type(error).__name__
                why = str(error)
                _current["run"].abort(
                    why if isinstance(error, HaltedError) else f"{kind}: {why}"
                )
            exit_gracefully()
            raise

    return guarded


def _run() -> Session:
    if "run" not in _current:
        raise HaltedError("the run was not begun")
    return _current["run"]


def lab_is_ready(configuration: dict[str, Any] | None = None) -> bool:
    """Whether every service serves, on a database that fits. Raises why not."""
    if "run" not in _current:
        lab = lab_state.load()
        preflight.database(lab, str((configuration or {}).get("needs") or ""))
        preflight.check(lab)
    return True


@_step
def begin(configuration: dict[str, Any]) -> str:
    """Take the lab, start the load, wait until pools and caches are filled."""
    _current["run"] = session.begin(configuration)
    _run().open()
    _run().until_baseline()
    return str(_run().files.folder)


@_step
def steady_state() -> bool:
    """Wait for the baseline, and go on only from a steady state."""
    _run().baseline()
    return True


@_step
def inject_latency(region: str, latency_ms: int, jitter_ms: int = 0) -> bool:
    """Make a region's database answer late."""
    _run().inject_latency(region, int(latency_ms), int(jitter_ms))
    return True


@_step
def raise_load() -> bool:
    """Let the peak of the load begin."""
    _run().begin_phase()
    return True


@_step
def start_scaler() -> bool:
    """Let the scaler look and act."""
    _run().begin_phase()
    return True


@_step
def prove_in_force() -> bool:
    """Measure that the fault bites, and go on only if it does."""
    _run().prove_in_force()
    return True


@_step
def hold() -> bool:
    """Wait out the fault, halting when the experiment's halt condition is met."""
    _run().hold()
    return True


@_step
def remove() -> bool:
    """Take the fault off."""
    _run().remove()
    return True


@_step
def prove_gone() -> bool:
    """Measure that the fault is gone."""
    _run().prove_gone()
    return True


@_step
def recover() -> bool:
    """Wait for the end of the load."""
    _run().recover()
    return True


@_step
def check_books() -> bool:
    """Ask the data what must hold whatever was done."""
    _run().check_books()
    return True


def verdict_is_good() -> bool:
    """Whether the run is valid and passes; true as long as nothing was run."""
    if "run" not in _current:
        return True
    return bool(_run().judge()["verdict"] == "pass")


def close() -> bool:
    """Take everything off and leave a verdict, however the run ended."""
    run = _current.pop("run", None)
    if run is not None:
        run.close()
    return True
