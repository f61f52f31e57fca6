"""One link: a listener, where it leads, its toxics, and all connections through it."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Mapping
from typing import Any

from links.connection import Connection, Side
from links.errors import ToxicExistsError, UnknownToxicError
from links.lane import Lane, Traffic
from links.postgres import Tally
from links.spec import LinkSpec, LinkStats, join_address, split_address
from links.toxic import Toxic

_BACKLOG = 512


class Link:
    """A link of an engine; the distance is its own, toxics come and go.

    `listen` is the address as asked for until the link was first enabled, then the
    resolved one, which it keeps while it is disabled.
    """

    def __init__(self, spec: LinkSpec, *, seed: int = 0) -> None:
        split_address(spec.upstream)
        split_address(spec.listen)
        self.spec = spec
        self.listen = spec.listen
        self.upstream = spec.upstream
        self.enabled = False
        self.loop = asyncio.get_running_loop()
        self.traffic_up, self.traffic_down = Traffic(), Traffic()
        self.tally = Tally()
        self._seed = seed
        self._opened = 0
        self._toxics: list[Toxic] = []
        self._connections: dict[Connection, None] = {}
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._switching = asyncio.Lock()

    def __repr__(self) -> str:
        state = "enabled" if self.enabled else "disabled"
        toxics = ", ".join(toxic.name for toxic in self._toxics) or "no toxics"
        return (
            f"<Link {self.spec.name} {self.listen} -> {self.upstream}, {state}, "
            f"{len(self._connections)} connections, {toxics}>"
        )

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """All toxics, upstream first, each direction in the order of its chain."""
        up = [toxic for toxic in self._toxics if toxic.stream == "upstream"]
        return (*up, *(t for t in self._toxics if t.stream == "downstream"))

    def stats(self) -> LinkStats:
        """Give what the link has carried so far."""
        return LinkStats(
            connections_opened=self._opened,
            connections_live=len(self._connections),
            bytes_up=self.traffic_up.bytes,
            bytes_down=self.traffic_down.bytes,
            trips=self.tally.trips,
            flights=self.tally.flights,
        )

    async def enable(self) -> None:
        """Listen; raises OSError when the address cannot be had."""
        async with self._switching:
            await self._enable()

    async def disable(self) -> None:
        """Refuse new connections and close all that are open; the port stays ours."""
        async with self._switching:
            if self.enabled:
                await self._close()
                self._reserved = await self._bind(self.listen)

    async def close(self) -> None:
        """Give up the port and close every connection."""
        async with self._switching:
            await self._close()

    async def set_upstream(self, upstream: str) -> None:
        """Lead elsewhere from now on; open connections are closed.

        Raises BadAddressError.
        """
        split_address(upstream)
        if upstream != self.upstream:
            self.upstream = upstream
            await self._drop()

    async def set_listen(self, listen: str) -> None:
        """Listen elsewhere; raises BadAddressError or OSError, then it is disabled."""
        split_address(listen)
        async with self._switching:
            was_enabled = self.enabled
            await self._close()
            self.listen = listen
            if was_enabled:
                await self._enable()

    # Toxics.

    def toxic(self, name: str) -> Toxic:
        """Give the toxic `name`; raises UnknownToxicError."""
        for toxic in self._toxics:
            if toxic.name == name:
                return toxic
        raise UnknownToxicError(f"{self.spec.name} has no toxic {name!r}")

    def add_toxic(self, toxic: Toxic) -> None:
        """Put a toxic at the end of its chain, on open connections too.

        Raises ToxicExistsError.
        """
        if any(other.name == toxic.name for other in self._toxics):
            raise ToxicExistsError(f"{self.spec.name} has a toxic {toxic.name!r}")
        self._toxics.append(toxic)
        for connection in list(self._connections):
            self._apply(toxic, connection)

    def update_toxic(
        self,
        name: str,
        *,
        toxicity: float | None = None,
        attributes: Mapping[str, Any] | None = None,
        strict: bool = True,
    ) -> Toxic:
        """Change a toxic's attributes or toxicity.

        Raises UnknownToxicError, BadAttributesError.
        """
        old = self.toxic(name)
        new = old.updated(toxicity=toxicity, attributes=attributes, strict=strict)
        self._toxics[self._toxics.index(old)] = new
        for connection in list(self._connections):
            self._apply(new, connection)
        return new

    def remove_toxic(self, name: str) -> None:
        """Take a toxic off; what it held goes on at once.

        Raises UnknownToxicError.
        """
        toxic = self.toxic(name)
        self._toxics.remove(toxic)
        for connection in list(self._connections):
            self._lane(toxic, connection).take_out(name)

    def remove_toxics(self) -> None:
        """Take all toxics off."""
        for toxic in self.toxics:
            self.remove_toxic(toxic.name)

    # Connections call these.

    def accepted(self, connection: Connection) -> bool:
        """Count a new connection; False when the link was disabled meanwhile."""
        if not self.enabled:
            return False
        self._connections[connection] = None
        for toxic in self._toxics:
            self._apply(toxic, connection)
        return True

    def gone(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)

    def _protocol(self) -> Side:
        self._opened += 1
        return Connection(self, self._opened).client

    def _lane(self, toxic: Toxic, connection: Connection) -> Lane:
        return connection.up if toxic.stream == "upstream" else connection.down

    def _apply(self, toxic: Toxic, connection: Connection) -> None:
        lane = self._lane(toxic, connection)
        # One stream of chance per connection and toxic: a run repeats whatever the
        # order in which other connections drew.
        rng = random.Random(  # noqa: S311 - faults, not secrets
            f"{self._seed}/{self.spec.name}/{connection.number}/{toxic}"
        )
        hit = rng.random() < toxic.toxicity
        stage = lane.stage(toxic.name)
        if stage is not None and hit:
            stage.update(toxic.attributes)
        elif stage is not None:
            lane.take_out(toxic.name)
        elif hit:
            held = set(lane.names())
            before = [""]
            for other in self._toxics:
                if other.name == toxic.name:
                    break
                before.append(other.name)
            index = sum(name in held for name in before)
            lane.insert(toxic.name, toxic.attributes.stage(lane, rng), index)

    async def _enable(self) -> None:
        if self.enabled:
            return
        if self._reserved is None:
            self._reserved = await self._bind(self.listen)
        held, self._reserved = self._reserved, None
        self.listen = join_address(*held.getsockname()[:2])
        self.enabled = True
        self._server = await self.loop.create_server(
            self._protocol, sock=held, backlog=_BACKLOG
        )

    async def _close(self) -> None:
        self.enabled = False
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
        await self._drop()

    async def _drop(self) -> None:
        for connection in list(self._connections):
            connection.abort()
        # An aborted transport tells its protocol on one of the loop's next turns.
        for _ in range(1000):
            if not self._connections:
                return
            await asyncio.sleep(0)

    async def _bind(self, address: str) -> socket.socket:
        host, port = split_address(address)
        found = await self.loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # "localhost" means 127.0.0.1 where both exist.
        family, kind, number, _, where = min(
            found, key=lambda entry: entry[0] != socket.AF_INET
        )
        held = socket.socket(family, kind, number)
        try:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.setblocking(False)  # noqa: FBT003 - its only argument
            held.bind(where)
        except OSError:
            held.close()
            raise
        return held
