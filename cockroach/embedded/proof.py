"""Prove the distances: measure a round trip on every path between regions.

Links are timed by two questions that any PostgreSQL answers before it knows who
asks; postgres_fdw by a read of one row; replication moreover by a GLOBAL write,
which may not return before the farthest region has applied it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import psycopg

from cockroach.embedded.build import STANDBYS, Site
from cockroach.embedded.errors import WanProofError
from cockroach.embedded.wan import Wan
from cockroach.topology import PRIMARY, rtt_ms
from links import LinkSpec

GLOBAL_WRITE = "global-write"
_GLOBAL_WRITE = "update glob.products set popularity = popularity where id = 'P0001'"
# Length and code of the requests for TLS and for GSS encryption.
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_GSS_REQUEST = struct.pack("!II", 8, 80877104)
_PATIENCE_S = 10.0
# Clocks and timers round; a path that skips its delay misses by far more.
_TOLERANCE = 0.97


def handshake_ms(address: tuple[str, int]) -> float:
    """Time one round trip to the server at the end of a link. Raises OSError."""
    with socket.create_connection(address, timeout=_PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _ask(connection, _SSL_REQUEST)
        started = time.perf_counter()
        _ask(connection, _GSS_REQUEST)
        return (time.perf_counter() - started) * 1e3


def _ask(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    if len(connection.recv(1)) != 1:
        raise ConnectionError("the server hung up")


def foreign_read_ms(site: Site, target: str) -> float:
    """Time a read of another region's row at this region's gateway, session warm."""
    query = (
        f"select available from stock_{target} "  # noqa: S608 - our own region names
        "where product_id = 'P0001' and shard = 0"
    )
    with site.connect() as session:
        session.execute(query).fetchall()
        started = time.perf_counter()
        session.execute(query).fetchall()
        return (time.perf_counter() - started) * 1e3


def global_write_ms(primary: Site) -> float:
    """Time a write that every region must apply, the faster of two.

    Raises WanProofError when it hangs.
    """
    with primary.connect() as session:
        # statement_timeout does not end a wait for standbys; a cancel does.
        timer = threading.Timer(_PATIENCE_S, session.cancel_safe)
        timer.start()
        try:
            took = []
            for _ in range(2):
                started = time.perf_counter()
                session.execute(_GLOBAL_WRITE)
                took.append((time.perf_counter() - started) * 1e3)
        except psycopg.errors.QueryCanceled as error:
            raise WanProofError("a GLOBAL write did not reach every region") from error
        finally:
            timer.cancel()
    if max(took) >= _PATIENCE_S * 1e3:
        raise WanProofError("a GLOBAL write did not reach every region")
    return min(took)


def measure(sites: Mapping[str, Site], wan: Wan) -> dict[str, float]:
    """Measure every link between regions, in milliseconds; silent ones are left out."""
    between = [s for s in wan.specs.values() if s.source != s.target]

    def one(spec: LinkSpec) -> tuple[str, float | None]:
        with contextlib.suppress(OSError, psycopg.Error):
            if spec.kind == "fdw" and spec.fold:
                return spec.name, foreign_read_ms(sites[spec.source], spec.target)
            return spec.name, handshake_ms(wan.listen[spec.name])
        return spec.name, None

    with ThreadPoolExecutor(len(between)) as pool:
        measured = list(pool.map(one, between))
    return {name: value for name, value in measured if value is not None}


def prove(
    sites: Mapping[str, Site],
    wan: Wan,
    *,
    rtt_scale: float,
    measured: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return every path's round trip, measuring those that were not yet.

    Raises WanProofError for what is shorter than its distance.
    """
    found = dict(measured or measure(sites, wan))
    found[GLOBAL_WRITE] = global_write_ms(sites[PRIMARY])
    expected = {s.name: s.rtt_ms for s in wan.specs.values() if s.source != s.target}
    farthest = max(rtt_ms(PRIMARY, region) for region in STANDBYS)
    expected[GLOBAL_WRITE] = farthest * rtt_scale
    wrong = [
        f"{name}: {found[name]:.1f} of {wanted:.1f} ms"
        if name in found
        else f"{name}: no answer"
        for name, wanted in expected.items()
        if found.get(name, -1.0) < wanted * _TOLERANCE
    ]
    if wrong:
        raise WanProofError("paths that skip their distance: " + "; ".join(wrong))
    return found
