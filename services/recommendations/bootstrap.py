"""The one place where recommendations are put together."""

from protos.shop.v1 import recommendations_pb2_grpc
from services.recommendations.handlers import RecommendationHandlers
from services.recommendations.servicer import RecommendationsServicer
from services.recommendations.store import RecommendationStore
from services.runtime.runtime import Runtime


def start(runtime: Runtime) -> None:
    """Put Recommendations on the runtime's server."""
    database = runtime.need_database()
    database.keep_spares()
    store = RecommendationStore(database)
    handlers = RecommendationHandlers(
        store, policies=runtime.policies, listener=runtime.recorder
    )
    runtime.serve(
        "shop.v1.Recommendations",
        recommendations_pb2_grpc.add_RecommendationsServicer_to_server,
        RecommendationsServicer(handlers),
    )
