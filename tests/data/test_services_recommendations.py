"""Recommendations over the wire, on a real database."""

from pathlib import Path

import grpc
import pytest

from cockroach.embedded import EmbeddedCluster
from cockroach.topology import DatabaseTarget, Gateway
from lab import profiles
from protos.shop.v1 import common_pb2
from protos.shop.v1 import recommendations_pb2 as pb
from protos.shop.v1 import recommendations_pb2_grpc as pb_grpc
from services.runtime.testing import environment, serving

CURED = profiles.values(profiles.cures_of("cured"))
# Nobody listens there: the discard port of the loopback.
NOWHERE = DatabaseTarget(
    flavour="embedded",
    dbname="shop",
    user="app",
    password="",
    gateways=(Gateway(name="eu-a", region="eu", zone="a", host="127.0.0.1", port=9),),
)


async def test_what_sells_is_recommended(cluster: EmbeddedCluster, tmp_path: Path):
    """Popular products of the kind looked at, without those looked at."""
    environ = environment(
        "recommendations", tmp_path, policies=CURED, database=cluster.target("eu")
    )
    async with serving(environ) as running:
        stub = pb_grpc.RecommendationsStub(running.channel)
        anybody = await stub.Recommend(pb.RecommendRequest())
        looking = await stub.Recommend(
            pb.RecommendRequest(product_ids=["P0001"], limit=2)
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Recommend(pb.RecommendRequest(customer_id="me", limit=21))

    assert list(anybody.product_ids) == ["P0001", "P0002", "P0003", "P0004"]
    assert list(looking.product_ids) == ["P0009", "P0017"]
    assert not anybody.HasField("degraded")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_without_a_database_there_are_none_and_that_is_said(tmp_path: Path):
    """A process starts without its database and answers degraded."""
    environ = environment("recommendations", tmp_path, policies=CURED, database=NOWHERE)
    async with serving(environ) as running:
        stub = pb_grpc.RecommendationsStub(running.channel)
        reply = await stub.Recommend(pb.RecommendRequest())

    assert list(reply.product_ids) == []
    assert reply.degraded.kind == common_pb2.Degraded.KIND_FALLBACK
    assert reply.degraded.reason == "NO_RECOMMENDATIONS"


async def test_without_fallbacks_the_failure_is_passed_on(tmp_path: Path):
    """Sick, the nice-to-have fails like everything else, with status and details."""
    sick = profiles.values(profiles.cures_of("sick")) | {"transaction_attempts": 1}
    environ = environment("recommendations", tmp_path, policies=sick, database=NOWHERE)
    async with serving(environ) as running:
        stub = pb_grpc.RecommendationsStub(running.channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Recommend(pb.RecommendRequest())

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
