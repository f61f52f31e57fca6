"""What a run was played on, and the command that plays it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lab.report.stored import PROFILES, Run
from lab.report.validity import busy_percent

UNKNOWN = "not written down"
# These follow from the command's own options.
_OPTIONS = ("seed", "profile", "run_dir")


def command(runs: Sequence[Run]) -> str:
    """Give the exact command for runs like these, with what its environment said."""
    run = runs[0]
    profiles = [one.profile for one in runs]
    both = len(runs) == 2 and sorted(profiles) == sorted(PROFILES)
    words = [
        *(f"{name}={shlex.quote(value)}" for name, value in overridden(run).items()),
        *("seawall", "chaos", "run", shlex.quote(run.scenario)),
        *("--profile", "both" if both else run.profile),
        *("--seed", str(run.seed)),
    ]
    return " ".join(words)


def overridden(run: Run) -> dict[str, str]:
    """Give the environment's variables that made this run differ from its file."""
    experiment = run.journal.get("experiment") or {}
    found = {}
    for name, given in (experiment.get("configuration") or {}).items():
        if not isinstance(given, dict) or given.get("type") != "env":
            continue
        value = run.settings.get(name)
        if name in _OPTIONS or value is None or value == given.get("default"):
            continue
        found[str(given["key"])] = f"{value:g}" if _is_number(value) else str(value)
    return found


def environment(run: Run) -> list[tuple[str, str]]:
    """Give the machine and the packages, one row a fact."""
    known: Mapping[str, Any] = run.document.get("environment") or {}
    packages: Mapping[str, Any] = known.get("packages") or {}
    rows = [
        ("Python", _text(known, "implementation", "python")),
        ("platform", str(known.get("platform") or run.journal.get("platform") or "")),
        ("CPUs", _text(known, "cpus")),
        ("memory", f"{known['memory_mb']} MB" if known.get("memory_mb") else ""),
        *((name, str(version)) for name, version in packages.items() if version),
        ("busy before the fault", _percent(run, "baseline_s", "injecting_s")),
        ("busy in the fault", _percent(run, "in_force_s", "removing_s")),
        ("busy after the fault", _percent(run, "gone_s", "end_s")),
    ]
    if not packages:
        rows.append(("packages", ""))
    unknown = ", ".join(name for name, value in rows if not value)
    known_rows = [(name, value) for name, value in rows if value]
    return [*known_rows, (UNKNOWN, unknown)] if unknown else known_rows


def remarks(runs: Sequence[Run]) -> list[str]:
    """Say what the command alone does not."""
    found = []
    for run in runs:
        was = run.told.get("lab_profile") or run.document.get("lab_profile")
        if was and was != run.profile:
            found.append(
                f"{run.label}: judged as {run.profile}, played on a lab whose cures "
                f"were {was}; which ones is not written down"
            )
    return found


def _text(known: Mapping[str, Any], *keys: str) -> str:
    return " ".join(str(known[key]) for key in keys if known.get(key) is not None)


def _percent(run: Run, since: str, until: str) -> str:
    value = busy_percent(run, since, until)
    return "" if value is None else f"{value:g} %"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
