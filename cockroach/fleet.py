"""The pools of all gateways of one process, remade together when sizes change."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from opentelemetry import trace

from cockroach.policy import DataPolicy
from cockroach.pools import GatewayPool, PoolStats
from cockroach.sessions import Session, SessionFactory
from cockroach.topology import DatabaseTarget, Gateway, rtt_ms
from observability import names

# Round trips that opening a connection takes on a raw link, with some to spare: the
# wait for a far gateway's first connection is distance, not trouble.
_OPENING_TRIPS = 8


class Fleet:
    """One pool per gateway, made when first needed."""

    def __init__(
        self,
        target: DatabaseTarget,
        *,
        application: str,
        region: str,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._factory = SessionFactory(target, application=application)
        self._region = region
        self._tracer = trace.get_tracer("cockroach")
        self._clock = clock
        self._rng = rng
        self._pools: dict[str, GatewayPool] = {}
        self._retired: list[GatewayPool] = []
        self._shape: tuple[object, ...] = ()
        self._sizes: tuple[int, int, float] = (1, 0, 1.0)
        self._idle_s = 0.0
        self._renew = False

    def __repr__(self) -> str:
        return f"{list(self._pools.values())!r}"

    def apply(self, policy: DataPolicy) -> bool:
        """Take a new policy; True when the pools were remade for it.

        Old pools serve those who wait, then close their connections.
        """
        sizes = (policy.pool_size, policy.pool_overflow, policy.pool_timeout_s)
        shape = (policy.gateway_choice, policy.warm, policy.pool_idle_s, *sizes)
        if shape == self._shape:
            return False
        self._shape = shape
        self._sizes = sizes
        self._idle_s = policy.pool_idle_s
        self._renew = policy.warm
        old = [one for one in self._retired if not one.empty]
        old.extend(self._pools.values())
        for pool in self._pools.values():
            pool.retire()
        self._retired = old
        self._pools = {}
        return True

    def keep(self, gateways: Sequence[Gateway]) -> None:
        """Retire the pools of all other gateways; who waits there is still served."""
        kept = set(gateways)
        for name, pool in list(self._pools.items()):
            if pool.gateway not in kept:
                pool.retire()
                self._retired.append(pool)
                del self._pools[name]

    def pool(self, gateway: Gateway) -> GatewayPool:
        """Return the present pool of a gateway."""
        pool = self._pools.get(gateway.name)
        if pool is None:
            size, overflow, timeout_s = self._sizes
            pool = self._pools[gateway.name] = GatewayPool(
                gateway,
                self._open,
                size=size,
                overflow=overflow,
                timeout_s=timeout_s + _OPENING_TRIPS * self._trip_s(gateway),
                idle_s=self._idle_s,
                renew=self._renew,
                clock=self._clock,
                rng=self._rng,
            )
        return pool

    async def _open(self, gateway: Gateway, *, expires_at: float) -> Session:
        """Connect, with a span: whoever waits for it pays nine round trips."""
        with self._tracer.start_as_current_span(
            names.SPAN_CONNECT,
            kind=trace.SpanKind.CLIENT,
            attributes={
                names.GATEWAY_NAME: gateway.name,
                names.GATEWAY_REGION: gateway.region,
                names.CLIENT_REGION: self._region,
            },
            record_exception=False,
        ):
            return await self._factory.open(gateway, expires_at=expires_at)

    def present(self, gateway: Gateway) -> GatewayPool | None:
        """Return the pool of a gateway if there is one; make none for its sake."""
        return self._pools.get(gateway.name)

    def _trip_s(self, gateway: Gateway) -> float:
        return rtt_ms(self._region, gateway.region) / 1e3

    def load(self, gateway: Gateway) -> int:
        """Count the statements in flight or waiting at a gateway."""
        pool = self.present(gateway)
        return 0 if pool is None else pool.busy

    async def fill(
        self,
        gateways: Sequence[Gateway],
        *,
        at_most: int | None = None,
        pace: Callable[[], Callable[[], Awaitable[None]]] | None = None,
    ) -> None:
        """Open the kept connections of some gateways, one at a time at each.

        `pace` makes, for each gateway, what is awaited before each one.
        Raises DatabaseUnavailableError when one does not let us in.
        """
        await asyncio.gather(
            *(
                self.pool(one).fill(at_most=at_most, pause=pace() if pace else None)
                for one in gateways
            )
        )

    def refuse_waiting(self, gateways: Sequence[Gateway], error: Exception) -> None:
        """Send those away who wait for a connection to some gateways."""
        for gateway in gateways:
            pool = self._pools.get(gateway.name)
            if pool is not None:
                pool.refuse_waiting(error)

    def stats(self) -> list[PoolStats]:
        """Count the connections of the present pools."""
        return [pool.stats() for pool in self._pools.values()]

    async def close(self) -> None:
        """Close every connection that is not in use; the others as they come back."""
        pools = [*self._pools.values(), *self._retired]
        await asyncio.gather(*(pool.close() for pool in pools))
        await self._factory.close()
