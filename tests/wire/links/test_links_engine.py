import asyncio
import contextlib
import random
import socket
import struct
import time

import pytest

from links import LinkSpec, Toxic
from links.errors import (
    BadAddressError,
    LinkExistsError,
    ToxicExistsError,
    UnknownLinkError,
    UnknownToxicError,
)


async def test_a_plain_link_passes_bytes_and_counts_them(link, dial, ask, until):
    """Bytes arrive whole both ways and are counted while the connection lives."""
    connection = await dial(link.listen)
    sent = random.Random(1).randbytes(1_000_000)
    reader, writer = connection
    writer.write(sent)
    heard = await asyncio.wait_for(reader.readexactly(len(sent)), 10)
    stats = link.stats()

    assert heard == sent
    assert (stats.bytes_up, stats.bytes_down) == (1_000_000, 1_000_000)
    assert (stats.connections_opened, stats.connections_live) == (1, 1)
    assert "plain" in repr(link)

    writer.close()
    await until(lambda: link.stats().connections_live == 0)


async def test_distance_costs_half_a_round_trip_each_way(engine, echo, dial, ask):
    """Connecting costs a round trip and so does each exchange, however pipelined."""
    link = await engine.add(LinkSpec(name="wan", upstream=echo, rtt_ms=60))
    connection = await dial(link.listen)
    _, first = await ask(connection)
    _, second = await ask(connection)
    reader, writer = connection
    began = time.monotonic()
    for number in range(20):
        writer.write(bytes([number]))
        await asyncio.sleep(0.002)
    heard = await asyncio.wait_for(reader.readexactly(20), 5)
    many = (time.monotonic() - began) * 1000

    assert 118 <= first < 500
    assert 59 <= second < 300
    assert heard == bytes(range(20))
    assert 98 <= many < 500


async def test_a_slow_dial_holds_up_no_other(engine, echo, until):
    """While one upstream connection hangs, the next is made."""
    link = await engine.add(LinkSpec(name="slow", upstream=echo))
    loop = link.loop
    create, gate, calls = loop.create_connection, asyncio.Event(), []

    async def hang_first(*args):
        calls.append(args)
        if len(calls) == 1:
            await gate.wait()
        return await create(*args)

    async def say(words):
        host, port = link.listen.split(":")
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, (host, int(port)))
            await loop.sock_sendall(client, words)
            return await asyncio.wait_for(loop.sock_recv(client, 100), 10)

    loop.create_connection = hang_first
    try:
        hanging = asyncio.create_task(say(b"first"))
        await until(lambda: calls)

        assert await say(b"second") == b"second"
        assert not hanging.done()

        gate.set()

        assert await hanging == b"first"
    finally:
        del loop.create_connection


async def test_half_of_a_connection_can_be_closed(engine, serve, dial, until):
    """A client that has said all still hears the answer, over the distance too."""

    async def handler(reader, writer):
        said = await reader.read()
        writer.write(b"heard " + said)
        await writer.drain()

    upstream = await serve(handler)
    link = await engine.add(LinkSpec(name="half", upstream=upstream, rtt_ms=20))
    reader, writer = await dial(link.listen)
    writer.write(b"all")
    writer.write_eof()

    assert await asyncio.wait_for(reader.read(), 5) == b"heard all"

    writer.close()
    await until(lambda: link.stats().connections_live == 0)


async def test_a_server_killed_mid_answer_does_not_hang_its_client(engine, dial, until):
    """A reset from the far end closes the near one, with the distance between."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    upstream = f"127.0.0.1:{listener.getsockname()[1]}"
    link = await engine.add(
        LinkSpec(name="k", upstream=upstream, rtt_ms=20, protocol="postgres", fold=True)
    )
    reader, writer = await dial(link.listen)
    loop = asyncio.get_running_loop()
    server, _ = await loop.sock_accept(listener)
    writer.write(b"question")
    await loop.sock_recv(server, 1)
    # A killed process with unread bytes answers with a reset, as does linger 0.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    listener.close()
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    await until(lambda: link.stats().connections_live == 0)


async def test_a_client_that_goes_takes_its_server_side_along(
    engine, serve, dial, until
):
    """A client's reset reaches a server that is silent."""
    ended = asyncio.Event()

    async def handler(reader, writer):
        with contextlib.suppress(ConnectionError):
            while await reader.read(100):
                pass
        ended.set()

    link = await engine.add(LinkSpec(name="c", upstream=await serve(handler)))
    _, writer = await dial(link.listen)
    writer.write(b"a")
    await until(lambda: link.stats().bytes_up == 1)
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    writer.transport.abort()
    await asyncio.wait_for(ended.wait(), 5)
    await until(lambda: link.stats().connections_live == 0)


