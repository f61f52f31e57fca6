"""Where a drill takes place: a directory, links, a janitor, and the servers in it.

One drill at a time below a folder. What a drill left behind whose janitor was killed
too is removed before the next begins.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from cockroach.drills import janitor
from cockroach.drills.errors import DrillError, DrillUnavailableError
from cockroach.drills.site import Site
from cockroach.embedded.account import Footing, choose
from cockroach.embedded.binaries import find
from links import LinkControl, LinkSpec
from links.process import LinksProcess
from links.spec import split_address

_PREFIX = "work-"
_HOMES = "homes.json"


class Workplace:
    """Holds everything of one drill; nothing of it is left when it is closed.

    Raises EmbeddedError without a PostgreSQL, DrillError when another drill runs.
    """

    def __init__(self, folder: Path, *, bindir: Path | None = None) -> None:
        self._folder = Path(folder).absolute()
        self._bindir = bindir
        self._stack = ExitStack()
        self._secret = secrets.token_hex(16)
        self._footing: Footing | None = None
        self._links: LinksProcess | None = None

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def links(self) -> LinkControl:
        """The line to the process that carries the links."""
        assert self._links is not None
        return self._links.control

    def _open(self) -> None:
        self._stack.enter_context(_alone(self._folder))
        for stale in self._folder.glob(f"{_PREFIX}*"):
            janitor.clean(_homes(stale))
        work = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._folder))
        self._stack.callback(janitor.clean, [work])
        # The account that root steps down to has to pass through.
        work.chmod(0o711)
        footing = choose(find(self._bindir), work / "servers")
        footing.home.mkdir(exist_ok=True)
        footing.home.chmod(0o755)
        footing.account.own(footing.home)
        homes = [footing.home, work]
        (work / _HOMES).write_text(json.dumps([str(home) for home in homes]))
        # Last of all: an interrupted clean-up is still the janitor's.
        self._stack.callback(_dismiss, _hire(homes))
        self._stack.callback(janitor.clean, homes)
        self._links = self._stack.enter_context(LinksProcess())
        self._footing = footing

    @contextmanager
    def round(self, name: str) -> Iterator[Round]:
        """Give a place for one round; its servers and links end with it."""
        assert self._footing is not None
        home = self._footing.home / name
        home.mkdir(mode=0o755)
        home.chmod(0o755)
        self._footing.account.own(home)
        place = Round(
            footing=replace(self._footing, home=home),
            links=self.links,
            secret=self._secret,
        )
        try:
            yield place
        finally:
            place.close()
            janitor.clean([home])


class Round:
    """The servers, links and files of one round of a drill."""

    def __init__(self, *, footing: Footing, links: LinkControl, secret: str) -> None:
        self.home = footing.home
        self.links = links
        self._footing = footing
        self._secret = secret
        self._sites: list[Site] = []
        self._linked: list[str] = []

    def site(self, name: str) -> Site:
        """Give a server that is yet to be made, on a free port."""
        site = Site(
            name=name, footing=self._footing, port=_free_port(), secret=self._secret
        )
        self._sites.append(site)
        return site

    def link(self, name: str, site: Site, *, rtt_ms: float = 0.0) -> int:
        """Open a link to a server and give its port. Raises LinkError."""
        spec = LinkSpec(name=name, upstream=site.address, rtt_ms=rtt_ms)
        listen = self.links.add(spec)
        self._linked.append(name)
        return split_address(listen)[1]

    def cap(self, site: Site, megabytes: int) -> Path:
        """Give a server's data a disk of its own that is this small.

        Raises DrillUnavailableError where such a disk cannot be had.
        """
        path = site.server.data
        path.mkdir(mode=0o700)
        options = f"size={megabytes}m,mode=0700"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DrillUnavailableError(
                "a disk that fills needs the right to mount a small one, which this "
                f"account does not have ({done.stderr.strip()})"
            )
        self._footing.account.own(path)
        return path

    def close(self) -> None:
        """End the servers and remove the links."""
        for site in self._sites:
            site.kill()
        for name in self._linked:
            with contextlib.suppress(Exception):
                self.links.remove(name)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise DrillError(
                f"process {owner} already runs a drill in {folder}"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _homes(stale: Path) -> list[Path]:
    homes = [stale]
    with contextlib.suppress(OSError, ValueError):
        homes += [Path(home) for home in json.loads((stale / _HOMES).read_text())]
    return homes


def _hire(homes: list[Path]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", janitor.__name__, *map(str, homes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _dismiss(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
        process.communicate(b"done", timeout=5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
