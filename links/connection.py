"""One connection through a link: the accepted side, the dialled side, two lanes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from links.lane import Lane
from links.postgres import Flights
from links.spec import split_address
from links.stage import Distance, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from links.link import Link

# Everybody reads into the same memory: a chunk is copied out before anything else
# can read, so one buffer serves all connections of the process.
_BUFFER = memoryview(bytearray(128 * 1024))
_RESET = struct.pack("ii", 1, 0)


class Side(asyncio.BufferedProtocol):
    """One of the two sockets; what it reads goes into `outgoing`."""

    __slots__ = ("connection", "incoming", "lost", "outgoing", "transport")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self.outgoing: Lane
        self.incoming: Lane

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and tell the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.connection.made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared memory for one read."""
        del sizehint
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Send what was read on its way."""
        self.outgoing.receive(bytes(_BUFFER[:nbytes]))

    def eof_received(self) -> bool:
        """Pass the end on; this side may still be spoken to."""
        self.outgoing.finish(hangup=False)
        return True

    def pause_writing(self) -> None:
        """Stop the lane that writes here."""
        self.incoming.fill()

    def resume_writing(self) -> None:
        """Let the lane that writes here go on."""
        self.incoming.drain()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other side, after what this one had sent; also after a reset."""
        del exc
        self.lost = True
        self.connection.lost(self)


class Connection:
    """One accepted connection and the one dialled for it."""

    def __init__(self, link: Link, number: int) -> None:
        spec = link.spec
        self.loop = link.loop
        self.link = link
        self.number = number
        sent: Callable[[bytes], int] | None = None
        answered: Callable[[bytes], int] | None = None
        if spec.protocol == "postgres":
            flights = Flights(link.tally, fold=spec.fold)
            sent, answered = flights.client, flights.server
        half = spec.rtt_ms / 2000

        def distance(lane: Lane) -> Stage:
            return Distance(lane, delay=half, end_delay=0.0 if spec.fold else half)

        far = distance if half > 0 else None
        self.up = Lane(self, link.traffic_up, sent, far)
        self.down = Lane(self, link.traffic_down, answered, far)
        self.client, self.server = Side(self), Side(self)
        self.client.outgoing = self.server.incoming = self.up
        self.server.outgoing = self.client.incoming = self.down
        self._dial: asyncio.Task[None] | None = None
        self._closed_halves: set[Lane] = set()

    def made(self, side: Side) -> None:
        """Dial when accepted, and let the bytes flow when both sides are there."""
        assert side.transport is not None
        if side is self.client:
            side.transport.pause_reading()
            if self.link.accepted(self):
                self._dial = self.loop.create_task(self._open())
            else:
                self.abort()
            return
        client = self.client.transport
        if client is None or client.is_closing():
            self.abort()
            return
        self.up.connect(client, side.transport)
        self.down.connect(side.transport, client)
        self.up.relieve()

    async def _open(self) -> None:
        spec = self.link.spec
        try:
            # TCP's own handshake takes a round trip; postgres_fdw's connections are
            # part of what a folded link does not charge.
            if spec.rtt_ms > 0 and not spec.fold:
                await asyncio.sleep(spec.rtt_ms / 1000)
            host, port = split_address(self.link.upstream)
            await self.loop.create_connection(lambda: self.server, host, port)
        except OSError:
            self._dial = None
            self.reset()

    def half_closed(self, lane: Lane) -> None:
        """Close both sides once neither has anything more to say."""
        self._closed_halves.add(lane)
        if len(self._closed_halves) == 2:
            self.hang_up()

    def hang_up(self) -> None:
        """Close both sides, after what has been written to them."""
        self._stop()
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.close()

    def abort(self) -> None:
        """Close both sides at once."""
        self._stop()
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.abort()

    def reset(self) -> None:
        """Close both sides with a TCP reset: the peers see ECONNRESET."""
        for side in (self.client, self.server):
            if side.transport is not None:
                held = side.transport.get_extra_info("socket")
                if held is not None:
                    with contextlib.suppress(OSError):
                        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()

    def lost(self, side: Side) -> None:
        """Deliver what the lost side had said, then close the other."""
        side.incoming.stop()
        other = self.server if side is self.client else self.client
        if self._dial is not None and other.transport is None:
            self._dial.cancel()
        if other.transport is None or other.lost:
            self._stop()
            self.link.gone(self)
        else:
            side.outgoing.finish(hangup=True)

    def _stop(self) -> None:
        self.up.stop()
        self.down.stop()
        if self._dial is not None and self.server.transport is None:
            self._dial.cancel()
