import random

import pytest

from links.errors import BadAttributesError, BadStreamError, UnknownToxicTypeError
from links.stage import Distance
from links.toxic import Toxic
from links.toxics import TYPES

NEVER_LOSES = sorted(set(TYPES) - {"timeout", "limit_data"})


def test_latency_is_counted_from_arrival(connect):
    """Chunks that follow each other closely are late by the latency, not by its sum."""
    c = connect()
    c.add("latency", latency=100)
    for chunk in (b"a", b"b", b"c"):
        c.lane.receive(chunk)
        c.loop.advance(0.010)
    c.loop.advance(1)

    assert c.sink.written == [(100, b"a"), (110, b"b"), (120, b"c")]


def test_two_latencies_add(connect):
    """Two latency toxics make a chunk late by their sum."""
    c = connect()
    c.add("latency", latency=100)
    c.add("latency", latency=50)
    c.lane.receive(b"a")
    c.loop.advance(1)

    assert c.sink.written == [(150, b"a")]


def test_latency_comes_on_top_of_the_distance(connect):
    """A link's distance and a toxic's latency add."""
    c = connect(distance=lambda lane: Distance(lane, delay=0.04, end_delay=0.04))
    c.add("latency", latency=100)
    c.lane.receive(b"a")
    c.lane.finish(hangup=False)
    c.loop.advance(1)

    assert c.sink.written == [(140, b"a")]
    assert c.sink.eof_at == 140


def test_jitter_stays_within_its_bounds_and_keeps_the_order(connect):
    """Jitter moves each chunk by at most itself and never past its predecessor."""
    c = connect()
    c.add("latency", latency=100, jitter=50)
    for number in range(50):
        c.lane.receive(bytes([number]))
        c.loop.advance(0.2)
    delays = [at - 200 * n for n, (at, _) in enumerate(c.sink.written)]

    assert bytes(range(50)) == c.arrived
    assert all(49 <= delay <= 151 for delay in delays)
    assert len(set(delays)) > 10


def test_latency_on_flights_falls_once_on_each_paid_one(connect):
    """A paid flight in several chunks is late once, a free one not at all."""
    numbers = iter([0, 5, 5, 6, 0])
    c = connect(classify=lambda _: next(numbers))
    c.add("latency", latency=100, jitter=50)
    for chunk in (b"free", b"paid-", b"more"):
        c.lane.receive(chunk)
    c.loop.advance(1)
    first, *paid = c.sink.written
    c.lane.receive(b"next")
    c.lane.receive(b"behind")
    c.loop.advance(1)

    assert first == (0, b"free")
    assert paid[0][0] == paid[1][0] >= 50
    assert [data for _, data in c.sink.written[3:]] == [b"next", b"behind"]


def test_latency_update_reaches_what_is_waiting(connect):
    """A smaller latency lets go of what the larger one still held."""
    c = connect()
    name = c.add("latency", latency=60_000)
    c.lane.receive(b"a")
    c.loop.advance(0.05)
    c.update(name, "latency", latency=80)
    c.loop.advance(1)

    assert c.sink.written == [(80, b"a")]


def test_bandwidth_spaces_bytes_out(connect):
    """480 KB at 1000 KB/s take 480 ms, in pieces of at most 100 ms."""
    c = connect()
    c.add("bandwidth", rate=1000)
    for _ in range(48):
        c.lane.receive(bytes(10_000))
    c.lane.receive(bytes(250_000))
    c.loop.advance(2)
    times = [at for at, _ in c.sink.written]

    assert len(c.arrived) == 730_000
    assert times[47] == 480
    assert times[48:] == [580, 680, 730]


def test_bandwidth_makes_the_sender_wait(connect):
    """A slow wire stops its source early and lets it read again as it drains."""
    c = connect()
    c.add("bandwidth", rate=100)
    c.lane.receive(bytes(300_000))

    assert not c.source.reading

    c.loop.advance(2.9)

    assert c.source.reading


def test_bandwidth_of_nothing_is_a_black_hole_that_gives_back(connect):
    """At rate 0 nothing arrives; when the toxic goes, everything does."""
    c = connect()
    name = c.add("bandwidth", rate=0)
    c.lane.receive(b"a")
    c.loop.advance(3600)

    assert c.arrived == b""

    c.lane.take_out(name)

    assert c.arrived == b"a"


def test_bandwidth_update_sends_what_waits_at_the_new_rate(connect):
    """Bytes held at rate 0 leave at the new rate, not in a burst."""
    c = connect()
    name = c.add("bandwidth", rate=0)
    c.lane.receive(bytes(20_000))
    c.loop.advance(10)
    c.update(name, "bandwidth", rate=100)
    c.loop.advance(1)

    assert [at for at, _ in c.sink.written] == [10_100, 10_200]


def test_slow_close_delays_only_the_end(connect):
    """Data passes at once, the end after the delay."""
    c = connect()
    c.add("slow_close", delay=200)
    c.lane.receive(b"a")
    c.lane.finish(hangup=False)
    c.loop.advance(1)

    assert c.sink.written == [(0, b"a")]
    assert c.sink.eof_at == 200


def test_slow_close_removal_ends_at_once(connect):
    """An end that was waiting goes on when the toxic is removed."""
    c = connect()
    name = c.add("slow_close", delay=60_000)
    c.lane.finish(hangup=False)
    c.loop.advance(0.01)
    c.lane.take_out(name)

    assert c.sink.eof_at == 10


