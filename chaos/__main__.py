"""`python -m chaos`: experiments on a running lab, with an exit code to be trusted.

0 pass, 1 fail, 2 usage or environment, 3 invalid, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaos import experiments, lab_state, verdict
from chaos.case import Case
from chaos.experiments import UnknownExperimentError
from chaos.lab_state import NoLabError
from chaos.runner import ExperimentError, run
from chaos.settings import Settings, SettingsError


def _say(line: Mapping[str, Any]) -> None:
    parts = [f"{line['phase']:<9} {line['text']}"]
    if "at_s" in line:
        parts.append(f"{line['at_s']:.0f}/{line['of_s']:.0f} s")
    if line.get("success_ratio") is not None:
        parts.append(f"success {line['success_ratio']:.1%}")
        parts.append(f"p95 {line['p95_ms']:.0f} ms")
    sys.stderr.write("  ".join(parts) + "\n")


def _emit(document: Mapping[str, Any], target: str | None) -> None:
    text = json.dumps(document, indent=2)
    if target == "-":
        sys.stdout.write(text + "\n")
    elif target:
        Path(target).write_text(text + "\n")


def _run(options: argparse.Namespace) -> int:
    source = experiments.find(options.experiment)
    result = run(
        source,
        profile=options.profile,
        seed=options.seed,
        run_dir=options.run_dir,
        progress=None if options.json == "-" else _say,
    )
    document = verdict.document("chaos run", result.scenario, [result.figures])
    _emit(document, options.json)
    return result.exit_code


def _judge(options: argparse.Namespace) -> int:
    configuration = json.loads((options.run_dir / "settings.json").read_text())
    settings = Settings.from_configuration(configuration)
    kept = options.run_dir / "traces.db"
    traces = options.traces or (kept if kept.exists() else lab_state.load().traces)
    judged = verdict.judge(Case.load(options.run_dir, settings, traces))
    _emit(verdict.document("chaos judge", settings.scenario, [judged]), options.json)
    return verdict.exit_code(judged)


def _list(options: argparse.Namespace) -> int:
    rows = [
        {"name": name, "title": json.loads(path.read_text())["title"]}
        for name, path in experiments.available().items()
    ]
    _emit({"schema": verdict.SCHEMA, "results": rows}, options.json)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    commands = parser.add_subparsers(required=True)
    play = commands.add_parser("run", help="run an experiment on the running lab")
    play.add_argument("experiment", help="a name or a file")
    play.add_argument("--profile", choices=("sick", "cured"), default="")
    play.add_argument("--seed", type=int)
    play.add_argument("--run-dir", type=Path)
    play.set_defaults(does=_run)
    judge = commands.add_parser("judge", help="judge a stored run once more")
    judge.add_argument("run_dir", type=Path)
    judge.add_argument(
        "--traces", type=Path, help="default: the run's own, or the running lab's"
    )
    judge.set_defaults(does=_judge)
    names = commands.add_parser("list", help="the experiments that there are")
    names.set_defaults(does=_list)
    for command, default in ((play, None), (judge, "-"), (names, "-")):
        command.add_argument("--json", metavar="PATH", default=default)
    options = parser.parse_args(arguments)
    # So that whoever stops us by SIGTERM finds the fault off, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(options.does(options))
    except (
        ExperimentError,
        NoLabError,
        OSError,
        SettingsError,
        UnknownExperimentError,
        ValueError,
    ) as error:
        sys.stderr.write(f"chaos: {error}\n")
        return verdict.USAGE
    except KeyboardInterrupt:
        return verdict.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
