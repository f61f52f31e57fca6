"""Answers that are not the attempt's own, for blocking calls."""

from collections.abc import Callable
from typing import Any

import grpc

from resilience._answer import Answer
from resilience._call_fallback import NOTHING
from resilience._coalesce_sync import BlockingCoalescer
from resilience._errors import DeadlineSpentError
from resilience._sent import time_left
from resilience._slot import Slot
from resilience.sync_calls import AnsweredCall, refused


def fall_back(
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
            found = config.other(request, timeout=time_left(slot))
        except grpc.RpcError:
            if config.provide is None and config.value is NOTHING:
                return None
    if found is NOTHING and config.provide is not None:
        found = config.provide(request, error)
    elif found is NOTHING:
        found = config.value
    if found is NOTHING:
        return None
    slot.fell_back(reason)
    responses = tuple(found) if isinstance(found, list | tuple) else (found,)
    return Answer.second_best(responses, reason)


def shared(
    slot: Slot,
    details: Any,
    request: Any,
    timeout: float | None,
    make: Callable[[float | None], Any],
) -> Any:
    """Answer a call together with identical ones; see CoalesceConfig.

    The one call that is made belongs to nobody, so it has the policy's time and
    outlives the caller that began it; each caller waits for its own time.
    """
    config = slot.coalesce
    assert config is not None
    key = config.key(request, details.metadata)
    if key is None:
        return make(timeout)
    coalescer: BlockingCoalescer[Any, Answer] | None = slot.coalescer
    if coalescer is None:
        coalescer = slot.coalescer = BlockingCoalescer(
            config.cache,
            clock=slot.chain.clock,
            rng=slot.chain.rng,
            listener=slot.chain.listener,
        )

    def load() -> Answer:
        call = make(slot.plan.timeout_s)
        return Answer(
            (call.result(),),
            tuple(call.initial_metadata() or ()),
            tuple(call.trailing_metadata() or ()),
        )

    try:
        found = coalescer.get(key, load, config=config.cache, timeout_s=timeout)
    except grpc.RpcError as error:
        return error
    except TimeoutError:
        return refused(DeadlineSpentError(f"{slot.target}{slot.method}", 0.0))
    return AnsweredCall(found.value.shared(found.source))
