"""`python -m load`: plays a plan in a process of its own; exits 0, or 2 with why."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from load.arrivals import schedule
from load.generator import Generator, NoStorefrontError
from load.heartbeat import Heart
from load.plan import Plan, PlanError
from load.records import Record
from observability import tracing

PRIORITY = -10


def _die_with_parent() -> None:
    """Leave at once when the one who started us is gone: its pipe ends."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _ask_for_priority() -> None:
    """Stand before the system under test, as a machine of our own would.

    Granted to root only; without it a busy machine makes journeys late, and the
    summary says so. Niceness alone does not do it: Linux weighs whole sessions
    against each other first. Threads made later inherit the class, so this comes
    before gRPC has any.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


def play(plan: Plan, results: Path, summary: Path) -> None:
    """Play the plan and write both files. Raises NoStorefrontError, OSError."""
    heart = Heart()
    felt = {}
    environ = dict(os.environ)
    if plan.otlp:
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = plan.otlp
    telemetry = tracing.setup(
        service="load",
        region="",
        zone="",
        instance="load",
        environ=environ,
        profile=plan.profile,
    )
    try:
        with results.open("w", buffering=1) as lines:

            def sink(record: Record) -> None:
                lines.write(record.to_json() + "\n")

            generator = Generator(
                plan, schedule(plan), tracer=telemetry.tracer, sink=sink
            )
            asyncio.run(generator.run())
    finally:
        felt = heart.stop()
        counts = telemetry.shutdown()
    document = {
        **asdict(generator.tally),
        "start_at": plan.start_at,
        "duration_s": plan.duration_s,
        "seed": plan.seed,
        "stalls": felt.get("stalls"),
        "busy": felt.get("busy"),
        "spans": asdict(counts),
    }
    unfinished = summary.with_suffix(".part")
    unfinished.write_text(json.dumps(document, indent=2))
    unfinished.replace(summary)


def main() -> int:
    """Parse the command line and play. Exit code 0, 2 for what cannot be played."""
    parser = argparse.ArgumentParser(prog="python -m load", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True, help="JSON lines")
    parser.add_argument("--summary", type=Path, required=True, help="JSON")
    parser.add_argument(
        "--leash",
        action="store_true",
        help="leave when standard input ends, for the one who starts this",
    )
    options = parser.parse_args()
    if options.leash:
        _die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    _ask_for_priority()
    try:
        play(Plan.load(options.plan), options.results, options.summary)
    except (PlanError, NoStorefrontError, OSError) as error:
        sys.stderr.write(f"load: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
