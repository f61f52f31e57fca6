"""What a checkout costs in statements, in the cured and in the sick shape."""

import pytest
from opentelemetry import trace

from cockroach import lease

# Services look after themselves meanwhile: at abandoned orders, at their intake.
TRACE = "0af7651916cd43dd8448eb211c80319c"
# And nobody's prices grow old, however slow the machine.
KEPT = {"cache_ttl_s": 600.0}
TRACED = [("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")]


@pytest.fixture
def statements(monkeypatch):
    """List the first word of every statement sent in the trace of the test's call."""
    sent: list[str] = []
    run, control = lease.Lease.run, lease.Lease.control

    def note(word: str) -> None:
        if trace.get_current_span().get_span_context().trace_id == int(TRACE, 16):
            sent.append(word)

    async def counted(self, statement, params, key, *, alone):
        note(statement.compile().string.split()[0])
        return await run(self, statement, params, key, alone=alone)

    async def controlled(self, text, *, commits=False):
        note(text.split()[0])
        return await control(self, text, commits=commits)

    monkeypatch.setattr(lease.Lease, "run", counted)
    monkeypatch.setattr(lease.Lease, "control", controlled)
    return sent


async def test_a_batched_checkout_takes_six_statements(
    open_shop, product, checkout, statements
):
    """Order, stock, payment, capture, sale, confirmation: one statement each."""
    products = [product(10) for _ in range(5)]
    async with open_shop("cured", **KEPT) as shop:
        await shop.orders().PlaceOrder(checkout(*products))
        await shop.orders().PlaceOrder(checkout(*products), metadata=TRACED)

        assert 6 == len(statements)
        assert not {"BEGIN", "COMMIT"} & set(statements)


async def test_a_chatty_checkout_takes_many(open_shop, product, checkout, statements):
    """Item by item, each in its transaction, five items cost seven times as much."""
    products = [product(10) for _ in range(5)]
    async with open_shop("sick", **KEPT) as shop:
        await shop.orders().PlaceOrder(checkout(*products))
        await shop.orders().PlaceOrder(checkout(*products), metadata=TRACED)

        assert len(statements) >= 42
        assert statements.count("BEGIN") >= 7
