"""Ports of the loopback for servers: free ones, and taken ones in words."""

from __future__ import annotations

import socket

from cockroach.embedded.errors import PortTakenError


def free_ports(count: int) -> tuple[int, ...]:
    """Pick ports that nobody holds at this moment; anybody may take them next."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return tuple(one.getsockname()[1] for one in held)
    finally:
        for one in held:
            one.close()


def refuse_taken(port: int) -> None:
    """Raise PortTakenError when somebody listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTakenError(
                f"port {port} is taken; stop what listens there or choose another"
            ) from error
