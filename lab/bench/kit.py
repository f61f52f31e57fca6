"""An environment of its own for the published kit that we are compared with.

It needs Python 3.12 or newer, and is not among this project's dependencies.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from lab.bench.measure import Samples, Size

NEEDS = (3, 12)
WANTED = ("grpc-client-kit==0.4.0", "pybreaker", "tenacity")
ROOT = Path(__file__).parents[2]


class LeftOutError(RuntimeError):
    """The kit cannot be measured here, and why."""


def python(given: str | None = None) -> str:
    """Return an interpreter that the kit runs on. Raises LeftOutError."""
    candidates = [given] if given else [sys.executable]
    if not given:
        candidates += [
            found
            for minor in (14, 13, 12)
            if (found := shutil.which(f"python3.{minor}")) is not None
        ]
        versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
        candidates += sorted(map(str, versions.glob("versions/3.1[2-9]*/bin/python")))
    for one in candidates:
        asked = "import sys; print(*sys.version_info[:2])"
        try:
            told = subprocess.run(
                [one, "-c", asked],
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if told.returncode == 0 and tuple(map(int, told.stdout.split())) >= NEEDS:
            return one
    raise LeftOutError("grpc-client-kit needs Python 3.12, and there is none here")


def environment(folder: Path, interpreter: str) -> Path:
    """Return the environment's Python, made in *folder* at the first time.

    Raises LeftOutError when it cannot be installed.
    """
    ready = folder / "ready"
    found = folder / "bin" / "python"
    if ready.exists():
        return found
    if interpreter == sys.executable:
        venv.create(folder, with_pip=True, clear=True)
    else:
        subprocess.run([interpreter, "-m", "venv", "--clear", str(folder)], check=True)
    installed = subprocess.run(
        [
            str(found),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
            "-c",
            str(ROOT / "constraints.txt"),
            *WANTED,
            "grpcio",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if installed.returncode:
        last = installed.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise LeftOutError(f"grpc-client-kit could not be installed: {last[0]}")
    ready.touch()
    return found


def measure(found: Path, names: list[str], size: Size) -> dict[str, Samples]:
    """Measure client variants with the environment's own interpreter.

    Raises LeftOutError when that fails.
    """
    done = subprocess.run(
        [
            str(found),
            "-m",
            "lab.bench.measure",
            "--rounds",
            str(size.rounds),
            "--calls",
            str(size.calls),
            *names,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise LeftOutError(f"the kit's environment failed: {last[0]}")
    document: dict[str, Any] = json.loads(done.stdout)
    return {name: Samples(**samples) for name, samples in document.items()}
