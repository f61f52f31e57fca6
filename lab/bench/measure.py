"""Interleaved rounds over variants: CPU, latency and throughput of each.

Runs as a program of its own too, in an environment that has another library to compare.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from grpc import aio

from lab.bench.variants import CLIENTS

IN_FLIGHT = 32


@dataclass(slots=True)
class Samples:
    """What one variant's rounds gave, in microseconds and calls a second."""

    cpu_us: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    rps: list[float] = field(default_factory=list)
    message_us: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured a round."""

    rounds: int = 12
    calls: int = 400
    streams: int = 4


def start_target(stack: ExitStack, variant: str) -> str:
    """Start a server of *variant* that ends with *stack*; return its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lab.bench.target", variant],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    stack.callback(process.wait, 10)
    stack.callback(process.stdin.close)
    stack.callback(process.stdout.close)
    port = process.stdout.readline().strip()
    if not port:
        raise RuntimeError(f"the server of {variant!r} did not start")
    return f"127.0.0.1:{port}"


async def _sequential(stub: Any, calls: int) -> tuple[float, list[float]]:
    latencies = []
    begun = time.process_time()
    for _ in range(calls):
        at = time.perf_counter()
        await stub(b"request")
        latencies.append(time.perf_counter() - at)
    return time.process_time() - begun, latencies


async def _at_once(stub: Any, calls: int) -> float:
    each = max(1, calls // IN_FLIGHT)

    async def one() -> None:
        for _ in range(each):
            await stub(b"request")

    begun = time.perf_counter()
    await asyncio.gather(*[one() for _ in range(IN_FLIGHT)])
    return each * IN_FLIGHT / (time.perf_counter() - begun)


async def _streamed(stub: Any, streams: int) -> float:
    messages = 0
    begun = time.process_time()
    for _ in range(streams):
        async for _ in stub(b"request"):
            messages += 1
    return (time.process_time() - begun) / messages


async def clients(
    names: Sequence[str], size: Size, tick: Callable[[], None] | None = None
) -> dict[str, Samples]:
    """Measure client variants against one server; every round in another order."""
    samples = {name: Samples() for name in names}
    with ExitStack() as stack:
        address = start_target(stack, "bare")
        channels = {
            name: aio.insecure_channel(address, interceptors=CLIENTS[name]())
            for name in names
        }
        for round_ in range(-1, size.rounds):
            turn = round_ % len(names)
            for name in [*names[turn:], *names[:turn]]:
                channel, found = channels[name], samples[name]
                unary: Any = channel.unary_unary("/bench.Bench/Unary")
                stream: Any = channel.unary_stream("/bench.Bench/Stream")
                cpu, latencies = await _sequential(unary, size.calls)
                rps = await _at_once(unary, size.calls)
                message = await _streamed(stream, size.streams)
                if round_ >= 0:
                    found.cpu_us.append(cpu / size.calls * 1e6)
                    found.p50_us.append(statistics.median(latencies) * 1e6)
                    found.rps.append(rps)
                    found.message_us.append(message * 1e6)
                if tick is not None:
                    tick()
        for channel in channels.values():
            await channel.close()
    return samples


async def servers(
    names: Sequence[str], size: Size, tick: Callable[[], None] | None = None
) -> dict[str, Samples]:
    """Measure server variants, each in a process whose own CPU time it tells."""
    samples = {name: Samples() for name in names}
    with ExitStack() as stack:
        channels = {
            name: aio.insecure_channel(start_target(stack, name)) for name in names
        }
        for round_ in range(-1, size.rounds):
            turn = round_ % len(names)
            for name in [*names[turn:], *names[:turn]]:
                channel, found = channels[name], samples[name]
                unary: Any = channel.unary_unary("/bench.Bench/Unary")
                stream: Any = channel.unary_stream("/bench.Bench/Stream")
                cpu: Any = channel.unary_unary("/bench.Bench/Cpu")
                before = float(await cpu(b""))
                _, latencies = await _sequential(unary, size.calls)
                between = float(await cpu(b""))
                rps = await _at_once(unary, size.calls)
                later = float(await cpu(b""))
                messages = 0
                for _ in range(size.streams):
                    async for _ in stream(b""):
                        messages += 1
                after = float(await cpu(b""))
                if round_ >= 0:
                    found.cpu_us.append((between - before) / size.calls * 1e6)
                    found.p50_us.append(statistics.median(latencies) * 1e6)
                    found.rps.append(rps)
                    found.message_us.append((after - later) / messages * 1e6)
                if tick is not None:
                    tick()
        for channel in channels.values():
            await channel.close()
    return samples


async def refusals(count: int) -> list[float]:
    """Return how long an open breaker takes to refuse a call, in microseconds."""
    from resilience import BreakerConfig, aio_client_interceptors, policies  # noqa: PLC0415

    chain = aio_client_interceptors(policies("bench", BreakerConfig(open_s=3600)))
    async with aio.insecure_channel("127.0.0.1:1", interceptors=chain) as channel:
        unary: Any = channel.unary_unary("/bench.Bench/Unary")
        chain[0].chain.slot(b"/bench.Bench/Unary").breaker.open()  # type: ignore[attr-defined]
        found = []
        for _ in range(count):
            at = time.perf_counter()
            try:
                await unary(b"request")
            except aio.AioRpcError:
                found.append((time.perf_counter() - at) * 1e6)
    return found


def main() -> None:
    """Measure the named client variants and print their samples as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("names", nargs="+")
    given = parser.parse_args()
    size = Size(rounds=given.rounds, calls=given.calls)
    found = asyncio.run(clients(given.names, size))
    json.dump({name: asdict(samples) for name, samples in found.items()}, sys.stdout)


if __name__ == "__main__":
    main()
