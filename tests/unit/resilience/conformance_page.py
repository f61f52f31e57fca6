"""docs/resilience/conformance.md as it should read: every case with its result now."""

import importlib
import re
import sys
from pathlib import Path

from tests.unit.resilience.conformance import CASES, Case, markdown

PAGE = Path(__file__).resolve().parents[3] / "docs/resilience/conformance.md"

_HEAD = """\
# Conformance

What the sources of these policies publish, and what happens here. Each row is a
test; the page is generated from them and a test keeps it so
(`python -m tests.unit.resilience.conformance_page > docs/resilience/conformance.md`).
F is a failed call, S a successful one, a small letter a slow one. The reference
breaker has a threshold of 50 %, a time window of 20 s, at least 5 calls, is open for
5 s and half-open for 4 permits. A breaker reads: state, failure rate in percent, ok,
failed, counted.

"""


def cases() -> list[Case]:
    """Return the cases of every conformance_*.py beside this file, in order."""
    here = Path(__file__)
    for path in sorted(here.parent.glob("conformance_*.py")):
        if path != here:
            importlib.import_module(f"tests.unit.resilience.{path.stem}")
    return sorted(CASES, key=_place)


def _place(one: Case) -> tuple[int, str]:
    number = re.match(r"\d+", one.id)
    return int(number[0]) if number else sys.maxsize, one.id


def page() -> str:
    """Return the whole page."""
    return _HEAD + markdown(cases())


if __name__ == "__main__":
    sys.stdout.write(page())
