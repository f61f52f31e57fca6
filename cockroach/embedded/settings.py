"""What is written into each server's configuration, and why.

The arithmetic behind the connection limit is in this room's README.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cockroach.topology import PRIMARY

DBNAME = "shop"
ADMIN = "postgres"
APP = "app"
REPLICATION = "replicator"

MAX_CONNECTIONS = 340
STATEMENT_TIMEOUT_S = 15
LOCK_TIMEOUT_S = 3

# scram even on loopback: with trust, every local user would be a superuser. The
# replication role connects to the database itself, as logical replication does.
PG_HBA = f"""\
host all {ADMIN} 127.0.0.1/32 scram-sha-256
host {DBNAME} {APP} 127.0.0.1/32 scram-sha-256
host {DBNAME} {REPLICATION} 127.0.0.1/32 scram-sha-256
"""


def standby_name(region: str) -> str:
    """Name a region's subscription to the GLOBAL tables, a synchronous standby."""
    return f"glob_{region}"


def server_settings(
    *, region: str, port: int, major: int, standbys: tuple[str, ...]
) -> dict[str, str]:
    """Give one server's settings; with standbys, GLOBAL writes wait for all of them."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": str(MAX_CONNECTIONS),
        "password_encryption": "scram-sha-256",
        "shared_buffers": "32MB",
        "fsync": "on",
        # A GLOBAL write raises this for its own transaction.
        "synchronous_commit": "local",
        "wal_level": "logical",
        "max_wal_senders": "10",
        "max_replication_slots": "10",
        "max_wal_size": "256MB",
        "min_wal_size": "32MB",
        "wal_sender_timeout": "10s",
        "wal_receiver_timeout": "10s",
        "wal_retrieve_retry_interval": "500ms",
        "max_worker_processes": "12",
        "max_parallel_workers_per_gather": "0",
        "autovacuum_naptime": "30s",
        "idle_in_transaction_session_timeout": "60s",
        "shared_preload_libraries": "pg_stat_statements",
        "compute_query_id": "on",
        "track_io_timing": "on",
        # A generic plan of a join visits every region's partition.
        "plan_cache_mode": "force_custom_plan",
        "enable_partitionwise_join": "on",
        "enable_partitionwise_aggregate": "on",
        "jit": "off",
        # Two rows read on a page would else lock the whole page, and rows that have
        # nothing to do with each other conflict.
        "max_pred_locks_per_page": "64",
        "max_pred_locks_per_transaction": "256",
        "timezone": "UTC",
        "log_min_messages": "warning",
        # Statements that set passwords must not reach the log.
        "log_min_error_statement": "panic",
        "log_line_prefix": f"%m {region} [%p] %a ",
    }
    if major >= 16:
        # The passwords are 128 random bits: stretching them buys nothing, and costs
        # two milliseconds of processor on every connection of every pool.
        settings["scram_iterations"] = "1"
    if major >= 18:
        settings["io_method"] = "sync"
    if region == PRIMARY and standbys:
        names = ", ".join(standby_name(one) for one in standbys)
        settings["synchronous_standby_names"] = f"FIRST {len(standbys)} ({names})"
    return settings


def write_settings(path: Path, settings: Mapping[str, str]) -> None:
    """Write a configuration file of its own; ALTER SYSTEM stays free for others."""
    path.write_text("".join(f"{k} = '{v}'\n" for k, v in settings.items()))
