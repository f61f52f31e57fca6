"""Starts the servers and the client process, and takes in what they say."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from lab.bench.measure import Size
from lab.bench.variants import BARE
from lab.bench.wire import FOR_CLIENTS

ROOT = Path(__file__).resolve().parents[2]
_END_S = 10

Progress = Callable[[str, float], None]


class BenchError(RuntimeError):
    """A measured process ended early or said what it should not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one client process is to measure; *names* of None means everything."""

    sides: Sequence[str]
    size: Size
    rounds: int
    seed: int = 1
    names: Sequence[str] | None = None
    kit: bool = False
    refusals: bool = False


@dataclass(slots=True)
class Run:
    """What one client process said."""

    python: str = ""
    grpcio: str = ""
    kit: bool = False
    samples: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    refusal: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Servers:
    """Where each variant of a server listens, and which could not be built."""

    addresses: Mapping[str, str]
    skipped: Sequence[dict[str, str]]


def _environ(path: Path) -> dict[str, str]:
    # The measured code is this code, whatever is installed.
    return {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}


@contextlib.contextmanager
def _started(
    python: str, arguments: Sequence[str], path: Path, said: IO[bytes]
) -> Iterator[subprocess.Popen[str]]:
    """Run a process until the end of the block; Ctrl-C is for us alone."""
    process = subprocess.Popen(
        [python, "-m", *arguments],
        env=_environ(path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(0.5 if sys.exc_info()[0] else _END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _died(name: str, said: IO[bytes]) -> BenchError:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    return BenchError(f"{name} ended early: {lines[-1] if lines else 'no word why'}")


@contextlib.contextmanager
def servers(names: Sequence[str]) -> Iterator[Servers]:
    """Serve these variants in one process, and bare for the clients in another.

    Raises BenchError.
    """
    addresses: dict[str, str] = {}
    skipped: list[dict[str, str]] = []
    with contextlib.ExitStack() as stack:
        for called, served in (((FOR_CLIENTS,), (BARE,)), (names, names)):
            said = stack.enter_context(tempfile.TemporaryFile())
            process = stack.enter_context(
                _started(sys.executable, ("lab.bench.echo", *served), ROOT, said)
            )
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                process.wait()
                raise _died("a server", said)
            told = json.loads(line)
            for key, name in zip(called, served, strict=True):
                if name in told["ports"]:
                    addresses[key] = f"127.0.0.1:{told['ports'][name]}"
                else:
                    reason = told["skipped"][name]
                    skipped.append({"side": "server", "name": name, "reason": reason})
        yield Servers(addresses, skipped)


def measure(
    plan: Plan,
    addresses: Mapping[str, str],
    progress: Progress,
    *,
    python: str = sys.executable,
    path: Path = ROOT,
) -> Run:
    """Run one client process to its end. Raises BenchError."""
    run = Run(kit=plan.kit)
    document = {**asdict(plan), "servers": dict(addresses)}
    with (
        tempfile.TemporaryFile() as said,
        _started(python, ("lab.bench.worker",), path, said) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(document) + "\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise _died("the client", said) from error
        for line in process.stdout:
            _take(run, json.loads(line), progress)
        if process.wait() != 0:
            raise _died("the client", said)
    return run


def _take(run: Run, told: dict[str, Any], progress: Progress) -> None:
    if "sample" in told:
        run.samples.append(told["sample"])
    elif "done" in told:
        progress(f"round-{told['round']} on Python {run.python}", told["done"])
    elif "skipped" in told:
        run.skipped.append(told["skipped"])
    elif "refusal" in told:
        run.refusal = told["refusal"]
    else:
        run.python, run.grpcio = told["python"], told["grpcio"]
