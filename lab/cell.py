"""`python -m lab.cell REGION`: one region's services in one container.

All processes of the cell come from one forkserver, so that they share what they
imported. Each has the port that the lab gives it. Settings that they have in common
(`SHOP_PEERS`, `SHOP_DATABASE`, `SHOP_POLICIES`, ...) come from the environment. When
one ends, the cell ends and whoever runs the container starts it anew.

A file says that all are well; a health check need not start a program for each.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from cockroach.topology import REGIONS
from lab import layout
from lab.children import ChildDiedError, Children, PreloadError
from lab.health import NotReadyError, check, wait_until_serving

#: Touched while every service of the cell says SERVING.
WELL = Path(tempfile.gettempdir()) / "cell-well"
CHECK_EVERY_S = 10.0
_POLL_S = 0.5
_EXPECTED = (ChildDiedError, NotReadyError, PreloadError)


def placements(
    region: str, port_base: int = layout.DEFAULT_PORT_BASE
) -> tuple[layout.Placement, ...]:
    """List the region's services with the lab's ports; the card network is not ours."""
    return tuple(
        one
        for one in layout.fixed(port_base)
        if one.region == region and one.service != layout.WORLD
    )


def environment(
    one: layout.Placement, host: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Make one process's settings from those of the whole cell."""
    return {
        **environ,
        "SHOP_SERVICE": one.service,
        "SHOP_REGION": one.region,
        "SHOP_ZONE": one.zone,
        "SHOP_INSTANCE": one.instance,
        "SHOP_LISTEN": f"0.0.0.0:{one.port}",
        # Under which the processes of the other zone know it.
        "SHOP_ADDRESS": f"{host}:{one.port}",
        "SHOP_METRICS_LISTEN": f"0.0.0.0:{one.metrics_port}",
    }


def well(placed: Sequence[layout.Placement]) -> bool:
    """Ask every service; True when all say SERVING."""
    return all(check(one.address) == "SERVING" for one in placed)


def run(
    placed: Sequence[layout.Placement], host: str, environ: Mapping[str, str]
) -> NoReturn:
    """Run a cell until told to leave. Raises ChildDiedError, NotReadyError."""
    children = Children()
    children.warm()
    try:
        jobs = [
            (one.instance, one.service, environment(one, host, environ))
            for one in placed
        ]
        children.start(jobs)
        wait_until_serving(
            placed,
            tls=None,
            dead=children.dead,
            # Their logs are the container's own.
            logs=Path(os.devnull),
            on_ready=lambda *_: None,
        )
        WELL.touch()
        looked = time.monotonic()
        while True:
            for name, code in children.dead():
                raise ChildDiedError(f"{name} ended with exit code {code}")
            if time.monotonic() - looked > CHECK_EVERY_S:
                looked = time.monotonic()
                if well(placed):
                    WELL.touch()
                else:
                    WELL.unlink(missing_ok=True)
            time.sleep(_POLL_S)
    finally:
        WELL.unlink(missing_ok=True)
        children.stop()


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Parse the command line and run; exit 0 when told to leave, 1 when one died."""
    parser = argparse.ArgumentParser(prog="python -m lab.cell", description=__doc__)
    parser.add_argument("region", choices=REGIONS)
    parser.add_argument("--host", required=True, help="the cell's name for others")
    parser.add_argument("--port-base", type=int, default=layout.DEFAULT_PORT_BASE)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    shared = {k: v for k, v in os.environ.items() if k.startswith(("SHOP_", "OTEL_"))}
    try:
        run(placements(options.region, options.port_base), options.host, shared)
    except (
        ChildDiedError,
        NotReadyError,
        PreloadError,
        layout.PortsTakenError,
    ) as error:
        sys.stderr.write(f"cell {options.region}: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
