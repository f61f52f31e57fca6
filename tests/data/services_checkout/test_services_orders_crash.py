"""The saga broken off between any two steps, then repeated or resumed."""

from dataclasses import dataclass

import grpc
import pytest

from cockroach.ids import PublicId, derived
from services.orders import resumer
from services.orders.saga import BACKWARD, FORWARD, Step
from services.orders.steps import Steps

# What a declined card runs through.
DECLINED = (Step.RESERVE, Step.AUTHORISE, *BACKWARD)


@dataclass
class Breakdown:
    """A process that dies before or after its effect of one step."""

    step: Step
    after: bool
    dead: bool = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = Steps.take

        async def take(steps, step, order, reason=""):
            if self.dead:
                raise RuntimeError("this process is dead")
            if step is self.step and not self.after:
                self.dead = True
                raise RuntimeError("died before the step")
            result = await real(steps, step, order, reason)
            if step is self.step:
                self.dead = True
                raise RuntimeError("died after the step")
            return result

        monkeypatch.setattr(Steps, "take", take)


def order_of(request) -> PublicId:
    return PublicId("eu", derived(f"order/eu/{request.idempotency_key}"))


def points(steps):
    """Dying after a step leaves what dying before the next one leaves."""
    return [(steps[0], False), *((step, True) for step in steps)]


async def break_off(shop, monkeypatch, request, step, *, after) -> None:
    """Let the process die in the saga; nothing that it remembered is left."""
    with monkeypatch.context() as patch:
        breakdown = Breakdown(step, after)
        breakdown.install(patch)
        with pytest.raises(grpc.aio.AioRpcError):
            await shop.orders().PlaceOrder(request)
        assert breakdown.dead
        await shop.stop("orders")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    # Nothing but the tests' own call may resume.
    monkeypatch.setitem(resumer.Resumer.__init__.__kwdefaults__, "scan_s", 3600.0)


@pytest.mark.parametrize("profile", ["sick", "cured"])
async def test_a_broken_checkout_is_finished_by_the_same_key(
    open_shop, tables, product, checkout, monkeypatch, profile
):
    """Broken off anywhere and repeated: one charge, one sale, books that balance."""
    one = product(100)
    async with open_shop(profile, gateway_choice="home_region") as shop:
        for sold, (step, after) in enumerate(points(FORWARD), 1):
            request = checkout(one)
            await break_off(shop, monkeypatch, request, step, after=after)
            await shop.start("orders")
            reply = await shop.orders().PlaceOrder(request)
            order = order_of(request)

            here = (profile, step, after)
            assert (here, "confirmed") == (here, tables().state("orders", order))
            assert (here, "committed") == (here, tables().state("reservations", order))
            money = (2, 0, reply.order.total.minor_units)
            assert (here, money) == (here, tables().money(order))
            assert (here, 100 - sold) == (here, tables().stock(one))
            assert "captured" == shop.cards.get(str(order)).state


@pytest.mark.parametrize("profile", ["sick", "cured"])
async def test_a_broken_rejection_is_finished_by_the_same_key(
    open_shop, tables, product, checkout, refused, monkeypatch, profile
):
    """A declined checkout broken off anywhere ends rejected, nothing held or booked."""
    one = product(100)
    async with open_shop(profile, gateway_choice="home_region") as shop:
        for step, after in points(DECLINED):
            request = checkout(one, token="tok_declined")
            await break_off(shop, monkeypatch, request, step, after=after)
            await shop.start("orders")
            answer = await refused(shop.orders().PlaceOrder(request))
            order = order_of(request)

            here = (profile, step, after)
            assert (here, "CARD_DECLINED") == (here, answer[1])
            assert (here, "rejected") == (here, tables().state("orders", order))
            assert (here, "released") == (here, tables().state("reservations", order))
            assert (here, (0, 0, 0)) == (here, tables().money(order))
            assert (here, 100) == (here, tables().stock(one))


async def test_an_abandoned_order_is_resumed_by_another_process(
    open_shop, tables, product, checkout, monkeypatch, until
):
    """Orders of a process that died are found by the lease and finished, once."""
    one = product(100)
    requests = []
    async with open_shop("cured") as shop:
        for step, after in points(FORWARD)[:-1]:
            request = checkout(one)
            requests.append(request)
            await break_off(shop, monkeypatch, request, step, after=after)
            await shop.start("orders")
        await shop.stop("orders")
        defaults = resumer.Resumer.__init__.__kwdefaults__
        monkeypatch.setitem(defaults, "lease_s", 0.0)
        monkeypatch.setitem(defaults, "scan_s", 0.05)
        await shop.start("orders")
        for request in requests:
            order = order_of(request)
            await until(
                lambda order=order: tables().state("orders", order) == "confirmed"
            )

    for request in requests:
        entries, total, _ = tables().money(order_of(request))
        assert (2, 0) == (entries, total)
        assert "committed" == tables().state("reservations", order_of(request))
    assert 100 - len(requests) == tables().stock(one)


async def test_an_order_that_nobody_waits_for_is_finished_here(
    open_shop, tables, product, checkout, until
):
    """A caller who leaves in the middle leaves no order behind unfinished."""
    one = product(100)
    async with open_shop("cured") as shop:
        request = checkout(one)
        call = shop.orders().PlaceOrder(request)
        order = order_of(request)
        await until(lambda: tables().state("orders", order) is not None, pause=0)
        call.cancel()
        await until(lambda: tables().state("orders", order) == "confirmed")

    assert 99 == tables().stock(one)
