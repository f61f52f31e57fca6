"""The one place where orders is put together."""

from datetime import UTC, datetime

from protos.shop.v1 import orders_pb2_grpc
from services.orders.drainer import Drainer
from services.orders.elsewhere import Elsewhere
from services.orders.handlers import CheckoutHandlers
from services.orders.history import HistoryHandlers
from services.orders.intake import Intake
from services.orders.intake_store import IntakeStore
from services.orders.prices import PriceList
from services.orders.recent import Recent
from services.orders.resumer import Resumer
from services.orders.runner import Runner
from services.orders.servicer import OrdersServicer
from services.orders.steps import Steps
from services.orders.store import OrderStore
from services.orders.unfinished import Unfinished
from services.runtime.runtime import Runtime


def _now() -> datetime:
    return datetime.now(UTC)


def start(runtime: Runtime) -> None:
    """Put Orders on the runtime's server and its background work beside it."""
    region, peers = runtime.settings.region, runtime.peers
    policies, recorder = runtime.policies, runtime.recorder
    database = runtime.need_database()
    database.keep_copy()
    store = OrderStore(database, _now)
    prices = PriceList(peers, policies)
    runner = Runner(store, Steps(store, peers, policies))
    elsewhere = Elsewhere(peers, region=region)
    unfinished, recent = Unfinished(), Recent()
    intake_store = IntakeStore(database, region=region, now=_now)
    intake = Intake(intake_store, prices, region=region)
    checkout = CheckoutHandlers(
        store=store,
        runner=runner,
        prices=prices,
        elsewhere=elsewhere,
        unfinished=unfinished,
        recent=recent,
        database=database,
        policies=policies,
        recorder=recorder,
        now=_now,
    )
    history = HistoryHandlers(
        store=store,
        elsewhere=elsewhere,
        recent=recent,
        database=database,
        policies=policies,
        recorder=recorder,
        draining=runtime.draining,
    )
    resumer = Resumer(
        store=store,
        runner=runner,
        unfinished=unfinished,
        database=database,
        region=region,
        policies=policies,
        tracer=runtime.tracer,
        rng=runtime.rng,
    )
    drainer = Drainer(
        store=intake_store,
        intake=intake,
        peers=peers,
        database=database,
        region=region,
        tracer=runtime.tracer,
        rng=runtime.rng,
    )
    runtime.serve(
        "shop.v1.Orders",
        orders_pb2_grpc.add_OrdersServicer_to_server,
        OrdersServicer(checkout, history, intake, region=region, policies=policies),
    )
    for work in (
        resumer.resume_for_ever,
        resumer.scan_for_ever,
        drainer.drain_for_ever,
    ):
        runtime.background(work)
