"""The engine in a process of its own, alive while its parent holds its stdin."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn, Self

from links.control import LinkControl, control_address, start_control
from links.engine import Engine
from links.errors import ControlError
from links.spec import LinkSpec

Extra = Callable[[Engine], Awaitable[dict[str, str]]]


def serve(
    *,
    control: str = "127.0.0.1:0",
    specs: Sequence[LinkSpec] = (),
    extra: Extra | None = None,
    seed: int = 0,
) -> NoReturn:
    """Run an engine until stdin ends or SIGTERM comes; then exit at once.

    When everything listens, prints one line of JSON: the control address and what
    `extra` gave.
    SIGINT is ignored: on Ctrl-C the parent decides.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Thread(target=_exit_with_stdin, daemon=True).start()
    asyncio.run(_serve(control, specs, extra, seed))
    raise AssertionError("the engine runs until the process ends")


def _exit_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    # No clean-up: the peers must see the links break, as they would when we crash.
    os._exit(0)


async def _serve(
    control: str, specs: Sequence[LinkSpec], extra: Extra | None, seed: int
) -> None:
    engine = Engine(seed=seed)
    for spec in specs:
        await engine.add(spec)
    server = await start_control(engine, control)
    ready = {"control": control_address(server)}
    if extra is not None:
        ready |= await extra(engine)
    # What is loaded by now stays; collections need not walk it again.
    gc.collect()
    gc.freeze()
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


class LinksProcess:
    """Starts an engine's process and stops it; dies with us even on `kill -9`.

    Raises ControlError when it is not ready in time.
    """

    def __init__(
        self,
        argv: Sequence[str] = (sys.executable, "-m", "links"),
        *,
        timeout: float = 20.0,
        environ: Mapping[str, str] | None = None,
        stderr: int | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=None if environ is None else dict(environ),
        )
        try:
            self.info: dict[str, Any] = self._ready(time.monotonic() + timeout)
            self.control = LinkControl(self.info["control"])
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Give the exit code, or None while it runs."""
        return self._process.poll()

    def stop(self, timeout: float = 2.0) -> None:
        """End the process and wait for it."""
        if hasattr(self, "control"):
            self.control.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _ready(self, deadline: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        pipe, line = self._process.stdout.fileno(), b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise ControlError("the links' process was not ready in time")
            got = os.read(pipe, 65536)
            if not got:
                code = self._process.wait()
                raise ControlError(f"the links' process ended with code {code}")
            line += got
        ready: dict[str, Any] = json.loads(line)
        return ready
