"""One variant for a moment: CPU of both processes, latencies, calls a second."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio

from lab.bench import wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of each shape a round holds for each variant."""

    calls: int
    calls_each: int
    messages: int
    warm_up: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One variant and shape in one round; microseconds are per call or message."""

    shape: str
    client_us: float
    server_us: float
    p50_us: float
    rps: float


class Server:
    """The server's account of its own CPU time, over a channel that nobody measures."""

    def __init__(self, address: str) -> None:
        self._channel = aio.insecure_channel(address)
        self._ask: Any = self._channel.unary_unary(wire.CPU)

    async def cpu_s(self) -> float:
        """Return the seconds of CPU that the server's process has had."""
        return float(await self._ask(b"", timeout=10))

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


Shape = Callable[[], Awaitable[list[float]]]


async def _taken(
    server: Server, shape: str, of: int, work: Callable[[], Awaitable[list[float]]]
) -> Sample:
    served = await server.cpu_s()
    started, cpu = time.perf_counter(), time.process_time()
    latencies = await work()
    cpu = time.process_time() - cpu
    elapsed = time.perf_counter() - started
    served = await server.cpu_s() - served
    return Sample(
        shape=shape,
        client_us=1e6 * cpu / of,
        # One of the two questions about it is in the answer.
        server_us=1e6 * served / (of + 1),
        p50_us=1e6 * statistics.median(latencies),
        rps=of / elapsed,
    )


class Aio:
    """A variant's channel for grpc.aio."""

    def __init__(
        self,
        address: str,
        interceptors: list[Any],
        *,
        streams: bool,
        timeout_s: float | None,
    ) -> None:
        # Channels to one address share a connection unless told otherwise.
        options = (("grpc.use_local_subchannel_pool", 1),)
        self._channel = aio.insecure_channel(address, options, None, interceptors)
        self._unary: Any = self._channel.unary_unary(wire.ECHO)
        self._stream: Any = self._channel.unary_stream(wire.STREAM)
        self._streams = streams
        self._timeout_s = timeout_s

    async def samples(self, server: Server, size: Size) -> list[Sample]:
        """Measure every shape once."""
        for _ in range(size.warm_up):
            await self._unary(wire.REQUEST, timeout=self._timeout_s)
        each = size.calls_each

        async def sequential() -> list[float]:
            return await self._calls(size.calls)

        async def in_flight() -> list[float]:
            callers = (self._calls(each) for _ in range(wire.CALLERS))
            return [one for some in await asyncio.gather(*callers) for one in some]

        async def streamed() -> list[float]:
            return await self._messages(size.messages)

        found = [
            await _taken(server, wire.SEQUENTIAL, size.calls, sequential),
            await _taken(server, wire.IN_FLIGHT, wire.CALLERS * each, in_flight),
        ]
        if self._streams:
            found.append(await _taken(server, wire.STREAMED, size.messages, streamed))
        return found

    async def _calls(self, number: int) -> list[float]:
        call, clock, timeout_s = self._unary, time.perf_counter, self._timeout_s
        latencies: list[float] = []
        for _ in range(number):
            started = clock()
            await call(wire.REQUEST, timeout=timeout_s)
            latencies.append(clock() - started)
        return latencies

    async def _messages(self, number: int) -> list[float]:
        clock = time.perf_counter
        latencies: list[float] = []
        last = clock()
        async for _ in self._stream(str(number).encode(), timeout=self._timeout_s):
            now = clock()
            latencies.append(now - last)
            last = now
        if len(latencies) != number:
            raise RuntimeError(f"{len(latencies)} of {number} messages came")
        return latencies

    async def refusals(self, number: int) -> list[float]:
        """Open the breaker by failing, then time how long refusals take, in seconds."""
        fail: Any = self._channel.unary_unary(wire.FAIL)
        clock = time.perf_counter
        latencies: list[float] = []
        while len(latencies) < number:
            started = clock()
            try:
                await fail(wire.REQUEST)
            except aio.AioRpcError as error:
                refused = dict(error.trailing_metadata() or ())
                if "x-seawall-refusal" in refused:
                    latencies.append(clock() - started)
        return latencies

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


class Blocking:
    """A variant's channel for the blocking API; the event loop waits meanwhile."""

    def __init__(self, address: str, interceptors: list[Any]) -> None:
        options = (("grpc.use_local_subchannel_pool", 1),)
        self._plain = grpc.insecure_channel(address, options)
        channel = grpc.intercept_channel(self._plain, *interceptors)
        self._unary: Any = channel.unary_unary(wire.ECHO)
        self._stream: Any = channel.unary_stream(wire.STREAM)

    async def samples(self, server: Server, size: Size) -> list[Sample]:
        """Measure the two shapes that one thread can make."""
        for _ in range(size.warm_up):
            self._unary(wire.REQUEST)

        def timed(steps: Iterator[Any]) -> list[float]:
            latencies: list[float] = []
            last = time.perf_counter()
            for _ in steps:
                now = time.perf_counter()
                latencies.append(now - last)
                last = now
            return latencies

        async def sequential() -> list[float]:
            return timed(self._unary(wire.REQUEST) for _ in range(size.calls))

        async def streamed() -> list[float]:
            return timed(self._stream(str(size.messages).encode()))

        return [
            await _taken(server, wire.SEQUENTIAL, size.calls, sequential),
            await _taken(server, wire.STREAMED, size.messages, streamed),
        ]

    async def close(self) -> None:
        """Close the channel."""
        self._plain.close()
