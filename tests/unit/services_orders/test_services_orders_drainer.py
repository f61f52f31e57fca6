"""How the drainer treats a home in trouble, and the orders it holds for it."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace

import grpc
import pytest
from opentelemetry.trace import NoOpTracer

from cockroach.errors import DatabaseUnavailableError
from cockroach.ids import customer_id
from services.orders import drainer as module
from services.orders.domain import OrderLine, Request, Wish
from services.orders.drainer import AWAY_S, Drainer
from services.orders.intake_store import Held, IntakeState
from services.runtime.errors import DETAILS_KEY, ShopError, precondition


def held(n: int, home: str = "eu") -> Held:
    request = Request(
        customer=customer_id(home, n),
        wishes=(Wish("P0001", 1),),
        card_token="tok_visa",
        key=f"key-{n:05d}",
        promised=(OrderLine("P0001", 1, 100),),
        currency="EUR",
    )
    return Held(
        request=request,
        fingerprint=request.fingerprint,
        state=IntakeState.HELD,
        rejection="",
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
    )


class Refusal(grpc.RpcError):
    def __init__(self, error: ShopError) -> None:
        self._error = error

    def code(self):
        return self._error.status

    def trailing_metadata(self):
        trailers = self._error.trailers()
        assert DETAILS_KEY == trailers[0][0]
        return trailers


class Home:
    """An Orders service that answers as the test says."""

    def __init__(self) -> None:
        self.answers: dict[str, ShopError | None] = {}
        self.asked: list[str] = []
        self.away: set[str] = set()

    async def PlaceOrder(self, message):  # noqa: N802
        self.asked.append(message.idempotency_key)
        error = self.answers.get(message.idempotency_key, self.answers.get("*"))
        if message.customer_id.partition("-")[0] in self.away:
            error = AWAY
        if error is not None:
            raise Refusal(error)


class Store:
    def __init__(self, *orders: Held) -> None:
        self.orders = {one.request.key: one for one in orders}
        self.settled: dict[str, tuple[IntakeState, str]] = {}
        self.broken = False

    async def held(self, limit: int, away: Sequence[str]) -> list[Held]:
        return [
            one
            for key, one in self.orders.items()
            if key not in self.settled and one.request.home not in away
        ][:limit]

    async def settle(self, one: Held, state: IntakeState, rejection: str = "") -> None:
        if self.broken:
            raise DatabaseUnavailableError("us", "breaker_open")
        self.settled[one.request.key] = state, rejection


@pytest.fixture
def home():
    return Home()


@pytest.fixture
def clock():
    return SimpleNamespace(now=100.0)


@pytest.fixture
def make(home, clock):
    def build(store: Store) -> Drainer:
        return Drainer(
            store=store,
            intake=SimpleNamespace(taken=module.asyncio.Event()),
            peers=SimpleNamespace(stub=lambda *_: home),
            database=SimpleNamespace(suspect=lambda _: False),
            region="us",
            tracer=NoOpTracer(),
            rng=random.Random(1),
            clock=lambda: clock.now,
        )

    return build


NOT_READY = precondition("HOME_NOT_READY", "not yet")
AWAY = ShopError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "away")


@pytest.mark.parametrize("error", [NOT_READY, AWAY])
async def test_a_home_in_trouble_is_asked_once_and_then_left_alone(
    make, home, clock, error
):
    """One order goes ahead; the others stay until the home was left in peace."""
    home.answers["*"] = error
    store = Store(*(held(n) for n in range(1, 6)))
    drainer = make(store)

    assert await drainer.round()
    assert await drainer.round()
    assert ["key-00001"] == home.asked
    clock.now += AWAY_S * 1.4
    home.answers.clear()
    await drainer.round()

    assert 6 == len(home.asked)
    assert {(IntakeState.DRAINED, "")} == set(store.settled.values())
    assert not await drainer.round()


async def test_the_orders_of_a_home_in_trouble_keep_no_others_waiting(make, home):
    """However many there are, and though they are older."""
    home.away = {"eu"}
    many = [held(n) for n in range(1, 3 * module.ROUND)]
    store = Store(*many, held(900, "asia"))
    drainer = make(store)

    assert await drainer.round()
    assert await drainer.round()

    assert {"key-00900": (IntakeState.DRAINED, "")} == store.settled
    assert ["key-00001", "key-00900"] == home.asked
    assert await drainer.round()


async def test_an_order_that_its_home_cannot_take_keeps_no_others_waiting(
    make, home, clock
):
    """The trouble may be with the order: another one goes ahead the next time."""
    home.answers["key-00001"] = ShopError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "", "larger than may be"
    )
    store = Store(*(held(n) for n in range(1, 4)))
    drainer = make(store)

    for _ in range(3):
        assert await drainer.round()
        clock.now += AWAY_S * 1.4

    assert {"key-00002", "key-00003"} == set(store.settled)
    store.settled["key-00001"] = IntakeState.REJECTED, "by hand"
    store.orders["key-00004"] = held(4)
    await drainer.round()
    # Orders that are gone are forgotten, or the set would grow for ever.
    assert {"eu": set()} == drainer._vain


async def test_a_business_refusal_settles_the_order_and_no_other(make, home):
    """An order that its home rejects is rejected here; the rest goes on."""
    home.answers["key-00001"] = precondition("OUT_OF_STOCK", "gone")
    store = Store(held(1), held(2))

    await make(store).round()

    assert {
        "key-00001": (IntakeState.REJECTED, "OUT_OF_STOCK"),
        "key-00002": (IntakeState.DRAINED, ""),
    } == store.settled


async def test_what_could_not_be_written_down_is_delivered_again(make, home):
    """An order that is home but not settled here stays held, and nothing is lost."""
    store = Store(held(1))
    drainer = make(store)
    store.broken = True

    assert await drainer.round()
    store.broken = False
    await drainer.round()

    assert ["key-00001", "key-00001"] == home.asked
    assert {"key-00001": (IntakeState.DRAINED, "")} == store.settled
