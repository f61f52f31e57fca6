"""Service processes from one forkserver with the imports loaded.

Preloading fails silently, so each child proves it: a child that had to import by
itself says so, and the start refuses. Nothing of gRPC, OpenTelemetry or SQLAlchemy
engines exists before the fork; every child makes its own.
"""

from __future__ import annotations

import gc
import multiprocessing as mp
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess

SERVICE_NICENESS = 5
PRELOAD = (
    # Loaded by the services only after the fork, each for itself, were they not here.
    "concurrent.futures.thread",
    "encodings.idna",
    "grpc._channel",
    "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    # Last: it freezes what is there.
    "lab.preload",
)


class PreloadError(RuntimeError):
    """The forkserver did not have the imports; children would be slow and large."""


class ChildDiedError(RuntimeError):
    """A service ended before it was ready."""


@dataclass(slots=True)
class Child:
    """A running service process."""

    name: str
    process: ForkServerProcess


def _run(service: str, environ: dict[str, str], proof: Connection) -> None:
    # Imports here are what the forkserver should have done already.
    loaded = "lab.preload" in sys.modules
    proof.send(loaded)
    proof.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # On a small machine the generator must not wait for those whom it loads.
    os.nice(SERVICE_NICENESS)
    # What was loaded before the fork is frozen and never looked at again; looking for
    # cycles every 700 objects costs more than the cycles of a busy loop hold.
    gc.set_threshold(10_000, 20, 20)
    # The thread that sends spans holds the interpreter for as long as this before a
    # call may go on; the default is 5 ms, at each of a dozen hops.
    sys.setswitchinterval(0.001)
    # A fork copies the parent's generator; twins would draw the same jitter.
    random.seed(os.urandom(16))
    from services.runtime.main import run  # noqa: PLC0415 - after the proof

    run(service, environ)


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    # Each child would import the command's script again, and all that it imports.
    main = sys.modules["__main__"]
    path, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    main.__file__ = None
    main.__spec__ = None
    try:
        yield
    finally:
        main.__file__ = path
        main.__spec__ = spec


class Children:
    """Starts service processes and ends them; knows nothing of what they do."""

    def __init__(self) -> None:
        """Prepare a forkserver; it starts with `warm` or with the first child."""
        self._context: ForkServerContext = mp.get_context("forkserver")
        self._context.set_forkserver_preload(list(PRELOAD))
        self.running: list[Child] = []

    def warm(self) -> None:
        """Start the forkserver, so that it imports while other things go on."""
        from multiprocessing import forkserver  # noqa: PLC0415 - starts nothing itself

        # Read by the C library at the start of a program: one heap for all threads
        # of a process instead of one for each. Whoever set it knows better.
        os.environ.setdefault("MALLOC_ARENA_MAX", "1")
        forkserver.ensure_running()

    def start(self, jobs: Sequence[tuple[str, str, Mapping[str, str]]]) -> None:
        """Start processes given as (instance, service, environment).

        Raises PreloadError when a child had not the imports, ChildDiedError when one
        ended at once.
        """
        proofs: dict[Connection, str] = {}
        for instance, service, environ in jobs:
            mine, theirs = self._context.Pipe(duplex=False)
            process = self._context.Process(
                target=_run, args=(service, dict(environ), theirs), name=instance
            )
            try:
                with _main_module_hidden():
                    process.start()
            except (EOFError, ConnectionError) as error:
                raise PreloadError(
                    "the process that forks the services ended; what it printed "
                    "above says why"
                ) from error
            theirs.close()
            self.running.append(Child(instance, process))
            proofs[mine] = instance
        self._collect(proofs)

    @staticmethod
    def _collect(proofs: dict[Connection, str]) -> None:
        end = time.monotonic() + 20
        while proofs and time.monotonic() < end:
            for ready in wait(list(proofs), timeout=0.2):
                if not isinstance(ready, Connection):
                    continue
                instance = proofs.pop(ready)
                try:
                    loaded = ready.recv()
                except EOFError:
                    raise ChildDiedError(f"{instance} ended at its start") from None
                finally:
                    ready.close()
                if not loaded:
                    raise PreloadError(
                        f"{instance} was forked without the preloaded imports; "
                        "is the project installed in this environment?"
                    )
        if proofs:
            missing = ", ".join(proofs.values())
            raise ChildDiedError(f"no sign of life from {missing}")

    def dead(self) -> list[tuple[str, int]]:
        """Names and exit codes of processes that ended."""
        return [
            (child.name, code)
            for child in self.running
            if (code := child.process.exitcode) is not None
        ]

    def stop(self, grace: float = 8.0) -> None:
        """Ask all to drain, then end those that did not within `grace` seconds."""
        for child in self.running:
            if child.process.is_alive():
                child.process.terminate()
        end = time.monotonic() + grace
        for child in self.running:
            child.process.join(max(0.0, end - time.monotonic()))
        for child in self.running:
            if child.process.is_alive():
                child.process.kill()
                child.process.join(2)
        self.running.clear()
        _stop_forkserver()


def _stop_forkserver() -> None:
    # Left alone it lives until our exit; a lab that stops leaves no process.
    from multiprocessing import forkserver  # noqa: PLC0415

    stop = getattr(forkserver._forkserver, "_stop", None)  # noqa: SLF001 - no public way
    if stop is not None:
        stop()
