"""docker-compose.yml as compose reads it, without compose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SECURE = ROOT / "docker-compose.secure.yml"
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::-([^}]*))?\}")


def interpolated(path: Path, environ: Mapping[str, str] | None = None) -> Any:
    """Read a file with its variables replaced. Raises KeyError for one undefined."""
    given = environ or {}

    def value(match: re.Match[str]) -> str:
        found = given.get(match[1]) or match[2]
        if found is None:
            raise KeyError(f"{path.name}: ${{{match[1]}}} has no default")
        return found

    return yaml.safe_load(_VARIABLE.sub(value, path.read_text()))


def mebibytes(limit: str) -> int:
    """Read "768m"."""
    assert limit.endswith("m"), limit
    return int(limit[:-1])


def addresses(services: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the services that have an address of their own, with it."""
    for name, one in services.items():
        networks = one.get("networks")
        if isinstance(networks, dict):
            yield name, networks["wan"]["ipv4_address"]


def mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give source and target of every volume."""
    for volume in service.get("volumes", ()):
        source, target = volume.split(":")[:2]
        yield source, target
