"""Payments and their ledger in the database, in both shapes of SQL.

`*_all` is one statement for a change and its booking, `*_each` one statement for
each row inside a transaction. Either way no booking stands without its counterpart.

The ledger's keys are random, or `numbered`: the journal's next number is looked up in
the transaction that books it, row by row only. Two bookings of a journal side by side
look up the same one, and one of them has to be done again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from cockroach.database import Database, Transaction
from cockroach.errors import ConstraintError, TransactionConflictError
from cockroach.ids import PublicId
from services.payments import statements as sql
from services.payments.domain import (
    Entry,
    Payment,
    PaymentClosedError,
    PaymentState,
    capture_entries,
    forbidden,
    journal,
    refund_entries,
    with_numbers,
)


class PaymentStore:
    """The payments of every region, each reached at its home."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def find(self, order: PublicId) -> Payment | None:
        """Return the order's payment, or None."""
        rows = await self._database.fetch(order.region, sql.PAYMENT, _of(order))
        return _payment(rows[0]) if rows else None

    async def record(self, payment: Payment) -> Payment:
        """Write the payment unless one is there; return the one that stands."""
        written = await self._database.execute(
            payment.order.region, sql.RECORD, self._row(payment)
        )
        if written.rowcount:
            return payment
        found = await self.find(payment.order)
        assert found is not None, "a payment is never deleted"
        return found

    async def capture_all(self, order: PublicId) -> Payment:
        """Take what was authorised and book it, in one statement.

        Raises:
            PaymentClosedError: it is neither authorised nor captured.
        """
        rows = await self._database.fetch(
            order.region, sql.CAPTURE, self._booking(order, capture_entries(order.uuid))
        )
        if rows:
            return _payment(rows[0])
        return _captured(await self.find(order))

    async def capture_each(self, order: PublicId, *, numbered: bool) -> Payment:
        """Take and book row by row in a transaction. Raises as `capture_all`."""

        async def work(transaction: Transaction) -> Payment:
            moved = await self._move(
                transaction,
                order,
                (PaymentState.AUTHORISED, PaymentState.CAPTURED),
                capture_entries(order.uuid),
                numbered=numbered,
            )
            return moved or _captured(await _look(transaction, order))

        return await self._database.transaction(order.region, work)

    async def refund_all(self, order: PublicId) -> Payment:
        """Undo whatever there is in one statement, or forbid what never was."""
        rows = await self._database.fetch(
            order.region, sql.REFUND, self._booking(order, refund_entries(order.uuid))
        )
        if rows:
            return _payment(rows[0])
        standing = await self.find(order) or await self.record(forbidden(order))
        if standing.state in {PaymentState.AUTHORISED, PaymentState.CAPTURED}:
            # Recorded between the two statements.
            return await self.refund_each(order, numbered=False)
        return standing

    async def refund_each(self, order: PublicId, *, numbered: bool) -> Payment:
        """Undo row by row in a transaction, or forbid what never was."""

        async def work(transaction: Transaction) -> Payment:
            payment = await _look(transaction, order)
            if payment is None:
                await transaction.execute(sql.RECORD, self._row(forbidden(order)))
                return forbidden(order)
            entries: Sequence[Entry] = ()
            if payment.state is PaymentState.CAPTURED:
                entries = refund_entries(order.uuid)
            elif payment.state is not PaymentState.AUTHORISED:
                return payment
            moved = await self._move(
                transaction,
                order,
                (payment.state, PaymentState.REFUNDED),
                entries,
                numbered=numbered,
            )
            assert moved is not None, "seen so in this transaction"
            return moved

        return await self._database.transaction(order.region, work)

    async def _move(
        self,
        transaction: Transaction,
        order: PublicId,
        states: tuple[PaymentState, PaymentState],
        entries: Sequence[Entry],
        *,
        numbered: bool,
    ) -> Payment | None:
        at = {**_of(order), "now": self._now()}
        expected, state = states
        rows = await transaction.fetch(
            sql.MOVE, {**at, "new_state": state, "expected": expected}
        )
        if not rows:
            return None
        payment = _payment(rows[0])
        if numbered and entries:
            entries = await _next(transaction, order, entries)
        for entry in entries:
            booking = {
                **at,
                "entry_id": entry.id,
                "to_account": entry.account,
                "amount_minor": payment.amount_minor * entry.sign,
            }
            try:
                await transaction.execute(sql.BOOK, booking)
            except ConstraintError as error:
                if not numbered:
                    raise
                # Another booking has the number: as good as a conflict told as one.
                raise TransactionConflictError(
                    "the journal number was taken meanwhile", sqlstate=error.sqlstate
                ) from error
        return payment

    def _row(self, payment: Payment) -> dict[str, Any]:
        return {
            **_of(payment.order),
            "key": payment.idem_key,
            "fingerprint": payment.fingerprint,
            "amount_minor": payment.amount_minor,
            "currency": payment.currency,
            "new_state": payment.state,
            "now": self._now(),
        }

    def _booking(self, order: PublicId, entries: Sequence[Entry]) -> dict[str, Any]:
        return {
            **_of(order),
            "now": self._now(),
            "ids": [entry.id for entry in entries],
            "accounts": [entry.account for entry in entries],
            "signs": [entry.sign for entry in entries],
        }


async def _look(transaction: Transaction, order: PublicId) -> Payment | None:
    rows = await transaction.fetch(sql.PAYMENT, _of(order))
    return _payment(rows[0]) if rows else None


async def _next(
    transaction: Transaction, order: PublicId, entries: Sequence[Entry]
) -> Sequence[Entry]:
    first, last = journal(order.uuid)
    rows = await transaction.fetch(
        sql.LAST_ENTRY, {"region": order.region, "first": first, "last": last}
    )
    return with_numbers(order.uuid, entries, rows[0].id if rows else None)


def _captured(payment: Payment | None) -> Payment:
    if payment is None or payment.state is not PaymentState.CAPTURED:
        raise PaymentClosedError(payment.state if payment else None)
    return payment


def _of(order: PublicId) -> dict[str, Any]:
    return {"region": order.region, "order": order.uuid}


def _payment(row: Any) -> Payment:
    return Payment(
        order=PublicId(row.crdb_region, row.order_id),
        idem_key=row.idem_key,
        fingerprint=row.fingerprint,
        amount_minor=row.amount_minor,
        currency=row.currency,
        state=PaymentState(row.state),
    )