def test_slicer_cuts_without_losing(connect):
    """Slices join to what was sent, are about the average, and are spaced out."""
    c = connect()
    c.add("slicer", average_size=100, size_variation=20, delay=1000)
    sent = random.Random(1).randbytes(5000)
    c.lane.receive(sent)
    c.loop.advance(1)
    times = [at for at, _ in c.sink.written]

    assert sent == c.arrived
    assert all(0 < len(data) <= 120 for _, data in c.sink.written)
    assert times == list(range(len(times)))


@pytest.mark.parametrize(("average", "variation"), [(0, 0), (1, 0), (1, 50), (0, 9)])
def test_slicer_ends_whatever_it_is_told(connect, average, variation):
    """No average and no variation makes the slicer recurse for ever."""
    c = connect()
    c.add("slicer", average_size=average, size_variation=variation)
    c.lane.receive(bytes(1000))
    c.loop.advance(1)

    assert bytes(1000) == c.arrived


def test_limit_data_counts_on_across_updates(connect):
    """Exactly the limit passes, whatever it was when the count began."""
    c = connect()
    name = c.add("limit_data", bytes=100)
    c.lane.receive(bytes(60))
    c.update(name, "limit_data", bytes=80)
    c.lane.receive(bytes(60))

    assert len(c.arrived) == 80
    assert c.done == [("hang_up", 0)]


def test_timeout_drops_and_closes_when_idle(connect):
    """Nothing arrives, and the line is cut so long after the last chunk."""
    c = connect()
    c.add("timeout", timeout=100)
    c.loop.advance(0.08)
    c.lane.receive(b"a")
    c.loop.advance(1)

    assert c.arrived == b""
    assert c.done == [("hang_up", 180)]


def test_timeout_of_nothing_never_closes_until_removed(connect):
    """Timeout 0 swallows even the end; its removal closes."""
    c = connect()
    name = c.add("timeout", timeout=0)
    c.lane.receive(b"a")
    c.lane.finish(hangup=False)
    c.loop.advance(3600)

    assert c.done == []

    c.lane.take_out(name)

    assert [what for what, _ in c.done] == ["hang_up"]


def test_reset_peer_waits_for_a_chunk_then_for_its_time(connect):
    """An idle connection stays; the reset comes its time after the first chunk."""
    c = connect()
    c.add("reset_peer", timeout=50)
    c.loop.advance(1)

    assert c.done == []

    c.lane.receive(b"a")
    c.lane.receive(b"b")
    c.loop.advance(1)

    assert c.done == [("reset", 1050)]
    assert c.arrived == b""


@pytest.mark.parametrize("type_", NEVER_LOSES)
def test_removal_under_traffic_loses_no_byte(connect, type_):
    """Bytes before, during and after a toxic arrive whole and in order."""
    attributes = {
        "bandwidth": {"rate": 1},
        "latency": {"latency": 500, "jitter": 400},
        "reset_peer": {"timeout": 10_000},
        "slicer": {"average_size": 3, "size_variation": 2, "delay": 9000},
        "slow_close": {"delay": 500},
    }
    c = connect(distance=lambda lane: Distance(lane, delay=0.01, end_delay=0.01))
    sent = random.Random(3).randbytes(3000)
    name = None
    for number in range(30):
        if number == 10:
            name = c.add(type_, **attributes.get(type_, {}))
        if number == 20:
            c.lane.take_out(name)
        c.lane.receive(sent[number * 100 : number * 100 + 100])
        c.loop.advance(0.004)
    c.lane.finish(hangup=False)
    c.loop.advance(1)

    assert sent == c.arrived
    assert c.sink.eof_at is not None
    assert [("half_closed", c.sink.eof_at)] == c.done


def test_removal_of_the_first_of_two_keeps_the_order(connect):
    """What an early stage lets go waits its time in the later one."""
    c = connect()
    first = c.add("latency", latency=1000)
    c.add("latency", latency=100)
    c.lane.receive(b"a")
    c.loop.advance(0.01)
    c.lane.take_out(first)
    c.lane.receive(b"b")
    c.loop.advance(1)

    assert c.sink.written == [(110, b"a"), (110, b"b")]


def test_a_full_lane_stops_its_source(connect):
    """Within a long delay a lane holds megabytes, not everything."""
    c = connect()
    name = c.add("latency", latency=10_000)
    received = 0
    while c.source.reading:
        c.lane.receive(bytes(100_000))
        received += 100_000

    assert received < 5_000_000

    c.lane.take_out(name)

    assert c.source.reading
    assert received == len(c.arrived)


def test_a_source_that_ended_is_never_read_again(connect):
    """After the end, room in the lane must not make the source end a second time."""
    c = connect()
    c.lane.fill()
    c.lane.finish(hangup=False)
    c.source.reading = False
    c.lane.drain()

    assert not c.source.reading


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"type_": "lag"}, UnknownToxicTypeError),
        ({"stream": "sideways"}, BadStreamError),
        ({"toxicity": 1.5}, BadAttributesError),
        ({"toxicity": True}, BadAttributesError),
        ({"attributes": {"latency": 1.5}}, BadAttributesError),
        ({"attributes": {"latency": "1"}}, BadAttributesError),
        ({"attributes": {"latency": -1}}, BadAttributesError),
        ({"attributes": {"lateness": 1}}, BadAttributesError),
    ],
)
def test_a_bad_toxic_is_refused(changes, error):
    """Each bad value of a toxic has its own error."""
    with pytest.raises(error):
        Toxic.make(**({"type_": "latency"} | changes))


def test_a_toxic_has_defaults_and_a_folded_stream():
    """Name, stream and toxicity default as Toxiproxy's do."""
    toxic = Toxic.make("latency", stream="UpStream")

    assert toxic.to_json() == {
        "attributes": {"latency": 0, "jitter": 0},
        "name": "latency_upstream",
        "type": "latency",
        "stream": "upstream",
        "toxicity": 1.0,
    }
