"""The folder of one run: everything that happened in it, written down as it happens."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

logger = logging.getLogger("chaostoolkit")

PROGRESS = "progress.jsonl"
VERDICT = "verdict.json"
JOURNAL = "journal.json"


class RunFiles:
    """Writes a run's files; whole ones appear at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def tell(self, phase: str, text: str, **numbers: Any) -> None:
        """Add one line to the run's progress, for whoever follows it."""
        line = {"time_s": round(time.time(), 3), "phase": phase, "text": text}
        with (self.folder / PROGRESS).open("a") as file:
            file.write(json.dumps({**line, **numbers}) + "\n")
        logger.info("%s: %s", phase, text)

    def write(self, name: str, document: Any) -> None:
        """Write a JSON file that is seen whole or not at all."""
        part = self.folder / f".{name}.part"
        part.write_text(json.dumps(document, indent=2, default=str))
        part.replace(self.folder / name)

    def read(self, name: str) -> Any:
        """Read a JSON file; None when it was not written."""
        try:
            return json.loads((self.folder / name).read_text())
        except FileNotFoundError:
            return None


def new_folder(runs: Path, scenario: str, profile: str) -> Path:
    """Name the folder of a run that starts now."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return runs / f"{stamp}-{scenario}-{profile or 'lab'}"