async def test_a_refused_upstream_resets_the_client(engine, dial):
    """Where nobody listens the client learns it at once, as ECONNRESET."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        upstream = f"127.0.0.1:{unused.getsockname()[1]}"
    link = await engine.add(LinkSpec(name="refused", upstream=upstream))
    reader, _ = await dial(link.listen)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)


async def test_reset_peer_resets_a_connection_that_was_there_before(link, dial, ask):
    """Client and link agree: ECONNRESET, not an orderly end."""
    connection = await dial(link.listen)
    await ask(connection)
    link.add_toxic(Toxic.make("reset_peer"))
    connection[1].write(b"next")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(connection[0].read(), 5)


async def test_latency_comes_and_goes_on_a_live_connection(link, dial, ask):
    """The same connection is fast, slow, slower and fast again."""
    connection = await dial(link.listen)
    _, before = await ask(connection)
    link.add_toxic(Toxic.make("latency", attributes={"latency": 60}))
    _, during = await ask(connection)
    link.update_toxic("latency_downstream", attributes={"latency": 120})
    _, more = await ask(connection)
    link.remove_toxic("latency_downstream")
    _, after = await ask(connection)

    assert before < 50
    assert 59 <= during < 400
    assert 119 <= more < 400
    assert after < 50


async def test_toxics_come_and_go_under_traffic_without_losing_a_byte(link, dial):
    """A stream arrives whole while every harmless toxic comes and goes."""
    reader, writer = await dial(link.listen)
    sent = random.Random(2).randbytes(1_000_000)
    toxics = [
        Toxic.make("latency", attributes={"latency": 30, "jitter": 20}),
        Toxic.make("bandwidth", stream="upstream", attributes={"rate": 2000}),
        Toxic.make("slicer", attributes={"average_size": 500, "size_variation": 90}),
        Toxic.make("latency", stream="upstream", attributes={"latency": 5000}),
        Toxic.make("bandwidth", attributes={"rate": 0}),
    ]

    async def trouble():
        for toxic in toxics:
            link.add_toxic(toxic)
            await asyncio.sleep(0.05)
        for toxic in reversed(toxics):
            link.remove_toxic(toxic.name)
            await asyncio.sleep(0.02)

    async def speak():
        for at in range(0, len(sent), 10_000):
            writer.write(sent[at : at + 10_000])
            await writer.drain()
            await asyncio.sleep(0.001)

    _, _, heard = await asyncio.wait_for(
        asyncio.gather(trouble(), speak(), reader.readexactly(len(sent))), 20
    )

    assert heard == sent


async def test_a_reader_that_stops_holds_the_writer_up(engine, serve, dial, until):
    """What is in flight is bounded when nobody reads at the far end."""
    release = asyncio.Event()

    async def handler(reader, writer):
        await release.wait()
        writer.write(b"%d" % len(await reader.read()))
        await writer.drain()

    upstream = await serve(handler)
    link = await engine.add(LinkSpec(name="full", upstream=upstream, rtt_ms=10))
    reader, writer = await dial(link.listen)
    writer.write(bytes(60_000_000))
    writer.write_eof()
    seen = -1
    while seen != link.stats().bytes_up:
        seen = link.stats().bytes_up
        await asyncio.sleep(0.2)

    assert 0 < seen < 30_000_000

    release.set()

    assert await asyncio.wait_for(reader.read(), 20) == b"60000000"


async def test_a_disabled_link_refuses_and_keeps_its_port(link, dial, ask):
    """Off: open connections end and new ones are refused; on: the same address."""
    connection = await dial(link.listen)
    await ask(connection)
    address = link.listen
    link.add_toxic(Toxic.make("noop"))
    await link.disable()

    assert await asyncio.wait_for(connection[0].read(), 5) == b""
    with pytest.raises(ConnectionRefusedError):
        await dial(address)

    await link.enable()
    await link.enable()

    assert address == link.listen
    assert [toxic.name for toxic in link.toxics] == ["noop_downstream"]
    assert (await ask(await dial(address)))[0] == b"hello"


async def test_a_link_is_led_elsewhere(link, serve, dial, ask):
    """After a change of upstream the next connection ends up there."""

    async def handler(reader, writer):
        await reader.read(5)
        writer.write(b"other")
        await writer.drain()

    connection = await dial(link.listen)
    await ask(connection)
    await link.set_upstream(await serve(handler))

    assert await asyncio.wait_for(connection[0].read(), 5) == b""
    assert (await ask(await dial(link.listen)))[0] == b"other"
    with pytest.raises(BadAddressError):
        await link.set_upstream("nowhere")


async def test_a_folded_link_charges_paid_flights_alone(engine, echo, dial, ask):
    """On the wire a START TRANSACTION is free, a FETCH takes the round trip."""
    spec = LinkSpec(
        name="fdw", upstream=echo, rtt_ms=80, protocol="postgres", fold=True
    )
    link = await engine.add(spec)
    connection = await dial(link.listen)
    began = time.monotonic()
    await ask(connection, struct.pack("!II", 9, 196608) + b"\0")
    for statement in (b"START TRANSACTION", b"DECLARE c CURSOR FOR SELECT 1"):
        await ask(connection, query(statement))
    free = (time.monotonic() - began) * 1000
    _, paid = await ask(connection, query(b"FETCH 100 FROM c"))
    link.add_toxic(Toxic.make("latency", attributes={"latency": 100}))
    _, still_free = await ask(connection, query(b"CLOSE c"))
    _, late = await ask(connection, query(b"FETCH 100 FROM c"))
    stats = link.stats()

    assert free < 70
    assert 79 <= paid < 400
    assert still_free < 70
    assert 179 <= late < 500
    assert (stats.trips, stats.flights) == (2, 6)


async def test_a_replication_connection_pays_on_a_folded_link(engine, echo, dial, ask):
    """The wire holds a replication stream back by the distance from its first byte."""
    spec = LinkSpec(
        name="repl", upstream=echo, rtt_ms=80, protocol="postgres", fold=True
    )
    link = await engine.add(spec)
    connection = await dial(link.listen)
    settings = b"user\0repl\0replication\0database\0\0"
    packet = struct.pack("!II", 8 + len(settings), 196608) + settings
    _, started = await ask(connection, packet)
    _, streamed = await ask(connection, b"d" + struct.pack("!I", 8) + b"data")

    assert 79 <= started < 400
    assert 79 <= streamed < 400


def query(sql):
    return b"Q" + struct.pack("!I", len(sql) + 5) + sql + b"\0"


async def test_toxicity_is_drawn_per_connection_from_the_seed(engine, echo, dial, ask):
    """About the asked share of connections is hit, the same ones with the same seed."""

    async def hit(name):
        link = await engine.add(LinkSpec(name=name, upstream=echo))
        toxic = Toxic.make("limit_data", toxicity=0.5, attributes={"bytes": 3})
        link.add_toxic(toxic)
        hits = []
        for _ in range(40):
            reader, writer = await dial(link.listen)
            writer.write(b"hello")
            with contextlib.suppress(asyncio.IncompleteReadError):
                await asyncio.wait_for(reader.readexactly(5), 5)
                hits.append(reader)
                continue
            hits.append(None)
        await engine.remove(name)
        return [reader is None for reader in hits]

    first, again, other = await hit("one"), await hit("one"), await hit("two")

    assert first == again != other
    assert 8 <= sum(first) <= 32


async def test_the_engine_refuses_what_it_cannot_do(engine, link, echo):
    """Names are unique, addresses are checked, and what is unknown is said to be."""
    with pytest.raises(LinkExistsError):
        await engine.add(LinkSpec(name="plain", upstream=echo))
    with pytest.raises(BadAddressError):
        await engine.add(LinkSpec(name="bad", upstream="nowhere"))
    with pytest.raises(OSError, match="in use"):
        await engine.add(LinkSpec(name="taken", upstream=echo, listen=link.listen))
    with pytest.raises(UnknownLinkError):
        engine.get("taken")
    with pytest.raises(UnknownToxicError):
        link.remove_toxic("latency_downstream")
    link.add_toxic(Toxic.make("noop", name="one"))
    with pytest.raises(ToxicExistsError):
        link.add_toxic(Toxic.make("latency", name="one", stream="upstream"))

    assert [each.spec.name for each in engine.links()] == ["plain"]
    assert repr(engine) == "<Engine 1 links>"


async def test_closing_the_engine_closes_everything(engine, link, dial, ask):
    """After close nothing listens and every connection has ended."""
    connection = await dial(link.listen)
    await ask(connection)
    link.add_toxic(Toxic.make("latency", attributes={"latency": 60_000}))
    connection[1].write(b"held")
    await engine.close()
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(connection[0].read(), 5) == b""
    with pytest.raises(ConnectionRefusedError):
        await dial(link.listen)
