"""Which processes count as paused: real ones, in every state they can be in."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import psutil

from cockroach.drills.faults import BY_NAME, Scene

PAUSE = BY_NAME["pause"]
# A parent with a child, as a server has: the child's number is the line it prints.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


@contextmanager
def _server():
    """Give a scene of two running processes, the server's first one and its child."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as one:
        child = psutil.Process(int(one.stdout.readline()))
        first = psutil.Process(one.pid)
        site = SimpleNamespace(
            processes=lambda: [first, *first.children(recursive=True)]
        )
        try:
            yield Scene(site=site, links=None, link_names=()), first, child
        finally:
            for process in (child, first):
                if process.is_running():
                    process.kill()


def _becomes(process, *states):
    until = time.monotonic() + 10
    while process.status() not in states:
        assert time.monotonic() < until, process.status()
        time.sleep(0.005)


def test_a_pause_is_in_force_when_nobody_runs():
    """It is not before, it is right after, and no longer when one goes on."""
    with _server() as (scene, _, child):
        before = PAUSE.in_force(scene)
        PAUSE.inject(scene)
        after = PAUSE.in_force(scene)
        child.resume()
        _becomes(child, psutil.STATUS_SLEEPING, psutil.STATUS_RUNNING)

        assert (before, after, PAUSE.in_force(scene)) == (False, True, False)


def test_a_process_that_ended_does_not_keep_a_server_from_being_paused():
    """Its stopped parent does not collect it, so it stays in the list."""
    with _server() as (scene, first, child):
        first.suspend()
        _becomes(first, psutil.STATUS_STOPPED)
        child.kill()
        _becomes(child, psutil.STATUS_ZOMBIE)

        assert PAUSE.in_force(scene)


def test_a_server_that_is_gone_is_not_paused():
    """None of its processes runs, but neither is any there."""
    scene = Scene(site=SimpleNamespace(processes=list), links=None, link_names=())

    assert not PAUSE.in_force(scene)
