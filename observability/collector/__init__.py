"""A small OTLP collector for one machine: traces by gRPC, kept in SQLite."""

from observability.collector.process import CollectorProcess, CollectorStartError

__all__ = ["CollectorProcess", "CollectorStartError"]
