"""A service process from its settings to its exit code.

0 after a drain, 1 when it broke, 2 when it was told nonsense. Nothing of gRPC,
OpenTelemetry or the database exists before `run`, so that a process may be forked.
"""

import asyncio
import contextlib
import importlib
import logging
import multiprocessing as mp
import multiprocessing.connection
import os
import random
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Never

from cockroach.topology import TopologyError
from observability.logs import setup_logging
from services.runtime.policy import PolicyFileError
from services.runtime.process import Process
from services.runtime.server import ListenError
from services.runtime.settings import Settings, SettingsError

USAGE = 2
BROKEN = 1

logger = logging.getLogger(__name__)


def main(service: str) -> Never:
    """Run a service with this process's own environment: `python -m services.NAME`."""
    run(service, {"SHOP_SERVICE": service, **os.environ})


def run(service: str, environ: Mapping[str, str]) -> Never:
    """Run a service until it is told to leave; exits the process."""
    _die_with_parent()
    try:
        settings = Settings.of(service, environ)
        setup_logging(
            service=service,
            region=settings.region,
            zone=settings.zone,
            instance=settings.instance,
            path=settings.log_file,
        )
        asyncio.run(_serve(settings, environ))
    except (SettingsError, PolicyFileError, ListenError, TopologyError) as error:
        logger.error("%s", error)  # noqa: TRY400 - the message says it all
        sys.stderr.write(f"{service}: {error}\n")
        sys.exit(USAGE)
    except OSError as error:
        sys.stderr.write(f"{service}: {error}\n")
        sys.exit(USAGE)
    except Exception:
        logger.exception("%s broke", service)
        sys.exit(BROKEN)
    sys.exit(0)


async def _serve(settings: Settings, environ: Mapping[str, str]) -> None:
    async with _leave_signals() as leave:
        process = Process(settings, environ)
        try:
            bootstrap = importlib.import_module(
                f"services.{settings.service}.bootstrap"
            )
            address = await process.start(bootstrap.start)
            logger.info("serving on %s", address)
            await leave.wait()
            logger.info("draining")
        finally:
            await process.stop()
        logger.info("drained")


@contextlib.asynccontextmanager
async def _leave_signals() -> AsyncIterator[asyncio.Event]:
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, leave.set)
    if mp.parent_process() is None:
        loop.add_signal_handler(signal.SIGINT, leave.set)
    else:
        # Ctrl-C reaches the whole group; whoever started us decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield leave


def _die_with_parent() -> None:
    parent = mp.parent_process()
    if parent is None:
        return
    # A fork copies the generator's state; twins would draw the same jitter.
    random.seed(os.urandom(16))

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        # No flush: an exporter whose collector is gone too would hold us for seconds.
        os._exit(BROKEN)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
