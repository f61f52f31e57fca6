"""The environment in which grpc-client-kit is measured: it needs Python 3.12.

Made once under the user's cache folder. Ours and bare gRPC are measured in it too, so
that nobody is compared across interpreters.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from lab.bench.run import ROOT

KIT = "grpc-client-kit==0.4.0"
_NEEDS = (3, 12)
_MAKING_S = 300
_ASK = "import sys; print(*sys.version_info[:3])"


class KitUnavailableError(RuntimeError):
    """There is no environment for the kit, and why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter that has the kit, and the folder it finds our code in."""

    python: str
    path: Path


def environment(asked: str | None, *, make: bool = True) -> Environment:
    """Return the kit's environment, made if need be. Raises KitUnavailableError.

    *asked* is the Python to use, of 3.12 or later; the first one found without it.
    """
    python, number = _python(asked)
    pins = (
        KIT,
        *(f"{name}=={version(name)}" for name in ("grpcio", "pybreaker", "tenacity")),
    )
    folder = _cache() / f"bench-kit-{number}"
    stamp = folder / "pins"
    inside = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text().split() != list(pins):
        if not make:
            raise KitUnavailableError("its environment is made by a run of full size")
        shutil.rmtree(folder, ignore_errors=True)
        _run(python, "-m", "venv", str(folder))
        _run(str(inside), "-m", "pip", "install", "--quiet", *pins)
        stamp.write_text("\n".join(pins))
    return Environment(str(inside), _sources(folder / "sources"))


def _sources(folder: Path) -> Path:
    """Give just these packages: beside ours may lie what another Python compiled."""
    folder.mkdir(exist_ok=True)
    for room in ("lab", "resilience"):
        link = folder / room
        if not link.exists() or link.resolve() != (ROOT / room).resolve():
            link.unlink(missing_ok=True)
            link.symlink_to(ROOT / room, target_is_directory=True)
    return folder


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "seawall"


def _python(asked: str | None) -> tuple[str, str]:
    for candidate in [asked] if asked else _candidates():
        found = _version(candidate)
        if found is not None and found >= _NEEDS:
            return candidate, ".".join(map(str, found))
    if asked:
        raise KitUnavailableError(f"{asked} is no Python of 3.12 or later")
    raise KitUnavailableError("no Python of 3.12 or later was found (--kit-python)")


def _candidates() -> Iterator[str]:
    yield sys.executable
    for name in ("python3.14", "python3.13", "python3.12", "python3"):
        found = shutil.which(name)
        if found:
            yield found
    # pyenv's names on the PATH start nothing unless the version is selected.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for one in sorted((pyenv / "versions").glob("3.1[2-9]*/bin/python3")):
        yield str(one)


def _version(python: str) -> tuple[int, ...] | None:
    try:
        done = subprocess.run(
            [python, "-c", _ASK],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        return tuple(int(part) for part in done.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _run(*command: str) -> None:
    try:
        subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_MAKING_S
        )
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {error.returncode}"
        raise KitUnavailableError(
            f"its environment could not be made: {reason}"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KitUnavailableError(
            f"its environment could not be made: {error}"
        ) from error
