"""A commit now and then at a server that has copies, though nobody writes.

How old a copy can be is told by the last commit that it replayed. Without one, the
copy of a quiet server would count as older and older, and nobody would read it.
"""

from __future__ import annotations

import contextlib
import threading

import psycopg

from cockroach.embedded.build import Site

# Well below any age that readers put up with, and a few bytes of log each.
HEARTBEAT_S = 2.0
# Whoever has a number commits, even when nothing was written.
_COMMIT = "select pg_current_xact_id()"


class Heartbeat:
    """The commits at one server, from a thread of its own, until stop.

    A server that is away is asked again at the next beat. One that is paused keeps
    the thread waiting; it ends with the server's connections.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"heartbeat-{site.region}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Commit no more. Does not wait."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(psycopg.Error), self._site.connect() as session:
                while not self._over.is_set():
                    session.execute(_COMMIT)
                    self._over.wait(HEARTBEAT_S)
            self._over.wait(HEARTBEAT_S)
