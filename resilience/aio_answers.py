"""Answers that are not the attempt's own, for grpc.aio: fallbacks and shared calls."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from resilience._answer import Answer
from resilience._call_fallback import NOTHING
from resilience._coalesce import Coalescer
from resilience._copies import LoadCancelledError
from resilience._sent import time_left
from resilience._slot import Slot
from resilience.aio_calls import EndedUnaryUnary

_Make = Callable[[float | None], Awaitable[tuple[Any, aio.AioRpcError | None]]]


async def fall_back(
    slot: Slot, request: Any, metadata: Any, error: Exception
) -> Answer | None:
    """Return the second best answer to a failure, None when it is the caller's.

    Raises what the configured function raises.
    """
    fallback = slot.fallback
    assert fallback is not None
    reason = fallback.reason(error)
    if reason is None:
        return None
    config = fallback.config
    found = fallback.old_answer(request, metadata)
    if found is NOTHING and config.other is not None and request is not None:
        try:
            found = await config.other(request, timeout=time_left(slot))
        except aio.AioRpcError:
            if config.provide is None and config.value is NOTHING:
                return None
    if found is NOTHING and config.provide is not None:
        provided = config.provide(request, error)
        found = await provided if inspect.isawaitable(provided) else provided
    elif found is NOTHING:
        found = config.value
    if found is NOTHING:
        return None
    slot.fell_back(reason)
    responses = tuple(found) if isinstance(found, list | tuple) else (found,)
    return Answer.second_best(responses, reason)


async def shared(
    slot: Slot,
    details: aio.ClientCallDetails,
    request: Any,
    timeout_s: float | None,
    make: _Make,
) -> tuple[Any, aio.AioRpcError | None]:
    """Answer a call together with identical ones; see CoalesceConfig.

    The one call that is made belongs to nobody, so it has the policy's time and
    outlives the caller that began it; each caller waits for its own time.
    """
    config = slot.coalesce
    assert config is not None
    key = config.key(request, details.metadata)
    if key is None:
        return await make(timeout_s)
    coalescer: Coalescer[Any, Answer] | None = slot.coalescer
    if coalescer is None:
        coalescer = slot.coalescer = Coalescer(
            config.cache,
            clock=slot.chain.clock,
            rng=slot.chain.rng,
            listener=slot.chain.listener,
        )

    async def load() -> Answer:
        call, error = await make(slot.plan.timeout_s)
        if error is not None:
            raise error
        return Answer(
            (await call,),
            tuple(await call.initial_metadata() or ()),
            tuple(await call.trailing_metadata() or ()),
        )

    try:
        async with asyncio.timeout(timeout_s):
            found = await coalescer.get(key, load, config=config.cache)
    except aio.AioRpcError as error:
        return EndedUnaryUnary(error), error
    except LoadCancelledError as error:
        gone = aio.AioRpcError(
            grpc.StatusCode.CANCELLED, aio.Metadata(), aio.Metadata(), str(error)
        )
        return EndedUnaryUnary(gone), gone
    except TimeoutError:
        late = aio.AioRpcError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            aio.Metadata(),
            aio.Metadata(),
            details="Deadline Exceeded while waiting for a shared call",
        )
        return EndedUnaryUnary(late), late
    return EndedUnaryUnary(found.value.shared(found.source)), None
