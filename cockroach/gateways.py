"""Follows the list of gateways, and whether each is ready: left before it closes.

A gateway that is about to stop says so first. CockroachDB answers 503 to
`/health?ready=1` while it drains and closes its connections only later; one that was
taken off the target's file is meant to be stopped. Either is asked nothing new.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from cockroach.topology import DatabaseTarget, Gateway, TopologyError

logger = logging.getLogger(__name__)

FILE_EVERY_S = 0.5
READY_EVERY_S = 2.0
_ANSWER_S = 1.0
_DRAINS = 503
# Gateways are ours: no proxy of the environment stands before them.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Followed(Protocol):
    """What is told of changes; a `Database` is one."""

    @property
    def target(self) -> DatabaseTarget:
        """The list of gateways in use."""

    def retarget(self, target: DatabaseTarget) -> None:
        """Use another list of gateways."""

    def leave(self, gateways: frozenset[str]) -> None:
        """Ask these nothing new; names not given any more are asked again."""


class GatewayWatch:
    """Reads the target's file when it changes, and asks gateways if they are ready.

    A file that cannot be read leaves the last good list in force, as an unreachable
    health address leaves its gateway: whether a gateway answers statements is judged
    by statements. A file that is newer than the list in use is taken at once.
    """

    def __init__(self, path: Path, database: Followed) -> None:
        self._path = path
        self._database = database
        self._stamp = self._look()
        self._gateways: tuple[Gateway, ...] = ()
        self._draining: frozenset[str] = frozenset()
        target = self._read()
        if target is not None and target != database.target:
            self._take(target)

    async def watch_file(self) -> None:
        """Follow the file until cancelled."""
        while True:
            await asyncio.sleep(FILE_EVERY_S)
            self.refresh()

    async def watch_readiness(self) -> None:
        """Ask the gateways that tell until cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(READY_EVERY_S)

    def refresh(self) -> bool:
        """Read the file if it changed; True when it was taken."""
        stamp = self._look()
        if stamp is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        target = self._read()
        if target is None:
            return False
        self._take(target)
        return True

    async def ask(self) -> frozenset[str]:
        """Ask every gateway that has a health address; return those that drain."""
        asked = [one for one in self._gateways if one.ready]
        if not asked:
            return self._draining
        answers = await asyncio.gather(
            *(asyncio.to_thread(_drains, one.ready) for one in asked)
        )
        draining = frozenset(
            one.name for one, drains in zip(asked, answers, strict=True) if drains
        )
        if draining != self._draining:
            _tell(self._draining, draining)
            self._draining = draining
            self._database.leave(draining)
        return draining

    def _take(self, target: DatabaseTarget) -> None:
        self._database.retarget(target)
        logger.info("gateways now: %s", ", ".join(one.name for one in target.gateways))

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> DatabaseTarget | None:
        try:
            target = DatabaseTarget.load(self._path)
        except (OSError, TopologyError) as error:
            logger.warning("%s is left as it was: %s", self._path, error)
            return None
        self._gateways = target.gateways
        return target


def _drains(address: str) -> bool:
    try:
        # Only http and https get here: the target refuses other addresses.
        with _open(address, timeout=_ANSWER_S):
            return False
    except urllib.error.HTTPError as error:
        return error.code == _DRAINS
    except (OSError, ssl.SSLError, ValueError):
        return False


def _tell(before: Iterable[str], now: Iterable[str]) -> None:
    for name in sorted({*now} - {*before}):
        logger.warning("gateway %s drains: it is asked nothing new", name)
    for name in sorted({*before} - {*now}):
        logger.info("gateway %s is ready again", name)
