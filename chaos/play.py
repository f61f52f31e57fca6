"""Plays one experiment file with Chaos Toolkit's library, in a process of its own.

Its status and exit codes tell nothing: what counts is the verdict in the run's folder.
It leaves when its standard input ends, that is, with whoever started it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from pathlib import Path

from chaos.run_files import JOURNAL


def _die_with_parent() -> None:
    def watch() -> None:
        while os.read(0, 4096):
            pass
        # The guard takes the fault off, the generator hangs on a leash of ours.
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def play(source: Path, run_dir: Path) -> None:
    """Run the experiment and keep its journal. Raises chaoslib's exceptions."""
    # Imported late: it takes a while, and whoever only asks for help need not wait.
    from chaoslib.experiment import (  # noqa: PLC0415
        ensure_experiment_is_valid,
        run_experiment,
    )
    from chaoslib.loader import load_experiment  # noqa: PLC0415

    experiment = load_experiment(str(source))
    ensure_experiment_is_valid(experiment)
    journal = run_experiment(
        experiment,
        # Whatever the file says: a fault that stays on is nobody's wish.
        settings={"runtime": {"rollbacks": {"strategy": "always"}}},
    )
    (run_dir / JOURNAL).write_text(json.dumps(journal, indent=2, default=str))


def main() -> int:
    """Parse the command line and play; 0 when the experiment was played at all."""
    parser = argparse.ArgumentParser(prog="python -m chaos.play", description=__doc__)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--run-dir", type=Path, required=True)
    options = parser.parse_args()
    run_dir = options.run_dir.resolve()
    run_dir.mkdir(parents=True, exist_ok=True)
    os.environ["SEAWALL_RUN_DIR"] = str(run_dir)
    log = logging.getLogger("chaostoolkit")
    log.setLevel(logging.INFO)
    log.addHandler(logging.FileHandler(run_dir / "chaos.log"))
    _die_with_parent()
    play(options.experiment, run_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
