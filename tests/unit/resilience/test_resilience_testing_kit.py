"""resilience.testing: scripts under threads, assertions, and what is imported."""

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

import resilience.native
import resilience.testing
from resilience import (
    Gradient2Config,
    LimitConfig,
    ServerPolicy,
    aio_server_interceptor,
)
from resilience.testing import Script, assert_no_permits_held

pytestmark = pytest.mark.resilience

ALONE = """
import sys, resilience.native, resilience.testing as t
t.FakeClock, t.Script, t.Trailers, t.policies_off, t.FaultConfig
print("grpc" in sys.modules)
"""


class _Yielding(str):
    """A name that lets other threads run whenever it is looked up."""

    __slots__ = ()

    def __hash__(self):
        time.sleep(0)
        return super().__hash__()


def test_threads_share_a_script_step_by_step():
    """Each step is played once, by one thread; only the last one repeats."""
    threads, each, method = 4, 300, _Yielding("/a.B/C")
    half = threads * each // 2
    script = Script(range(half))
    found, together = [], threading.Barrier(threads)

    def play():
        together.wait()
        found.extend([script.next(method) for _ in range(each)])

    players = [threading.Thread(target=play) for _ in range(threads)]
    for player in players:
        player.start()
    for player in players:
        player.join()

    assert [*range(half), *[half - 1] * half] == sorted(found)
    assert 2 * half == script.total


def test_places_at_servers_count_too():
    """A server's calls in flight and its limit's are places; others hold none."""
    policy = ServerPolicy(limit=LimitConfig(algorithm=Gradient2Config()))
    chain = aio_server_interceptor(policy)
    assert_no_permits_held([chain, SimpleNamespace()])
    assert chain.admission.enter("/a.B/C", None, tuple) is None

    with pytest.raises(AssertionError, match="still held"):
        assert_no_permits_held([chain])
    chain.admission.in_flight = 0
    with pytest.raises(AssertionError, match="'limit': 1"):
        assert_no_permits_held([chain])


def test_the_kit_alone_needs_no_grpc():
    """Fake clock, recorders, scripts and load reports come without importing grpc."""
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            ALONE,
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "False" == told.stdout.strip()


def test_every_name_is_there():
    """What __all__ lists can be imported, lazy or not."""
    for module in (resilience.testing, resilience.native):
        assert all(hasattr(module, name) for name in module.__all__)
