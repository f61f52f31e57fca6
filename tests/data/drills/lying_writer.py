"""A writer that says "done" when it has sent, and commits every twentieth row."""

from typing import Any

import psycopg

from cockroach.drills import records, writer

orders: dict[int, int] = {}


class Liar(writer.Writer):
    """Acknowledges before COMMIT, as a client with a batch of its own would."""

    def write(self, session: psycopg.Connection[Any], number: int) -> None:
        """Write one row, and commit later."""
        text = records.content(self._orders.seed, number)
        session.execute(writer.INSERT, (number, text))
        self._record.acknowledged(number, writer.time.monotonic())
        held = orders[id(session)] = orders.get(id(session), 0) + 1
        if held % 20 == 0:
            session.commit()


if __name__ == "__main__":
    writer.main(Liar)
