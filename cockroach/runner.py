"""Runs statements and transactions for `Database`, again where that is right."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.sql import Executable

from cockroach import transaction
from cockroach.attempts import Attempts, Known
from cockroach.errors import DatabaseError
from cockroach.lease import Lease, Params, Result
from cockroach.policy import DataPolicy
from cockroach.transaction import Transaction
from resilience import Listener, TokenBucket, current_deadline

T = TypeVar("T")

Work = Callable[[Transaction], Awaitable[T]]
Resolve = Callable[[Transaction], Awaitable[Known[T] | None]]
Borrow = Callable[[DataPolicy, str], Awaitable[Lease]]


class Runner:
    """The retry loop of one process, with one retry budget for each home region.

    `policy` is asked before every attempt, `borrow` lends a session of a gateway.
    """

    def __init__(
        self,
        policy: Callable[[], DataPolicy],
        borrow: Borrow,
        *,
        rng: random.Random,
        listener: Listener | None,
    ) -> None:
        self._policy = policy
        self._borrow = borrow
        self._rng = rng
        self._listener = listener
        self._budgets: dict[str, TokenBucket] = {}

    async def statement(
        self, home: str, statement: Executable, params: Params, key: object
    ) -> Result:
        """Run one statement. Raises DatabaseError."""
        attempts: Attempts | None = None
        while True:
            policy = self._policy()
            try:
                if policy.single_statements == "transaction":
                    lease = await self._borrow(policy, home)

                    async def only(one: Transaction) -> Result:
                        return await one.execute(statement, params, key=key)

                    result = await transaction.attempt(lease, only)
                else:
                    lease = await self._borrow(policy, home)
                    result = await lease.alone(statement, params, key)
            except DatabaseError as error:
                if attempts is None:
                    attempts = self._attempts(policy, home, "statement")
                await asyncio.sleep(attempts.after(error))
            else:
                self._earn(home)
                return result

    async def transaction(
        self, home: str, work: Work[T], resolve: Resolve[T] | None
    ) -> T:
        """Run work in a transaction. Raises what it raises, or DatabaseError."""
        attempts: Attempts | None = None
        while True:
            policy = self._policy()
            try:
                if attempts is not None and attempts.doubt is not None:
                    assert resolve is not None
                    lease = await self._borrow(policy, home)
                    known = await transaction.attempt(lease, resolve, reads=True)
                    if known is not None:
                        return known.value
                    attempts.missing()
                lease = await self._borrow(policy, home)
                result = await transaction.attempt(lease, work)
            except DatabaseError as error:
                if attempts is None:
                    attempts = self._attempts(
                        policy, home, "transaction", resolvable=resolve is not None
                    )
                await asyncio.sleep(attempts.after(error))
            else:
                self._earn(home)
                return result

    def _attempts(
        self, policy: DataPolicy, home: str, method: str, *, resolvable: bool = False
    ) -> Attempts:
        return Attempts(
            f"database@{home}",
            method,
            at_most=policy.transaction_attempts,
            budget=self._budget(policy, home),
            deadline=current_deadline(),
            rng=self._rng,
            listener=self._listener,
            resolvable=resolvable,
        )

    def _budget(self, policy: DataPolicy, home: str) -> TokenBucket | None:
        config = policy.retry_budget
        budget = self._budgets.get(home)
        if config is None:
            return None
        if budget is None:
            budget = self._budgets[home] = TokenBucket(config)
        elif budget.config != config:
            budget.reconfigure(config)
        return budget

    def _earn(self, home: str) -> None:
        budget = self._budgets.get(home)
        if budget is not None:
            budget.succeeded()
