"""A scaler as many have one: more connections than so many, and a gateway is added.

It sees what its dashboard shows it, open connections a gateway, and nothing of what the
statements on them wait for. The decision is a pure function; the rest adds links to the
region's server and writes them into the lists that the services follow.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from links.control import LinkControl, LinkInfo

SQL = "sql"
LOOPBACK = "127.0.0.1:0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When to add: above so many connections a gateway, up to so many gateways.

    It looks every `every_s` seconds, and adds at most one gateway a region then.
    """

    connections_at_most: float
    most_gateways: int
    every_s: float

    def __post_init__(self) -> None:
        if self.connections_at_most <= 0 or self.every_s <= 0 or self.most_gateways < 1:
            raise ValueError("a scaler needs a positive bound, interval and number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was seen in a region, what was done, and why."""

    region: str
    connections: Mapping[str, int]
    action: str  # add | stay
    why: str
    gateway: str = ""


def decide(region: str, connections: Mapping[str, int], rule: Rule) -> Decision:
    """Decide for one region by the open connections of each of its gateways."""
    mean = sum(connections.values()) / len(connections) if connections else 0.0
    seen = f"{mean:.0f} connections a gateway, {rule.connections_at_most:g} are normal"
    said: dict[str, Any] = {"region": region, "connections": dict(connections)}
    if mean <= rule.connections_at_most:
        return Decision(**said, action="stay", why=seen)
    if len(connections) >= rule.most_gateways:
        return Decision(**said, action="stay", why=f"{seen}; no more to be had")
    taken = set(connections)
    names = (f"{region}-{letter}" for letter in ascii_lowercase)
    free = next(name for name in names if name not in taken)
    return Decision(**said, action="add", why=seen, gateway=free)


class Scaler:
    """Looks, decides, acts, and writes each decision down, until it is stopped.

    `lists` are the files of gateways by client region, which the services follow.
    `note` names what was added, for `undo`, should this process not come to it.
    """

    def __init__(
        self,
        control: LinkControl,
        *,
        lists: Mapping[str, Path],
        log: Path,
        note: Path,
        rule: Rule,
    ) -> None:
        self._control = control
        self._lists = dict(lists)
        self._log = log
        self._note = note
        self._rule = rule
        self._originals = {region: path.read_bytes() for region, path in lists.items()}
        self._added: list[str] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.looks_s: list[float] = []
        self.error = ""

    @property
    def added(self) -> Sequence[str]:
        """The links that were added."""
        return tuple(self._added)

    def start(self) -> None:
        """Begin to look, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; what was added stays."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def look(self) -> list[Decision]:
        """Look once at every region, and act. Raises LinkError, OSError."""
        decisions = [
            decide(region, connections, self._rule)
            for region, connections in sorted(self._connections().items())
        ]
        for one in decisions:
            if one.action == "add":
                self._add(one.region, one.gateway)
        self.looks_s.append(time.time())
        with self._log.open("a") as log:
            for one in decisions:
                line = {"at_s": round(self.looks_s[-1], 3), **asdict(one)}
                log.write(json.dumps(line) + "\n")
        return decisions

    def take_back(self) -> list[str]:
        """Write the lists as they were; name those that are not so now."""
        for region, text in self._originals.items():
            if self._lists[region].read_bytes() != text:
                _write(self._lists[region], text)
        return [
            region
            for region, text in self._originals.items()
            if self._lists[region].read_bytes() != text
        ]

    def remove_links(self) -> None:
        """Remove the links that were added. Raises LinkError, OSError."""
        while self._added:
            self._control.remove(self._added.pop())
        self._note.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stopped.wait(self._rule.every_s):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - told by the proof of the run
                self.error = f"{type(error).__name__}: {error}"
                return

    def _sql_links(self) -> list[LinkInfo]:
        return [link for link in self._control.list() if link.spec.kind == SQL]

    def _connections(self) -> dict[str, dict[str, int]]:
        stats = self._control.stats()
        found: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for link in self._sql_links():
            gateways = found[link.spec.target]
            gateway = _gateway(link)
            live = stats[link.name].connections_live if link.name in stats else 0
            gateways[gateway] = gateways.get(gateway, 0) + live
        return found

    def _add(self, region: str, gateway: str) -> None:
        for link in self._sql_links():
            # Beside the first one of the region, for each region that dials it.
            if link.spec.target != region or not link.name.endswith(f"-{region}-a"):
                continue
            name = link.name.removesuffix(f"{region}-a") + gateway
            self._added.append(name)
            with self._note.open("a") as note:
                note.write(f"{name}\n")
            listen = self._control.add(replace(link.spec, name=name, listen=LOOPBACK))
            self._list(link.spec.source, gateway, listen)

    def _list(self, client: str, gateway: str, listen: str) -> None:
        path = self._lists[client]
        document = json.loads(path.read_bytes())
        region, _, zone = gateway.rpartition("-")
        host, _, port = listen.rpartition(":")
        document["gateways"].append(
            {
                "name": gateway,
                "region": region,
                "zone": zone,
                "host": host,
                "port": int(port),
            }
        )
        _write(path, json.dumps(document, indent=2).encode())


def undo(note: Path, *, lists: Mapping[str, Path], control: LinkControl) -> list[str]:
    """Take back what a scaler added that did not come to it; give the links' names.

    Harmless when there is nothing. Raises LinkError, OSError.
    """
    if not note.exists():
        return []
    names = note.read_text().split()
    for client, path in lists.items():
        document = json.loads(path.read_bytes())
        kept = [
            one
            for one in document["gateways"]
            if f"{SQL}-{client}-to-{one['name']}" not in names
        ]
        if kept != document["gateways"]:
            _write(path, json.dumps({**document, "gateways": kept}, indent=2).encode())
    for link in control.list():
        if link.name in names:
            control.remove(link.name)
    note.unlink(missing_ok=True)
    return names


def _gateway(link: LinkInfo) -> str:
    return link.name.removeprefix(f"{SQL}-{link.spec.source}-to-")


def _write(path: Path, text: bytes) -> None:
    """Replace a file at once, readable by whom it was: it holds a password."""
    part = path.with_name(f".{path.name}.part")
    mode = path.stat().st_mode & 0o777
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
    part.replace(path)
