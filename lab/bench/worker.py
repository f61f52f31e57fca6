"""The client process: `python -m lab.bench.worker`.

Reads its plan as JSON from standard input; says samples and progress, one JSON object
a line. It is the only process whose client CPU is measured.
"""

import asyncio
import json
import platform
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import grpc

import resilience
from lab.bench import variants, wire
from lab.bench.measure import Aio, Blocking, Server, Size
from lab.bench.variants import Variant

_REFUSALS = 2000
# How many variants that no verdict rests on share a block, and how often a round
# measures those that one does.
_OTHERS = 4
_LEAST_BLOCKS = 4

# Side, name, the server it calls, and its channel.
_Measured = tuple[str, str, str, Any]


class Worker:
    """Measures what its plan names, round after round."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._size = Size(**plan["size"])
        self._addresses: dict[str, str] = plan["servers"]
        self._servers: dict[str, Server] = {}
        self._measured: list[_Measured] = []
        self._rng = random.Random(plan["seed"])  # noqa: S311  # an order, no secret
        self._block = 0

    async def run(self) -> None:
        """Open every channel, measure every round, close."""
        for name, address in self._addresses.items():
            self._servers[name] = Server(address)
        for side in self._plan["sides"]:
            self._open(side)
        rounds = self._plan["rounds"]
        # The first is for caches and specialised bytecode, and is not told.
        for number in range(rounds + 1):
            await self._round(number)
        if self._plan["refusals"]:
            await self._refuse()
        for *_, variant in self._measured:
            await variant.close()
        for server in self._servers.values():
            await server.close()

    def _open(self, side: str) -> None:
        bare = self._addresses[wire.FOR_CLIENTS]
        for variant in self._chosen(side):
            if side == "server":
                if variant.name in self._addresses:
                    channel = Aio(
                        self._addresses[variant.name],
                        [],
                        streams=not variant.unary_only,
                        timeout_s=30.0,
                    )
                    self._measured.append((side, variant.name, variant.name, channel))
                continue
            try:
                interceptors = variant.build()
            except (AttributeError, ImportError, ValueError, TypeError) as error:
                say(skipped={"side": side, "name": variant.name, "reason": str(error)})
                continue
            found: Any = (
                Blocking(bare, interceptors)
                if side == "blocking"
                else Aio(
                    bare, interceptors, streams=not variant.unary_only, timeout_s=None
                )
            )
            self._measured.append((side, variant.name, wire.FOR_CLIENTS, found))

    def _chosen(self, side: str) -> Sequence[Variant]:
        kit, names = self._plan["kit"], self._plan["names"]
        return [
            one
            for one in variants.TABLES[side]
            if (one.in_kit if kit else not one.kit_only)
            and (names is None or one.name in names)
        ]

    async def _round(self, number: int) -> None:
        blocks = self._blocks()
        for place, block in enumerate(blocks):
            for side, name, server, channel in block:
                samples = await channel.samples(self._servers[server], self._size)
                if number:
                    for sample in samples:
                        document = {"side": side, "name": name, **asdict(sample)}
                        say(sample={"block": self._block, **document})
            self._block += 1
            done = (number + (place + 1) / len(blocks)) / (self._plan["rounds"] + 1)
            say(done=done, round=number)

    def _blocks(self) -> list[list[_Measured]]:
        """Deal the variants out anew, with the anchors in every block.

        Shuffled, because what a variant leaves behind (garbage, cold caches) is
        measured with the next one; small, because the machine drifts within seconds.
        """
        blocks = []
        for side in self._plan["sides"]:
            mine = [one for one in self._measured if one[0] == side]
            anchors = [one for one in mine if one[1] in variants.ANCHORS]
            others = [one for one in mine if one[1] not in variants.ANCHORS]
            self._rng.shuffle(others)
            number = max(_LEAST_BLOCKS, -(-len(others) // _OTHERS))
            for place in range(1 if side == "blocking" else number):
                step = 1 if side == "blocking" else number
                block = anchors + others[place::step]
                self._rng.shuffle(block)
                blocks.append(block)
        self._rng.shuffle(blocks)
        return blocks

    async def _refuse(self) -> None:
        breaker = resilience.BreakerConfig(window_size=1, min_calls=1, open_s=3600.0)
        policy = replace(resilience.standard("bench"), breaker=breaker)
        channel = Aio(
            self._addresses[wire.FOR_CLIENTS],
            resilience.aio_client_interceptors(policy),
            streams=False,
            timeout_s=None,
        )
        latencies = sorted(await channel.refusals(_REFUSALS))
        await channel.close()
        say(
            refusal={
                "calls": _REFUSALS,
                "p50_us": 1e6 * latencies[_REFUSALS // 2],
                "p99_us": 1e6 * latencies[_REFUSALS * 99 // 100],
            }
        )


def say(**document: Any) -> None:
    """Write one line for whoever started this process."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure what standard input asks for."""
    plan = json.loads(sys.stdin.readline())
    say(python=platform.python_version(), grpcio=grpc.__version__)
    asyncio.run(Worker(plan).run())


if __name__ == "__main__":
    main()
