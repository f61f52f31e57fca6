"""Which of a PostgreSQL client's flights would cross the distance.

`postgres_fdw` sends START TRANSACTION, DECLARE, FETCH, CLOSE and COMMIT as round
trips of their own, where a multi-region database pays for the read alone.
On a folded link only these flights are paid: a statement that reads or writes, a
FETCH, and the COMMIT of a transaction that wrote.
So a folded link's latency is a cost model over real statements, not a wire's.
A replication stream and an encrypted one take the distance with every chunk.
"""

from __future__ import annotations

import struct
from enum import Enum

from links.stage import EVERY, FREE

_SSL, _GSS = 80877103, 80877104
_LONGEST_STARTUP = 10_000  # bytes; PostgreSQL's own bound
# Enough of a message to read two names of 63 bytes and a statement's first words.
_PREFIX = 256
_READ = b"QPBEC"  # messages whose beginning matters here
_OFF = {b"false", b"off", b"no", b"0"}


class Tally:
    """Flights and paid round trips of one link, over all its connections."""

    __slots__ = ("flights", "trips")

    def __init__(self) -> None:
        self.flights = 0
        self.trips = 0


class _Verb(Enum):
    FREE = "free"
    BEGIN = "begin"
    READ = "read"
    WRITE = "write"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    ROLLBACK_TO = "rollback to"


_FIRST_WORDS = (
    ((b"START TRANSACTION", b"BEGIN"), _Verb.BEGIN),
    ((b"DECLARE", b"CLOSE", b"MOVE", b"SET ", b"RESET "), _Verb.FREE),
    ((b"PREPARE ", b"DEALLOCATE", b"SAVEPOINT", b"RELEASE"), _Verb.FREE),
    ((b"ROLLBACK TO",), _Verb.ROLLBACK_TO),
    ((b"ROLLBACK", b"ABORT"), _Verb.ROLLBACK),
    ((b"COMMIT", b"END"), _Verb.COMMIT),
    # A WITH may write; taking it for a write charges a COMMIT too many, never less.
    ((b"INSERT", b"UPDATE", b"DELETE", b"TRUNCATE", b"MERGE", b"WITH"), _Verb.WRITE),
    ((b"COPY",), _Verb.WRITE),
)


def _verb(statement: bytes) -> _Verb:
    words = statement[:64].lstrip().upper()
    if not words.strip(b"\0"):
        return _Verb.FREE
    for beginnings, verb in _FIRST_WORDS:
        if words.startswith(beginnings):
            return verb
    return _Verb.READ


