"""Measures what the links do: a statement's round trip to a gateway, near or far."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import psycopg

from cockroach.stale import REPLICA_LAG
from cockroach.topology import DatabaseTarget, Gateway, Replica, rtt_ms

SAMPLES = 3
CONNECT_S = 5


def _best(target: DatabaseTarget, gateway: Gateway) -> float:
    with psycopg.connect(
        **target.parameters(gateway),
        connect_timeout=CONNECT_S,
        application_name="seawall-status",
        autocommit=True,
    ) as connection:
        best = float("inf")
        for _ in range(SAMPLES):
            began = time.perf_counter()
            connection.execute("SELECT 1")
            best = min(best, time.perf_counter() - began)
    return best * 1000


def gateway(targets: Mapping[str, DatabaseTarget], name: str) -> dict[str, Any]:
    """One gateway as its own region sees it: health and a statement's time in ms."""
    region = name.partition("-")[0]
    target = targets[region]
    found = next(one for one in target.gateways if one.name == name)
    seen: dict[str, Any] = {
        "name": found.name,
        "region": found.region,
        "zone": found.zone,
        "address": f"{found.host}:{found.port}",
    }
    try:
        return {**seen, "health": "up", "ms": round(_best(target, found), 2)}
    except psycopg.Error:
        return {**seen, "health": "down", "ms": None}


def copy(targets: Mapping[str, DatabaseTarget], replica: Replica) -> dict[str, Any]:
    """One copy of a region's rows: health, and how many seconds it is behind at most.

    It has nothing to replay from a home that writes nothing, and counts as older then.
    """
    seen: dict[str, Any] = {
        "name": replica.name,
        "of": replica.of,
        "region": replica.region,
        "address": f"{replica.host}:{replica.port}",
    }
    try:
        with psycopg.connect(
            **targets[replica.region].parameters(replica),
            connect_timeout=CONNECT_S,
            application_name="seawall-status",
            # A standby takes no SERIALIZABLE, which is the database's default.
            options=r"-c default_transaction_isolation=read\ committed",
            autocommit=True,
        ) as connection:
            (behind,) = connection.execute(REPLICA_LAG).fetchone() or (None,)
    except psycopg.Error:
        return {**seen, "health": "down", "behind_s": None}
    lag = None if behind is None else round(max(0.0, float(behind)), 3)
    return {**seen, "health": "up", "behind_s": lag}


def round_trip(
    targets: Mapping[str, DatabaseTarget], source: str, destination: str
) -> dict[str, Any]:
    """Measure the round trip between two regions, ms; None when it cannot be had."""
    target = targets[source]
    far = next(one for one in target.gateways if one.region == destination)
    try:
        measured: float | None = round(_best(target, far), 2)
    except psycopg.Error:
        measured = None
    return {
        "from": source,
        "to": destination,
        "ms": measured,
        # Only the embedded cluster's links are ours to configure.
        "configured_ms": rtt_ms(source, destination)
        if target.flavour == "embedded"
        else None,
    }
