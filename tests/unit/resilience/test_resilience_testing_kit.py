"""resilience.testing: scripts under threads, assertions, and what is imported."""

import subprocess
import sys
import threading
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


def test_threads_share_a_script_step_by_step():
    """Each step is played once, by one thread; only the last one repeats."""
    steps = 400
    for _ in range(5):
        script = Script(range(steps))
        found, together = [], threading.Barrier(8)

        def play(script=script, found=found, together=together):
            together.wait()
            found.extend(script.next("/a.B/C") for _ in range(steps // 4))

        threads = [threading.Thread(target=play) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted([*range(steps), *[steps - 1] * steps]) == sorted(found)
        assert 2 * steps == script.total


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
