"""What a checkout costs in statements, in the cured and in the sick shape."""

import pytest

from cockroach import lease


@pytest.fixture
def statements(monkeypatch):
    """List the tables of every statement that the services send."""
    sent: list[str] = []
    run, control = lease.Lease.run, lease.Lease.control

    async def counted(self, statement, params, key, *, alone):
        sent.append(statement.compile().string.split()[0])
        return await run(self, statement, params, key, alone=alone)

    async def controlled(self, text, *, commits=False):
        sent.append(text.split()[0])
        return await control(self, text, commits=commits)

    monkeypatch.setattr(lease.Lease, "run", counted)
    monkeypatch.setattr(lease.Lease, "control", controlled)
    return sent


async def test_a_batched_checkout_takes_six_statements(
    open_shop, product, checkout, statements
):
    """Order, stock, payment, capture, sale, confirmation: one statement each."""
    products = [product(10) for _ in range(5)]
    async with open_shop("cured") as shop:
        await shop.orders().PlaceOrder(checkout(*products))
        statements.clear()
        await shop.orders().PlaceOrder(checkout(*products))

        assert 6 == len(statements)
        assert not {"BEGIN", "COMMIT"} & set(statements)


async def test_a_chatty_checkout_takes_many(open_shop, product, checkout, statements):
    """Item by item, each in its transaction, five items cost seven times as much."""
    products = [product(10) for _ in range(5)]
    async with open_shop("sick") as shop:
        await shop.orders().PlaceOrder(checkout(*products))
        statements.clear()
        await shop.orders().PlaceOrder(checkout(*products))

        assert len(statements) >= 42
        assert statements.count("BEGIN") >= 7
