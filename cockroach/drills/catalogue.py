"""Every drill there is, whether it can be had here, and the way to run one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from opentelemetry import trace

from cockroach.drills import cluster
from cockroach.drills import run as own
from cockroach.drills.errors import DrillUnavailableError
from cockroach.drills.plan import Plan
from cockroach.drills.run import DRILLS, Progress
from cockroach.drills.targets import Target

TITLES: Mapping[str, str] = MappingProxyType(
    {name: drill.title for name, drill in DRILLS.items()} | cluster.TITLES
)


def unavailable(name: str, environ: Mapping[str, str]) -> str | None:
    """Say why a drill cannot be had here; None when it can."""
    if name in cluster.TITLES:
        return cluster.unavailable(name, environ)
    return None


def catalogue(
    targets: Mapping[str, Target], environ: Mapping[str, str]
) -> list[dict[str, Any]]:
    """List the drills that the targets speak of, as plain JSON values."""
    return [
        {
            "name": name,
            "title": TITLES[name],
            "solution": target.solution,
            "owner": target.owner,
            "cost": target.cost,
            "rehearse_every_days": target.rehearse_every_days,
            "target_rpo_s": target.rpo_s,
            "target_rto_s": target.rto_s,
            "time_scale": target.time_scale,
            "in_use": target.in_use,
            "faults": own.faults_of(name),
            "reason": unavailable(name, environ),
        }
        for name, target in targets.items()
        if name in TITLES
    ]


def run(
    name: str,
    *,
    target: Target,
    plan: Plan,
    folder: Path,
    tracer: trace.Tracer,
    environ: Mapping[str, str],
    progress: Progress,
) -> dict[str, Any]:
    """Run a drill by name. Raises DrillUnavailableError where it cannot be had."""
    if reason := unavailable(name, environ):
        raise DrillUnavailableError(f"{name}: {reason}")
    if name in DRILLS:
        return own.run(
            name,
            target=target,
            plan=plan,
            folder=folder,
            tracer=tracer,
            progress=progress,
        )
    return cluster.run(
        name, target=target, plan=plan, folder=folder, tracer=tracer, environ=environ
    )
