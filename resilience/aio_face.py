"""What the interceptors of the four call kinds share, for grpc.aio."""

import asyncio
from collections.abc import Callable
from typing import Any

from grpc import aio

from resilience._attempt import Attempt
from resilience._chain import Chain
from resilience._errors import ResilienceError
from resilience._slot import Slot
from resilience.aio_answers import fall_back
from resilience.aio_attempt import enter, failure_of, prepared
from resilience.aio_errors import as_rpc_error


class Face:
    """What the four kinds share."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    async def _send(
        self,
        slot: Slot,
        continuation: Callable[..., Any],
        details: aio.ClientCallDetails,
        request: Any,
        attempt: Attempt,
        number: int = 1,
    ) -> Any:
        """Hand one attempt to gRPC; settled if that fails already."""
        try:
            return await continuation(prepared(slot, details, attempt, number), request)
        except aio.AioRpcError as error:
            failure_of(error, attempt, self.chain.clock())
            raise
        except asyncio.CancelledError:
            attempt.settle("CANCELLED", self.chain.clock(), cancelled_by="caller")
            raise
        except BaseException:
            attempt.settle(None, self.chain.clock())
            raise

    async def _begin(
        self,
        slot: Slot,
        details: aio.ClientCallDetails,
        timeout_s: float | None,
        *,
        streaming: bool,
        request: Any = None,
    ) -> Attempt:
        attempt = slot.begin(
            timeout_s, streaming=streaming, request=request, metadata=details.metadata
        )
        if slot.bulkhead is not None:
            await enter(slot, attempt)
        return attempt

    async def _refused(
        self,
        slot: Slot,
        error: ResilienceError,
        ended: Callable[[Any], Any],
        request: Any = None,
        metadata: Any = None,
    ) -> Any:
        """Return the call that a refusal before the first attempt makes."""
        if slot.fallback is not None:
            answer = await fall_back(slot, request, metadata, as_rpc_error(error))
            if answer is not None:
                return ended(answer)
        return ended(error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.chain.breakers()}>"
