"""What must hold in the data whatever was done to the shop, asked in SQL.

Looked at from outside, at each region's own server, before and after a run.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from chaos.journeys import CHECKOUT, Journey

POLL_S = 0.25
# Of the orders that were accepted, so many may be refused later.
MOST_REJECTED = 0.01

_STOCK: LiteralString = """
SELECT product_id, sum(quantity)::int8 FROM (
    SELECT product_id, available AS quantity FROM stock WHERE crdb_region = %(region)s
    UNION ALL
    SELECT line->>'product_id', (line->>'quantity')::int8
    FROM reservations, jsonb_array_elements(lines) AS line
    WHERE crdb_region = %(region)s AND state IN ('reserved', 'committed')
) AS held GROUP BY product_id"""

# Each counts what must not be there. %(since)s is the start of the run.
_COUNTS: Mapping[str, tuple[str, LiteralString]] = {
    "ledger_sums_to_zero": (
        "no order whose ledger entries do not sum to zero",
        """SELECT count(*) FROM (
            SELECT order_id FROM ledger_entries WHERE crdb_region = %(region)s
            GROUP BY order_id HAVING sum(amount_minor) <> 0) AS open""",
    ),
    "no_double_charge": (
        "no captured payment whose ledger says another amount",
        """SELECT count(*) FROM (
            SELECT p.order_id FROM payments p LEFT JOIN ledger_entries l
            ON l.crdb_region = p.crdb_region AND l.order_id = p.order_id
            WHERE p.crdb_region = %(region)s AND p.state = 'captured'
            GROUP BY p.order_id, p.amount_minor
            HAVING coalesce(sum(greatest(l.amount_minor, 0)), 0) <> p.amount_minor
        ) AS wrong""",
    ),
    "confirmed_orders_are_paid": (
        "no confirmed order without a captured payment of its total",
        """SELECT count(*) FROM orders o LEFT JOIN payments p
            ON p.crdb_region = o.crdb_region AND p.order_id = o.id
            WHERE o.crdb_region = %(region)s AND o.state = 'confirmed'
            AND (p.state IS DISTINCT FROM 'captured'
                OR p.amount_minor <> o.total_minor)""",
    ),
    "rejected_orders_are_not_charged": (
        "no rejected order with a captured payment",
        """SELECT count(*) FROM orders o JOIN payments p
            ON p.crdb_region = o.crdb_region AND p.order_id = o.id
            WHERE o.crdb_region = %(region)s AND o.state = 'rejected'
            AND p.state = 'captured'""",
    ),
    "no_negative_stock": (
        "no product with less than nothing in stock",
        """SELECT count(*) FROM stock
            WHERE crdb_region = %(region)s AND available < 0""",
    ),
}

_STUCK: LiteralString = """
SELECT (SELECT count(*) FROM orders WHERE crdb_region = %(region)s
        AND state IN ('accepted', 'placed', 'rejecting') AND created_at >= %(since)s)
     + (SELECT count(*) FROM intake WHERE crdb_region = %(region)s
        AND state = 'held' AND created_at >= %(since)s)"""
_DRAINED: LiteralString = """
SELECT count(*), max(drained_at) FROM intake
WHERE crdb_region = %(region)s AND created_at >= %(since)s"""
_KNOWN: LiteralString = """
SELECT id, state FROM orders WHERE crdb_region = %(region)s AND id = ANY(%(ids)s)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One invariant: whether it holds, and what was found."""

    name: str
    passed: bool
    observed: Any
    expected: str

    def to_json(self) -> dict[str, Any]:
        """Give the shape that checks have."""
        return {
            "name": self.name,
            "passed": self.passed,
            "observed": self.observed,
            "expected": self.expected,
            "trace_ids": [],
        }


class Books:
    """Reads the data of every region; raises psycopg.Error when it cannot."""

    def __init__(self, admin: Mapping[str, str]) -> None:
        self._admin = admin

    def stock(self) -> dict[str, dict[str, int]]:
        """Count every region's goods, on the shelf, set aside or sold."""
        return {
            region: {
                str(product): int(count) for product, count in self._ask(region, _STOCK)
            }
            for region in self._admin
        }

    def stuck(self, since_s: float) -> int:
        """Count orders since then that are neither done nor refused."""
        return sum(
            int(self._ask(region, _STUCK, since=_time(since_s))[0][0])
            for region in self._admin
        )

    def counts(self) -> dict[str, int]:
        """Count what must not be there, by invariant."""
        return {
            name: sum(int(self._ask(region, query)[0][0]) for region in self._admin)
            for name, (_, query) in _COUNTS.items()
        }

    def drained(self, since_s: float) -> tuple[int, float | None]:
        """Count the orders taken elsewhere, and tell when the last one came home."""
        taken, last = 0, None
        for region in self._admin:
            rows = self._ask(region, _DRAINED, since=_time(since_s))
            taken += int(rows[0][0])
            if rows[0][1] is not None:
                last = max(last or 0.0, rows[0][1].timestamp())
        return taken, last

    def states(self, ids: Mapping[str, Sequence[UUID]]) -> dict[str, str]:
        """Look orders up at home: public id to state; the missing are left out."""
        return {
            f"{region}-{order}": str(state)
            for region, listed in ids.items()
            if region in self._admin and listed
            for order, state in self._ask(region, _KNOWN, ids=list(listed))
        }

    def _ask(self, region: str, query: LiteralString, **values: Any) -> list[Any]:
        with psycopg.connect(
            self._admin[region],
            autocommit=True,
            connect_timeout=5,
            application_name="seawall-chaos-books",
        ) as connection:
            return connection.execute(query, {"region": region, **values}).fetchall()


