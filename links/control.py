"""Orders to an engine in another process: one JSON object a line, over loopback.

A request is `{"op": ..., ...}`, a reply `{"ok": true, "result": ...}` or
`{"ok": false, "error": <class>, "message": ...}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from links.engine import Engine
from links.errors import BY_NAME, ControlError, LinkError
from links.link import Link
from links.spec import LinkSpec, LinkStats, join_address, split_address
from links.toxic import Toxic


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInfo:
    """A link as the engine's process tells of it; `listen` is where to dial."""

    spec: LinkSpec
    listen: str
    upstream: str
    enabled: bool
    toxics: tuple[Toxic, ...]

    @property
    def name(self) -> str:
        """The link's name."""
        return self.spec.name


def _info(link: Link) -> dict[str, Any]:
    return {
        "spec": link.spec.to_json(),
        "listen": link.listen,
        "upstream": link.upstream,
        "enabled": link.enabled,
        "toxics": [toxic.to_json() for toxic in link.toxics],
    }


def _toxic(values: Mapping[str, Any]) -> Toxic:
    rest = {key: value for key, value in values.items() if key != "type"}
    return Toxic.make(values["type"], **rest)


async def _answer(engine: Engine, order: Mapping[str, Any]) -> Any:  # noqa: C901, PLR0911 - one line an operation
    match order["op"]:
        case "add":
            return _info(await engine.add(LinkSpec(**order["spec"])))
        case "remove":
            return await engine.remove(order["name"])
        case "list":
            return [_info(link) for link in engine.links()]
        case "stats":
            return {link.spec.name: link.stats().to_json() for link in engine.links()}
        case "enable":
            return await engine.get(order["name"]).enable()
        case "disable":
            return await engine.get(order["name"]).disable()
        case "retarget":
            return await engine.get(order["name"]).set_upstream(order["upstream"])
        case "toxic_add":
            toxic = _toxic(order["toxic"])
            engine.get(order["name"]).add_toxic(toxic)
            return toxic.to_json()
        case "toxic_update":
            link = engine.get(order["name"])
            return link.update_toxic(
                order["toxic"],
                toxicity=order.get("toxicity"),
                attributes=order.get("attributes"),
            ).to_json()
        case "toxic_remove":
            return engine.get(order["name"]).remove_toxic(order["toxic"])
        case unknown:
            raise ControlError(f"unknown operation: {unknown!r}")


async def start_control(engine: Engine, address: str = "127.0.0.1:0") -> asyncio.Server:
    """Serve orders to `engine`; the server's first socket tells the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while line := await reader.readline():
                writer.write(await _reply(engine, line))
                await writer.drain()
        writer.close()

    host, port = split_address(address)
    return await asyncio.start_server(serve, host, port)


async def _reply(engine: Engine, line: bytes) -> bytes:
    try:
        reply = {"ok": True, "result": await _answer(engine, json.loads(line))}
    except (LinkError, OSError) as error:
        reply = {"ok": False, "error": type(error).__name__, "message": str(error)}
        if isinstance(error, OSError):
            reply |= {"error": "OSError", "errno": error.errno}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"bad order: {error!r}"
        reply = {"ok": False, "error": "ControlError", "message": message}
    return json.dumps(reply).encode() + b"\n"


def control_address(server: asyncio.Server) -> str:
    """Give the address that a control server listens on."""
    return join_address(*server.sockets[0].getsockname()[:2])


class LinkControl:
    """Blocking client of an engine's process; threads may share it.

    Every method raises ControlError when the process is gone, the LinkError that the
    engine raised, or the OSError that it met (an address that is taken).
    """

    def __init__(self, address: str, *, timeout: float = 10.0) -> None:
        self.address = address
        self._timeout = timeout
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._rest = b""

    def __repr__(self) -> str:
        return f"<LinkControl {self.address}>"

    def add(self, spec: LinkSpec) -> str:
        """Add a link and give the address on which it listens."""
        return _read_info(self._ask("add", spec=spec.to_json())).listen

    def remove(self, name: str) -> None:
        """Remove a link with all its connections."""
        self._ask("remove", name=name)

    def list(self) -> list[LinkInfo]:
        """Give all links in the order in which they were added."""
        return [_read_info(values) for values in self._ask("list")]

    def stats(self) -> dict[str, LinkStats]:
        """Give what every link has carried, by name."""
        return {name: LinkStats(**v) for name, v in self._ask("stats").items()}

    def enable(self, name: str) -> None:
        """Let the link listen again."""
        self._ask("enable", name=name)

    def disable(self, name: str) -> None:
        """Refuse and close all connections of a link."""
        self._ask("disable", name=name)

    def retarget(self, name: str, upstream: str) -> None:
        """Lead a link elsewhere; its connections are closed."""
        self._ask("retarget", name=name, upstream=upstream)

    def toxic_add(
        self,
        name: str,
        type_: str,
        *,
        toxic: str = "",
        stream: str = "downstream",
        toxicity: float = 1.0,
        attributes: Mapping[str, int] | None = None,
    ) -> Toxic:
        """Put a toxic on link `name`; it is called `toxic` or `<type>_<stream>`."""
        values = {
            "type": type_,
            "name": toxic,
            "stream": stream,
            "toxicity": toxicity,
            "attributes": dict(attributes or {}),
        }
        return _toxic(self._ask("toxic_add", name=name, toxic=values))

    def toxic_update(
        self,
        name: str,
        toxic: str,
        *,
        toxicity: float | None = None,
        attributes: Mapping[str, int] | None = None,
    ) -> Toxic:
        """Change the attributes or the toxicity of a toxic on link `name`."""
        changes = {"toxicity": toxicity, "attributes": dict(attributes or {})}
        return _toxic(self._ask("toxic_update", name=name, toxic=toxic, **changes))

    def toxic_remove(self, name: str, toxic: str) -> None:
        """Take a toxic off link `name`."""
        self._ask("toxic_remove", name=name, toxic=toxic)

    def close(self) -> None:
        """Close the connection; the next order opens a new one."""
        with self._lock:
            self._hang_up()

    def _ask(self, op: str, **values: Any) -> Any:
        line = json.dumps({"op": op, **values}).encode() + b"\n"
        with self._lock:
            try:
                reply = json.loads(self._exchange(line))
            except (OSError, ValueError) as error:
                self._hang_up()
                raise ControlError(f"links at {self.address}: {error}") from error
        if reply["ok"]:
            return reply["result"]
        if reply["error"] == "OSError":
            raise OSError(reply["errno"], reply["message"])
        raise BY_NAME.get(reply["error"], LinkError)(reply["message"])

    def _exchange(self, line: bytes) -> bytes:
        if self._socket is None:
            self._rest = b""
            self._socket = socket.create_connection(
                split_address(self.address), timeout=self._timeout
            )
        self._socket.sendall(line)
        while b"\n" not in self._rest:
            got = self._socket.recv(65536)
            if not got:
                raise ConnectionError("closed by the engine's process")
            self._rest += got
        reply, _, self._rest = self._rest.partition(b"\n")
        return reply

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _read_info(values: Mapping[str, Any]) -> LinkInfo:
    return LinkInfo(
        spec=LinkSpec(**values["spec"]),
        listen=values["listen"],
        upstream=values["upstream"],
        enabled=values["enabled"],
        toxics=tuple(_toxic(toxic) for toxic in values["toxics"]),
    )
