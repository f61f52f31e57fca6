"""What the types of the packages promise to those who check theirs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
def test_the_types_of_resilience_are_as_promised() -> None:
    """Right uses pass mypy's strict rules, and every wrong one is refused."""
    api = ROOT / "tests" / "typing" / "resilience_api.py"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(api)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "" == done.stdout + done.stderr
