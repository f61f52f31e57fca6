"""The coalescer for threads where things go wrong: hung loads, no threads, expiry."""

import threading
import time

import pytest

from resilience import (
    BlockingCoalescer,
    CacheConfig,
    Deadline,
    current_deadline,
    deadline_scope,
)
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def gate():
    """Return an event that is set when the test ends, so that no load stays."""
    event = threading.Event()
    yield event
    event.set()


def _cache(clock=time.monotonic, **config):
    return BlockingCoalescer(CacheConfig(**({"jitter": 0.0} | config)), clock=clock)


def _fail():
    raise ConnectionError("down")


def _until(condition):
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends, "it never came to that"
        time.sleep(0.002)


def test_a_hung_load_does_not_hold_its_key_for_ever(gate):
    """After load_timeout_s its readers get an error and the next begins another."""
    cache = _cache(load_timeout_s=0.05)
    with pytest.raises(TimeoutError, match="longer than it may"):
        cache.get("k", gate.wait)

    # However slow the machine is, this load may take its time.
    patient = CacheConfig()
    assert "answer" == cache.get("k", lambda: "answer", config=patient).value


def test_a_hung_load_is_told_like_any_error(gate):
    """With error_ttl_s nobody waits for the same hung callee again."""
    cache = _cache(load_timeout_s=0.05, error_ttl_s=60)
    loads = []

    def hang():
        loads.append(1)
        gate.wait(20)

    for _ in range(3):
        with pytest.raises(TimeoutError):
            cache.get("k", hang)

    assert 1 == len(loads)


def test_a_hung_load_falls_back_to_the_stale_copy(gate):
    """Where a copy may cover a failed load it covers one that hangs."""
    cache = _cache(
        ttl_s=0, stale_s=60, load_timeout_s=0.05, stale_while_revalidate=False
    )
    cache.get("k", lambda: "old", config=CacheConfig(ttl_s=0, stale_s=60))

    found = cache.get("k", gate.wait)

    assert ("old", "stale") == (found.value, found.source)


def test_what_a_hung_load_brings_at_last_is_no_fresh_copy(gate, clock):
    """Another load has begun meanwhile; the late answer may be the old value."""
    cache = _cache(clock, ttl_s=10, load_timeout_s=1)
    with pytest.raises(TimeoutError):
        cache.get("k", lambda: gate.wait(20) and "late", timeout_s=0.01)
    clock.advance(2)
    assert "new" == cache.get("k", lambda: "new", timeout_s=10).value
    gate.set()
    _until(lambda: not _loading())

    assert "new" == cache.get("k", _fail).value


def _loading():
    return [t for t in threading.enumerate() if t.name == "coalesced-load"]


def test_without_a_thread_to_be_had_the_key_is_free_again(monkeypatch):
    """The error is the reader's, and nobody waits for a load that never began."""
    cache = _cache()

    def no_thread(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="new thread"):
            cache.get("k", lambda: "answer", timeout_s=10)

    assert "answer" == cache.get("k", lambda: "answer", timeout_s=10).value


def test_expire_makes_a_load_before_it_unjoinable(gate, clock):
    """A reader after the expiry loads anew instead of joining the old load."""
    cache = _cache(clock)
    begun = threading.Event()

    def old():
        begun.set()
        gate.wait(20)
        return "old"

    with pytest.raises(TimeoutError):
        cache.get("k", old, timeout_s=0.01)
    begun.wait(10)
    cache.expire("k")

    assert "new" == cache.get("k", lambda: "new", timeout_s=10).value


def test_a_refresh_replaces_a_fresh_copy(clock):
    """Refresh-ahead: the copy is new, and the old one stays where the load fails."""
    cache = _cache(clock)
    cache.get("k", lambda: 1)
    cache.refresh("k", lambda: 2)
    assert 2 == cache.get("k", _fail).value
    with pytest.raises(ConnectionError):
        cache.refresh("k", _fail)

    assert 2 == cache.get("k", _fail).value


def test_everything_can_be_expired_or_forgotten(clock):
    """After expire_all every copy is stale, after clear there is none."""
    cache = _cache(clock, stale_s=60, error_ttl_s=60)
    for key in "ab":
        cache.get(key, lambda: "old")
    cache.expire_all()
    assert ["stale", "stale"] == [cache.get(key, _fail).source for key in "ab"]
    _until(lambda: not cache._loads)
    cache.clear()

    assert 0 == len(cache)
    assert "new" == cache.get("a", lambda: "new").value


def test_configuration_is_read_at_each_read(clock):
    """A policy can change while the copies stay, or be given with a read."""
    config = CacheConfig(ttl_s=10, jitter=0)
    cache = BlockingCoalescer(lambda: config, clock=clock)
    cache.get("k", lambda: 1)
    config = CacheConfig(ttl_s=0, jitter=0)
    assert 1 == cache.get("k", lambda: 2).value
    clock.advance(10)
    assert 2 == cache.get("k", lambda: 2).value

    assert 1 == cache.get("x", lambda: 1, config=CacheConfig(jitter=0)).value
    assert "hit" == cache.get("x", _fail, config=CacheConfig(jitter=0)).source


def test_a_shared_load_is_free_of_its_readers_deadline():
    """The load belongs to nobody, so nobody's deadline is on it."""
    seen = []
    with deadline_scope(Deadline.after(5)):
        _cache().get("k", lambda: seen.append(current_deadline()))

    assert [None] == seen


def test_early_refresh_runs_behind_the_reader(clock):
    """XFetch for threads: the reader has the copy at once, the next one the new."""
    cache = _cache(clock, ttl_s=10, early_refresh_beta=1000.0)

    def slow():
        clock.advance(1)
        return "old"

    cache.get("k", slow)
    assert "old" == cache.get("k", lambda: "new").value
    _until(lambda: not cache._loads)

    assert "new" == cache.get("k", lambda: "newer").value


def test_without_single_flight_every_thread_loads_for_itself(clock):
    """Switched off, identical reads cost one load each."""
    cache = _cache(clock, single_flight=False, ttl_s=0)
    loads = []
    threads = [
        threading.Thread(target=cache.get, args=("k", lambda: loads.append(1)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert 5 == len(loads)
