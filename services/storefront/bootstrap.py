"""The one place where the storefront is put together."""

from protos.shop.v1 import storefront_pb2_grpc
from services.runtime.runtime import Runtime
from services.storefront import geography
from services.storefront.directory import Directory
from services.storefront.gate import Gate
from services.storefront.handlers import Journeys
from services.storefront.servicer import StorefrontServicer
from services.storefront.store import StorefrontStore


async def start(runtime: Runtime) -> None:
    """Put Storefront on the runtime's server.

    Raises SettingsError when a file that the settings name cannot be read.
    """
    settings = runtime.settings
    directory = Directory(
        StorefrontStore(runtime.need_database(), region=settings.region),
        region=settings.region,
        countries=geography.sources(settings.maxmind),
    )
    await directory.refresh()
    runtime.background(directory.follow)
    gate = Gate(
        directory,
        region=settings.region,
        trusted=settings.trusted_peers,
        policies=runtime.policies,
        peers=runtime.peers,
        logger=runtime.logger,
    )
    journeys = Journeys(
        runtime.peers,
        region=settings.region,
        policies=runtime.policies,
        listener=runtime.recorder,
        logger=runtime.logger,
    )
    runtime.serve(
        "shop.v1.Storefront",
        storefront_pb2_grpc.add_StorefrontServicer_to_server,
        StorefrontServicer(gate, journeys),
    )
