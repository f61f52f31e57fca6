"""Servers that answer at once: `python -m lab.bench.echo NAME...`.

Says their ports, and which cannot be and why, as JSON on standard output; ends when
its input does.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from grpc import aio

from lab.bench import variants, wire


async def _echo(request: bytes, _context: Any) -> bytes:
    return request


async def _stream(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    for _ in range(int(request)):
        yield wire.REQUEST


async def _fail(_request: bytes, context: Any) -> bytes:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "as asked")
    raise AssertionError("abort raises")


async def _cpu(_request: bytes, _context: Any) -> bytes:
    return repr(time.process_time()).encode()


async def serve(names: Sequence[str]) -> None:
    """Serve the variants called *names*, each on a port, until standard input ends.

    In one process, as two of the same code differ by more than a chain costs.
    """
    ports: dict[str, int] = {}
    skipped: dict[str, str] = {}
    servers = []
    for name in names:
        build = next(one.build for one in variants.SERVER if one.name == name)
        try:
            interceptors = build()
        except (AttributeError, ImportError, TypeError, ValueError) as error:
            skipped[name] = str(error)
            continue
        server = aio.server(interceptors=interceptors)
        server.add_generic_rpc_handlers((_handlers(),))
        ports[name] = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
    sys.stdout.write(json.dumps({"ports": ports, "skipped": skipped}) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for server in servers:
        await server.stop(0)


def _handlers() -> grpc.GenericRpcHandler:
    unary = grpc.unary_unary_rpc_method_handler
    handlers: dict[str, Any] = {
        "Echo": unary(_echo),
        "Stream": grpc.unary_stream_rpc_method_handler(_stream),
        "Fail": unary(_fail),
        "Cpu": unary(_cpu),
    }
    return grpc.method_handlers_generic_handler(wire.SERVICE, handlers)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