class Flights:
    """Numbers the flights of one connection; paid ones count from 1.

    A flight is all that the client says until the server speaks.
    The server's answer belongs to the client's last flight.
    """

    __slots__ = (
        "_asked_encryption",
        "_current",
        "_fold",
        "_opaque",
        "_paid_in_turn",
        "_partial",
        "_portals",
        "_servers_turn",
        "_skip",
        "_started",
        "_statements",
        "_tally",
        "_wrote",
    )

    def __init__(self, tally: Tally, *, fold: bool) -> None:
        self._tally = tally
        self._fold = fold
        self._current = FREE if fold else EVERY
        self._servers_turn = True  # whoever speaks first begins a flight
        self._paid_in_turn = False
        self._opaque = not fold
        self._started = False
        self._asked_encryption = False
        self._partial = b""
        self._skip = 0
        self._wrote = False
        self._statements: dict[bytes, _Verb] = {}
        self._portals: dict[bytes, _Verb] = {}

    def server(self, data: bytes) -> int:
        """Give the number of the flight that this chunk of the server answers."""
        self._servers_turn = True
        if self._asked_encryption:
            self._asked_encryption = False
            if data[:1] in (b"S", b"G"):
                self._see_nothing()
        return self._current

    def client(self, data: bytes) -> int:
        """Give the number of the flight that this chunk of the client belongs to."""
        if self._servers_turn:
            self._servers_turn = False
            self._paid_in_turn = False
            self._tally.flights += 1
            # The rest of a message travels as its beginning did.
            if not (self._opaque or self._skip or self._partial):
                self._current = FREE
        if not self._opaque:
            paid = self._read(data)
            if not self._opaque:
                if paid and not self._paid_in_turn:
                    self._pay()
                    self._current = self._tally.trips
                return self._current
        self._pay()
        return self._current

    def _pay(self) -> None:
        if not self._paid_in_turn:
            self._paid_in_turn = True
            self._tally.trips += 1

    def _see_nothing(self) -> None:
        self._opaque = True
        self._current = EVERY
        self._partial = b""
        self._statements.clear()
        self._portals.clear()

    def _read(self, data: bytes) -> bool:
        """Say whether a paid message begins in `data`."""
        if self._skip:
            if self._skip >= len(data):
                self._skip -= len(data)
                return False
            data, self._skip = data[self._skip :], 0
        if self._partial:
            data, self._partial = self._partial + data, b""
        paid = False
        at, end = 0, len(data)
        while at < end and not self._opaque:
            if self._started:
                size, verdict = self._next(data, at)
            else:
                size, verdict = self._startup(data, at), False
            if size == 0:
                self._partial = b"" if self._opaque else data[at:]
                break
            paid = paid or verdict
            at += size
        self._skip = max(0, at - end)
        return paid

    def _next(self, data: bytes, at: int) -> tuple[int, bool]:
        """Read the message at `at`: its size, 0 when too little of it is here."""
        here = len(data) - at
        if here < 5:
            return 0, False
        kind = data[at]
        size = 1 + max(4, int.from_bytes(data[at + 1 : at + 5], "big"))
        if kind not in _READ:
            return size, kind == 0x63  # CopyDone: the end of a COPY is answered
        prefix = min(size, _PREFIX)
        if here < prefix:
            return 0, False
        return size, self._message(kind, data[at + 5 : at + prefix])

    def _startup(self, data: bytes, at: int) -> int:
        """Read a startup packet and give its size; 0 when it is not all here."""
        if len(data) - at < 8:
            return 0
        size, code = struct.unpack_from("!II", data, at)
        if not 8 <= size <= _LONGEST_STARTUP:
            self._see_nothing()  # not PostgreSQL's protocol
            return 0
        if len(data) - at < size:
            return 0
        if code in (_SSL, _GSS):
            self._asked_encryption = True
            return int(size)
        self._started = True
        words = data[at + 8 : at + size].split(b"\0")
        settings = dict(zip(words[::2], words[1::2], strict=False))
        if settings.get(b"replication", b"false").lower() not in _OFF:
            self._see_nothing()
        return int(size)

    def _message(self, kind: int, body: bytes) -> bool:
        """Follow one message and say whether it is paid."""
        if kind == 0x51:  # Query
            if body[:10].lstrip().upper().startswith(b"DEALLOCATE"):
                name = body.rstrip(b"\0").split()[-1].strip(b'"')
                self._statements.pop(name, None)
            return self._run(_verb(body))
        if kind == 0x50:  # Parse
            name, _, rest = body.partition(b"\0")
            self._statements[name] = _verb(rest)
        elif kind == 0x42:  # Bind
            portal, _, rest = body.partition(b"\0")
            statement = rest.partition(b"\0")[0]
            self._portals[portal] = self._statements.get(statement, _Verb.READ)
        elif kind == 0x45:  # Execute
            portal = body.partition(b"\0")[0]
            return self._run(self._portals.get(portal, _Verb.READ))
        else:  # Close
            closed = self._statements if body[:1] == b"S" else self._portals
            closed.pop(body[1:].partition(b"\0")[0], None)
        return False

    def _run(self, verb: _Verb) -> bool:
        if verb is _Verb.COMMIT:
            paid, self._wrote = self._wrote, False
            return paid
        if verb in (_Verb.BEGIN, _Verb.ROLLBACK):
            self._wrote = False
        elif verb is _Verb.WRITE:
            self._wrote = True
        return verb in (_Verb.READ, _Verb.WRITE)
