"""Real sockets on loopback: an engine, servers to lead to, and bounded waiting."""

import asyncio
import contextlib

import pytest

from links import Engine, LinkSpec
from links.spec import split_address


@pytest.fixture
async def engine():
    """An engine that is closed again."""
    engine = Engine(seed=1)
    yield engine
    await engine.close()


@pytest.fixture
async def until():
    """Waits for a condition, with a bound."""

    async def wait(condition):
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - what is awaited has no event
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
async def serve():
    """Starts a server from a handler; gives its address."""
    servers, tasks = [], set()

    async def start(handler):
        async def run(reader, writer):
            task = asyncio.current_task()
            tasks.add(task)
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await handler(reader, writer)
            writer.transport.abort()
            tasks.discard(task)

        server = await asyncio.start_server(run, "127.0.0.1", 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def echo(serve):
    """The address of a server that says what it hears, and ends when that ends."""

    async def handler(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
        await reader.read(1)

    return await serve(handler)


@pytest.fixture
async def dial():
    """Dials an address; the connection is closed again."""
    writers = []

    async def connect(address):
        reader, writer = await asyncio.open_connection(*split_address(address))
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)


@pytest.fixture
def ask():
    """Says something and gives the answer with its round trip in milliseconds."""

    async def exchange(connection, said=b"hello"):
        reader, writer = connection
        loop = asyncio.get_running_loop()
        began = loop.time()
        writer.write(said)
        heard = await asyncio.wait_for(reader.readexactly(len(said)), 10)
        return heard, (loop.time() - began) * 1000

    return exchange


@pytest.fixture
async def link(engine, echo):
    """A link without distance to the echo server."""
    return await engine.add(LinkSpec(name="plain", upstream=echo))
