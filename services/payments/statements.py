"""The SQL of payments and the ledger: each constant is one statement, region first."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Text,
    and_,
    bindparam,
    column,
    func,
    select,
    update,
)

from cockroach.inserts import insert, insert_unless_there
from cockroach.schema.tables import ledger_entries, payments

_REGION = bindparam("region", type_=payments.c.crdb_region.type)
_ORDER = bindparam("order", type_=payments.c.order_id.type)
_NOW = bindparam("now", type_=payments.c.updated_at.type)
_STATE = bindparam("new_state", type_=Text())
_KEY = bindparam("key", type_=Text())
_FINGERPRINT = bindparam("fingerprint", type_=Text())
_AMOUNT = bindparam("amount_minor", type_=BigInteger())
_CURRENCY = bindparam("currency", type_=Text())

_this_payment = and_(payments.c.crdb_region == _REGION, payments.c.order_id == _ORDER)

PAYMENT = select(payments).where(_this_payment)

# The first outcome stands: a second one changes nothing.
RECORD = insert_unless_there(payments).values(
    crdb_region=_REGION,
    order_id=_ORDER,
    idem_key=_KEY,
    fingerprint=_FINGERPRINT,
    amount_minor=_AMOUNT,
    currency=_CURRENCY,
    state=_STATE,
    created_at=_NOW,
    updated_at=_NOW,
)

# --- one statement for a change of state and its booking ------------------------

_entry = (
    func.unnest(
        bindparam("ids", type_=ARRAY(ledger_entries.c.id.type)),
        bindparam("accounts", type_=ARRAY(Text())),
        bindparam("signs", type_=ARRAY(BigInteger())),
    )
    .table_valued(
        column("id", ledger_entries.c.id.type),
        column("account", Text()),
        column("sign", BigInteger()),
    )
    .render_derived(name="entry")
)
_LEDGER_COLUMNS = [
    "crdb_region",
    "id",
    "order_id",
    "account",
    "amount_minor",
    "created_at",
]
_paid = (
    update(payments)
    .values(state="captured", updated_at=_NOW)
    .where(_this_payment, payments.c.state == "authorised")
    .returning(*payments.c)
    .cte("paid")
)
_bookings = insert(ledger_entries).from_select(
    _LEDGER_COLUMNS,
    select(
        _REGION,
        _entry.c.id,
        _paid.c.order_id,
        _entry.c.account,
        _paid.c.amount_minor * _entry.c.sign,
        _NOW,
    ).select_from(_paid.join(_entry, _entry.c.sign != 0)),
)
# Books what was authorised; no row when there was nothing to capture.
CAPTURE = select(_paid).add_cte(_bookings.cte("bookings"))

_undone = (
    update(payments)
    .values(state="refunded", updated_at=_NOW)
    .where(_this_payment, payments.c.state.in_(("authorised", "captured")))
    .returning(*payments.c)
    .cte("undone")
)
_booked = (
    select(
        ledger_entries.c.order_id,
        ledger_entries.c.account,
        ledger_entries.c.amount_minor,
    )
    .where(
        ledger_entries.c.crdb_region == _REGION,
        ledger_entries.c.order_id == _ORDER,
    )
    .cte("booked")
)
_returns = insert(ledger_entries).from_select(
    _LEDGER_COLUMNS,
    select(
        _REGION,
        _entry.c.id,
        _booked.c.order_id,
        _booked.c.account,
        -_booked.c.amount_minor,
        _NOW,
    ).select_from(
        _undone.join(_booked, _booked.c.order_id == _undone.c.order_id).join(
            _entry, _entry.c.account == _booked.c.account
        )
    ),
)

# Takes back whatever was booked for the order; an authorisation has no booking.
REFUND = select(_undone).add_cte(_returns.cte("returns"))

# --- one statement for each row, inside a transaction ---------------------------

MOVE = (
    update(payments)
    .values(state=_STATE, updated_at=_NOW)
    .where(_this_payment, payments.c.state == bindparam("expected", type_=Text()))
    .returning(*payments.c)
)
BOOK = insert(ledger_entries).values(
    crdb_region=_REGION,
    id=bindparam("entry_id", type_=ledger_entries.c.id.type),
    order_id=_ORDER,
    account=bindparam("to_account", type_=Text()),
    amount_minor=_AMOUNT,
    created_at=_NOW,
)

# --- numbers one after the other ------------------------------------------------

LAST_ENTRY = (
    select(ledger_entries.c.id)
    .where(
        ledger_entries.c.crdb_region == _REGION,
        ledger_entries.c.id >= bindparam("first", type_=ledger_entries.c.id.type),
        ledger_entries.c.id <= bindparam("last", type_=ledger_entries.c.id.type),
    )
    .order_by(ledger_entries.c.id.desc())
    .limit(1)
)