def await_settled(books: Books, *, since_s: float, until_s: float) -> int:
    """Wait until no order is under way, or until then; give how many still are."""
    while True:
        left = books.stuck(since_s)
        if not left or time.time() >= until_s:
            return left
        time.sleep(POLL_S)


def judge(
    books: Books,
    *,
    stock_before: Mapping[str, Mapping[str, int]],
    journeys: Iterable[Journey],
    since_s: float,
    gone_s: float,
    drained_within_s: float,
    stuck: int,
) -> list[Finding]:
    """Ask all of them, after the run has settled."""
    findings = [
        Finding(name=name, passed=not count, observed=count, expected=_COUNTS[name][0])
        for name, count in books.counts().items()
    ]
    findings.append(_conserved(stock_before, books.stock()))
    findings += _acknowledged(books, journeys)
    findings.append(
        Finding(
            name="no_order_stuck",
            passed=not stuck,
            observed=stuck,
            expected="no order of the run under way any more",
        )
    )
    findings.append(_brought_home(books, since_s, gone_s, drained_within_s))
    return findings


def _conserved(
    before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]
) -> Finding:
    off = [
        f"{region}/{product}"
        for region, shelf in before.items()
        for product in {*shelf, *after.get(region, {})}
        if shelf.get(product) != after.get(region, {}).get(product)
    ]
    return Finding(
        name="goods_are_conserved",
        passed=not off,
        observed=len(off),
        expected="no product whose stock, reserved and sold do not add up as before",
    )


def _acknowledged(books: Books, journeys: Iterable[Journey]) -> list[Finding]:
    told: dict[str, str] = {}
    wanted: defaultdict[str, list[UUID]] = defaultdict(list)
    for one in journeys:
        if one.journey == CHECKOUT and one.outcome == "success" and one.order_id:
            region, _, number = one.order_id.partition("-")
            told[one.order_id] = one.order_state
            try:
                wanted[region].append(UUID(number))
            except ValueError:
                continue  # stays unknown, hence lost
    found = books.states(wanted)
    lost = [
        order
        for order, state in told.items()
        if order not in found or (state == "CONFIRMED" and found[order] != "confirmed")
    ]
    refused = sum(found.get(order) == "rejected" for order in told)
    return [
        Finding(
            name="no_acknowledged_order_lost",
            passed=not lost,
            observed=len(lost),
            expected=f"none of {len(told)} acknowledged orders missing or taken back",
        ),
        # Goods may be gone when an order taken elsewhere comes home; not many.
        Finding(
            name="few_accepted_orders_rejected",
            passed=refused <= MOST_REJECTED * len(told),
            observed=refused,
            expected=f"at most {MOST_REJECTED:.0%} of {len(told)} accepted orders",
        ),
    ]


def _brought_home(
    books: Books, since_s: float, gone_s: float, within_s: float
) -> Finding:
    taken, last = books.drained(since_s)
    took = max(0.0, (last or gone_s) - gone_s)
    return Finding(
        name="intake_drained_in_time",
        passed=took <= within_s,
        observed=round(took, 2),
        expected=(
            f"all of {taken} orders taken elsewhere at home within "
            f"{within_s:g} s after the fault"
        ),
    )


def _time(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, tz=UTC)
