"""Scripted flights of libpq, as postgres_fdw sends them."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from links.errors import BadAddressError
from links.postgres import Flights, Tally
from links.spec import LinkSpec, LinkStats, join_address, split_address


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def query(sql):
    return message(b"Q", sql.encode() + b"\0")


SYNC = message(b"S", b"")


def prepare(name, sql):
    return message(b"P", name + b"\0" + sql.encode() + b"\0\0\0") + SYNC


def execute(name, parameters=b""):
    bind = message(b"B", b"\0" + name + b"\0" + b"\0\0\0\0" + parameters + b"\0\0")
    return (
        bind
        + message(b"D", b"P\0")
        + message(b"E", b"\0" + struct.pack("!I", 0))
        + SYNC
    )


def params(sql, parameters=b""):
    parse = message(b"P", b"\0" + sql.encode() + b"\0\0\0")
    return parse + execute(b"", parameters)


def startup(**settings):
    words = b"".join(
        key.encode() + b"\0" + value.encode() + b"\0" for key, value in settings.items()
    )
    body = struct.pack("!I", 196608) + words + b"\0"
    return struct.pack("!I", len(body) + 4) + body


START = query("START TRANSACTION ISOLATION LEVEL SERIALIZABLE")
COMMIT = query("COMMIT TRANSACTION")
CURSOR = [
    params("DECLARE c1 CURSOR FOR SELECT id FROM public.orders_eu WHERE id = $1"),
    query("FETCH 1000 FROM c1"),
    query("CLOSE c1"),
]
UPDATE = params("UPDATE public.stock_eu SET available = $1", b"\0\0\0\1")
SESSION = [
    startup(user="app", database="shop"),
    query("SET search_path = pg_catalog"),
    query("SET timezone = 'GMT'"),
    query("SET datestyle = ISO"),
    query("SET intervalstyle = postgres"),
    query("SET extra_float_digits = 3"),
]
SELECT = [START, *CURSOR, COMMIT]
INSERT = [
    START,
    prepare(b"pgsql_fdw_prep_1", "INSERT INTO public.orders_eu VALUES ($1, $2)"),
    execute(b"pgsql_fdw_prep_1", b"x" * 500),
    query("DEALLOCATE pgsql_fdw_prep_1"),
    COMMIT,
]
# What each statement costs: on the raw wire, and where a link folds.
TABLE = {
    "first use in a session": ([*SESSION, *SELECT], 11, 1),
    "point SELECT": (SELECT, 5, 1),
    "point UPDATE": ([START, UPDATE, COMMIT], 3, 2),
    "INSERT": (INSERT, 5, 2),
    "3 SELECT and 1 UPDATE": ([START, *CURSOR * 3, UPDATE, COMMIT], 12, 5),
    "rollback of a write": ([START, UPDATE, query("ABORT TRANSACTION")], 3, 1),
    "rolled back, then read": (
        [START, UPDATE, query("ROLLBACK"), START, *CURSOR, COMMIT],
        8,
        2,
    ),
    "savepoints": (
        [
            START,
            query("SAVEPOINT s2"),
            UPDATE,
            query("ROLLBACK TO SAVEPOINT s2"),
            query("RELEASE SAVEPOINT s2"),
            COMMIT,
        ],
        6,
        2,
    ),
    "autocommitted write, then a read": (
        [query("update t set a = 1"), START, *CURSOR, COMMIT],
        6,
        2,
    ),
    "pipeline": (
        [START + params("INSERT INTO t VALUES (1)") + COMMIT],
        1,
        1,
    ),
    "ping": ([query("SELECT 1")], 1, 1),
    "goodbye": ([message(b"X", b"")], 1, 0),
}


def opened(*, fold):
    tally = Tally()
    flights = Flights(tally, fold=fold)
    flights.client(startup(user="app", database="shop"))
    flights.server(b"R")
    tally.flights = tally.trips = 0
    return flights, tally


def play(flights, script, chunks=lambda flight: [flight]):
    numbers = []
    for flight in script:
        for chunk in chunks(flight):
            number = flights.client(chunk)
        assert number == flights.server(b"answer") == flights.server(b"and more")
        numbers.append(number)
    return numbers


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", TABLE)
def test_trips_are_what_the_table_says(name, fold):
    """Each script costs its round trips, raw and folded, and all flights count."""
    script, raw, folded = TABLE[name]
    tally = Tally()
    flights = Flights(tally, fold=fold)
    if script[0] is not SESSION[0]:
        flights, tally = opened(fold=fold)
    numbers = play(flights, script)

    assert (folded if fold else raw) == tally.trips
    assert len(script) == tally.flights
    if fold:
        paid = [number for number in numbers if number]
        assert folded == len(paid) == len(set(paid))
    else:
        assert {-1} == set(numbers)


@given(data=st.data(), name=st.sampled_from(sorted(TABLE)))
def test_trips_do_not_depend_on_how_the_bytes_were_read(data, name):
    """However a flight is cut into chunks, it costs the same and ends the same."""
    script, _, folded = TABLE[name]
    script = script[6:] if script[0] is SESSION[0] else script

    def cut(flight):
        places = data.draw(st.sets(st.integers(1, len(flight) - 1), max_size=6))
        edges = [0, *sorted(places), len(flight)]
        return [flight[a:b] for a, b in itertools.pairwise(edges)]

    whole, _ = opened(fold=True)
    pieces, tally = opened(fold=True)

    assert play(whole, script) == play(pieces, script, cut)
    assert folded == tally.trips


@pytest.mark.parametrize(
    ("flight", "expected"),
    [
        (query("INSERT INTO t VALUES ('" + "x" * 300_000 + "')"), [1] * 5),
        # Nothing runs before Execute, which stands behind the parameters.
        (params("INSERT INTO t VALUES ($1)", bytes(300_000)), [0, 0, 0, 0, 1]),
    ],
)
def test_a_large_statement_is_paid_once_and_to_its_end(flight, expected):
    """The chunks of one large statement are one trip, and the last one pays it."""
    flights, tally = opened(fold=True)
    chunks = [flight[at : at + 65536] for at in range(0, len(flight), 65536)]
    numbers = [flights.client(chunk) for chunk in chunks]

    assert expected == numbers
    assert tally.trips == 1


def test_copy_pays_at_its_beginning_and_its_end():
    """COPY data flows within the flight that opened it; CopyDone is answered."""
    flights, tally = opened(fold=True)
    row = message(b"d", b"x" * 100)
    play(flights, [query("COPY t FROM STDIN")])
    sent = [flights.client(row * 50) for _ in range(10)]
    flights.client(message(b"c", b""))

    assert tally.trips == 2
    assert len(sent) == 10


@pytest.mark.parametrize("value", ["database", "true", "on", "1"])
def test_a_replication_connection_never_escapes(value):
    """Every chunk of a replication connection takes the distance, from the first."""
    tally = Tally()
    flights = Flights(tally, fold=True)
    script = [
        startup(user="repl", replication=value),
        query("IDENTIFY_SYSTEM"),
        query("SET x = 1"),
        message(b"d", b"standby status"),
    ]

    assert play(flights, script) == [-1] * 4
    assert flights.server(message(b"d", b"WAL")) == -1
    assert tally.trips == 4


def test_a_user_called_replication_is_an_ordinary_one():
    """Only the startup packet's setting makes a replication connection."""
    flights = Flights(Tally(), fold=True)

    assert play(flights, [startup(user="replication", database="shop")]) == [0]

    flights = Flights(Tally(), fold=True)

    assert play(flights, [startup(user="app", replication="false")]) == [0]


