"""The saga's table, and the order state machine under any sequence of mishaps."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orders.domain import TRANSITIONS, OrderState, before
from services.orders.saga import (
    BACKWARD,
    DECIDES,
    ENTRY,
    FORWARD,
    WRITES,
    End,
    Outcome,
    Saga,
    Step,
)


def road(saga: Saga) -> list[Step]:
    taken = []
    while saga.step is not None:
        taken.append(saga.step)
        saga = saga.after(Outcome.DONE)
    assert saga.end is End.FINISHED
    return taken


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (OrderState.ACCEPTED, list(FORWARD)),
        (OrderState.REJECTING, list(BACKWARD[1:])),
        (OrderState.CONFIRMED, []),
        (OrderState.REJECTED, []),
    ],
)
def test_where_an_order_is_found_decides_what_is_left(state, expected):
    """From each state the saga takes exactly the steps that are still to come."""
    assert expected == road(Saga.at(state))


@pytest.mark.parametrize("step", list(Step))
@pytest.mark.parametrize(
    "outcome", [Outcome.REFUSED, Outcome.OVERTAKEN, Outcome.UNKNOWN]
)
def test_what_follows_a_step_that_was_not_done(step, outcome):
    """A refusal decides only where it may; the unknown is never undone blindly."""
    saga = Saga(step=step).after(outcome, "NO")

    if outcome is Outcome.UNKNOWN:
        assert (None, End.PAUSED) == (saga.step, saga.end)
    elif outcome is Outcome.REFUSED and step in DECIDES:
        assert (Step.REJECT, "NO") == (saga.step, saga.rejection)
    else:
        assert (None, End.RELOAD) == (saga.step, saga.end)


def test_every_state_has_an_entry_and_every_write_a_state():
    """No state is forgotten, and final states alone have nothing to do."""
    assert set(OrderState) == set(ENTRY)
    assert {state for state in OrderState if state.final} == {
        state for state, step in ENTRY.items() if step is None
    }
    for state in WRITES.values():
        assert before(state)


def test_nothing_leads_out_of_a_final_state_or_round_in_a_circle():
    """The order machine only goes on: no state is reached twice."""

    def longest(state: OrderState) -> int:
        return 1 + max((longest(one) for one in TRANSITIONS[state]), default=0)

    assert 3 == longest(OrderState.ACCEPTED)
    assert not TRANSITIONS[OrderState.CONFIRMED]
    assert not TRANSITIONS[OrderState.REJECTED]


@dataclass
class World:
    """What the services below keep, with their idempotency and nothing else."""

    state: OrderState = OrderState.ACCEPTED
    stock: int = 1
    reservation: str = "none"
    payment: str = "none"
    charges: int = 0
    refunds: int = 0
    history: list[OrderState] = field(default_factory=list)

    def take(self, step: Step) -> Outcome:
        if step in WRITES:
            if self.state not in before(WRITES[step]):
                return Outcome.OVERTAKEN
            self.state = WRITES[step]
            self.history.append(self.state)
            return Outcome.DONE
        return getattr(self, f"_{step.value}")()

    def _reserve(self) -> Outcome:
        if self.reservation == "released":
            return Outcome.REFUSED
        if self.reservation == "none":
            if not self.stock:
                return Outcome.REFUSED
            self.stock -= 1
            self.reservation = "reserved"
        return Outcome.DONE

    def _authorise(self) -> Outcome:
        if self.payment in {"refunded", "declined"}:
            return Outcome.REFUSED
        if self.payment == "none":
            self.payment = "authorised"
        return Outcome.DONE

    def _capture(self) -> Outcome:
        if self.payment == "authorised":
            self.payment = "captured"
            self.charges += 1
        return Outcome.DONE if self.payment == "captured" else Outcome.REFUSED

    def _commit(self) -> Outcome:
        if self.reservation == "reserved":
            self.reservation = "committed"
        return Outcome.DONE if self.reservation == "committed" else Outcome.REFUSED

    def _refund(self) -> Outcome:
        if self.payment == "captured":
            self.refunds += 1
        if self.payment != "declined":
            self.payment = "refunded"
        return Outcome.DONE

    def _release(self) -> Outcome:
        if self.reservation in {"reserved", "committed"}:
            self.stock += 1
        self.reservation = "released"
        return Outcome.DONE


class Worker:
    """One of several processes that run the same order at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.saga = self._load()

    def _load(self) -> Saga:
        return Saga.at(self._world.state)

    def act(self, mishap: str) -> None:
        if self.saga.step is None:
            self.saga = self._load()
        if self.saga.step is None:
            return
        if mishap == "lost before":
            self.saga = self.saga.after(Outcome.UNKNOWN)
            return
        outcome = self._world.take(self.saga.step)
        if mishap == "lost after":
            outcome = Outcome.UNKNOWN
        elif mishap == "refused" and self.saga.step in {Step.RESERVE, Step.AUTHORISE}:
            # What one run saw as refused another may have got: the worst of races.
            outcome = Outcome.REFUSED
        self.saga = self.saga.after(outcome, "NO")


MISHAPS = st.sampled_from(["none", "none", "lost before", "lost after", "refused"])


@given(
    stock=st.integers(0, 1),
    declined=st.booleans(),
    moves=st.lists(st.tuples(st.integers(0, 2), MISHAPS), max_size=40),
)
def test_any_interleaving_ends_whole(stock, declined, moves):
    """Three runs of one order, lost and refused anywhere, leave it whole.

    Confirmed means charged once and sold; rejected means nothing kept and nothing
    held; once final, it stays so.
    """
    world = World(stock=stock, payment="declined" if declined else "none")
    workers = [Worker(world) for _ in range(3)]
    for who, mishap in moves:
        workers[who].act(mishap)
    # Those that are still under way finish what they had in hand, then one resumes.
    for worker in workers:
        for _ in range(20):
            worker.act("none")

    assert world.state.final
    assert len(world.history) == len(set(world.history))
    if world.state is OrderState.CONFIRMED:
        assert ("committed", "captured") == (world.reservation, world.payment)
        assert (1, 0, stock - 1) == (world.charges, world.refunds, world.stock)
    else:
        assert world.reservation == "released"
        assert world.payment in {"refunded", "declined"}
        assert world.charges == world.refunds
        assert stock == world.stock
