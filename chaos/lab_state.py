"""Where the lab is: read from the file that it writes when it is ready."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENV = "SEAWALL_LAB"
DEFAULT = Path(".seawall") / "lab.json"
SCHEMA = "seawall-lab/1"


class NoLabError(RuntimeError):
    """No lab can be found, or it is no lab that an experiment can use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One running service process."""

    service: str
    region: str
    zone: str
    instance: str
    address: str
    metrics: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A running lab as experiments see it: addresses and files, nothing else."""

    pid: int
    profile: str
    state_dir: Path
    services: tuple[Service, ...]
    toxiproxy: str
    control: str
    otlp: str
    traces: Path
    runs: Path
    # Region to connection string of that region's server, for looking, not touching.
    admin: Mapping[str, str]
    catalogue: Mapping[str, Any]
    tls: str = field(default="")
    # "embedded", or what kind of database was given by URL; then no link leads to it.
    flavour: str = field(default="embedded")

    def addresses(self, service: str) -> dict[str, list[str]]:
        """Every instance of a service, by region."""
        found: dict[str, list[str]] = {}
        for one in self.services:
            if one.service == service:
                found.setdefault(one.region, []).append(one.address)
        return found

    def alive(self) -> bool:
        """Whether the lab's own process still runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def default_path() -> Path:
    """`$SEAWALL_LAB`, or `.seawall/lab.json` where the command was called."""
    return Path(os.environ.get(ENV) or DEFAULT)


def load(path: Path | None = None) -> Lab:
    """Read the lab's file. Raises NoLabError, naming what is missing."""
    where = path or default_path()
    try:
        document = json.loads(where.read_text())
    except FileNotFoundError:
        raise NoLabError(
            f"no lab at {where}; `seawall up` starts one, ${ENV} names another"
        ) from None
    except (OSError, json.JSONDecodeError) as error:
        raise NoLabError(f"{where} cannot be read: {error}") from error
    if document.get("schema") != SCHEMA:
        raise NoLabError(f"{where} is no {SCHEMA} file")
    try:
        return _lab(document)
    except KeyError as missing:
        raise NoLabError(f"{where} lacks {missing}") from missing


def _lab(document: Mapping[str, Any]) -> Lab:
    return Lab(
        pid=int(document["pid"]),
        profile=_profile(document),
        state_dir=Path(document["state_dir"]),
        services=tuple(
            Service(**{key: one.get(key, "") for key in Service.__slots__})
            for one in document["services"]
        ),
        toxiproxy=str(document["links"]["toxiproxy"]),
        control=str(document["links"]["control"]),
        otlp=str(document["otlp"]),
        traces=Path(document["traces"]),
        runs=Path(document["runs"]),
        admin=dict(document["database"]["admin"]),
        catalogue=dict(document["catalogue"]),
        tls=str(document.get("tls") or ""),
        flavour=str(document["database"].get("flavour", "embedded")),
    )


def _profile(document: Mapping[str, Any]) -> str:
    """Read the policies of the moment, which may have changed since the start."""
    try:
        policies = json.loads(Path(str(document["policies"])).read_text())
        return str(policies["profile"])
    except (OSError, ValueError, KeyError):
        return str(document["profile"])