@pytest.mark.parametrize(
    ("code", "answer", "expected"),
    [
        (80877103, b"N", 0),
        (80877103, b"S", -1),
        (80877104, b"N", 0),
        (80877104, b"G", -1),
    ],
)
def test_an_encrypted_connection_takes_the_distance(code, answer, expected):
    """Where nothing can be read any more, nothing is let off."""
    flights = Flights(Tally(), fold=True)
    flights.client(struct.pack("!II", 8, code))
    flights.server(answer)

    assert expected == flights.client(startup(user="app"))


def test_what_is_not_postgresql_takes_the_distance():
    """Bytes that cannot be a startup packet are not let off."""
    flights = Flights(Tally(), fold=True)

    assert flights.client(b"GET / HTTP/1.1\r\n\r\n") == -1


def test_statements_are_forgotten_when_closed():
    """A long session's prepared statements do not pile up."""
    flights, _ = opened(fold=True)
    for number in range(100):
        name = b"p%d" % number
        play(flights, [prepare(name, "SELECT 1")])
        play(flights, [query(f"DEALLOCATE p{number}")])
        play(flights, [prepare(name, "SELECT 1")])
        play(flights, [message(b"C", b"S" + name + b"\0") + SYNC])

    assert flights._statements == {}


def test_addresses_are_read_and_written():
    """Host and port part and join, IPv6 and every interface included."""
    assert split_address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert split_address(":80") == ("", 80)
    assert split_address("[::1]:80") == ("::1", 80)
    assert join_address("::1", 80) == "[::1]:80"
    for wrong in ("", "80", "host:", "host:http", "host:70000"):
        with pytest.raises(BadAddressError):
            split_address(wrong)


def test_specs_and_stats_travel_as_json():
    """A spec and its counts come back from their JSON as they were."""
    spec = LinkSpec(name="fdw-us-to-eu", upstream="127.0.0.1:1", rtt_ms=80, fold=True)
    stats = LinkStats(trips=3)

    assert spec == LinkSpec(**spec.to_json())
    assert stats == LinkStats(**stats.to_json())
