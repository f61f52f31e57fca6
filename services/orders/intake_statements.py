"""The SQL of the intake: orders that this region holds for another."""

from sqlalchemy import BigInteger, DateTime, Text, all_, and_, bindparam, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from cockroach.inserts import insert_unless_there
from cockroach.schema.tables import intake

_REGION = bindparam("region", type_=intake.c.crdb_region.type)
_ID = bindparam("order", type_=intake.c.id.type)
_HOME = bindparam("home", type_=Text())
_KEY = bindparam("key", type_=Text())
_NOW = bindparam("now", type_=DateTime(timezone=True))

HOLD = insert_unless_there(intake).values(
    crdb_region=_REGION,
    id=_ID,
    home_region=_HOME,
    customer_id=bindparam("customer", type_=intake.c.customer_id.type),
    idem_key=_KEY,
    fingerprint=bindparam("fingerprint", type_=Text()),
    body=bindparam("body", type_=JSONB()),
    state="held",
    created_at=_NOW,
    drained_at=None,
)
BY_KEY = select(intake).where(
    intake.c.crdb_region == _REGION,
    intake.c.home_region == _HOME,
    intake.c.idem_key == _KEY,
)
BY_ID = select(intake).where(intake.c.crdb_region == _REGION, intake.c.id == _ID)
HELD = (
    select(intake)
    .where(
        intake.c.crdb_region == _REGION,
        intake.c.state == "held",
        intake.c.home_region != all_(bindparam("away", type_=ARRAY(Text()))),
    )
    .order_by(intake.c.created_at)
    .limit(bindparam("limit", type_=BigInteger()))
)
SETTLE = (
    update(intake)
    .values(
        state=bindparam("new_state", type_=Text()),
        body=bindparam("new_body", type_=JSONB()),
        drained_at=_NOW,
    )
    .where(
        and_(intake.c.crdb_region == _REGION, intake.c.id == _ID),
        # No bare column: found by its key, never by the index on states.
        intake.c.state.concat("") == "held",
    )
)
