"""The server that is measured against: one process, told its variant by name."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc import aio

from lab.bench.variants import SERVERS

MESSAGES = 100


async def _unary(_request: bytes, _context: Any) -> bytes:
    return b"answer"


async def _stream(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
    for _ in range(MESSAGES):
        yield b"message"


async def _cpu(_request: bytes, _context: Any) -> bytes:
    return repr(time.process_time()).encode()


async def serve(variant: str) -> None:
    """Serve until standard input closes, which it does with whoever started us."""
    server = aio.server(interceptors=SERVERS[variant]())
    handlers: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(_unary),
        "Stream": grpc.unary_stream_rpc_method_handler(_stream),
        "Cpu": grpc.unary_unary_rpc_method_handler(_cpu),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Bench", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
