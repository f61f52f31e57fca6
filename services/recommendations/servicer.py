"""Recommendations on the wire: messages in, messages out."""

from typing import Any

import grpc

from protos.shop.v1 import recommendations_pb2 as pb
from protos.shop.v1 import recommendations_pb2_grpc
from services.recommendations.domain import DEFAULT_LIMIT, MAX_LIMIT, MAX_SEEN
from services.recommendations.handlers import RecommendationHandlers
from services.runtime.messages import fallback, stale
from services.runtime.validate import Check

Context = grpc.aio.ServicerContext[Any, Any]


class RecommendationsServicer(recommendations_pb2_grpc.RecommendationsServicer):
    """The Recommendations service of one region."""

    def __init__(self, handlers: RecommendationHandlers) -> None:
        self._handlers = handlers

    async def Recommend(  # noqa: N802
        self, request: pb.RecommendRequest, context: Context
    ) -> pb.RecommendResponse:
        """Return products that go with what the visitor looks at."""
        limit = request.limit or DEFAULT_LIMIT
        with Check() as check:
            if request.customer_id:
                check.public_id("customer_id", request.customer_id)
            if not 1 <= limit <= MAX_LIMIT:
                check.fail("limit", f"must be 1 to {MAX_LIMIT}, was {limit}")
            if len(request.product_ids) > MAX_SEEN:
                check.fail("product_ids", f"must be at most {MAX_SEEN}")
        found = await self._handlers.recommend(request.product_ids, limit)
        degraded = None
        if found.fallback:
            degraded = fallback("NO_RECOMMENDATIONS")
        elif found.stale_s is not None:
            degraded = stale(found.stale_s)
        return pb.RecommendResponse(product_ids=found.product_ids, degraded=degraded)
