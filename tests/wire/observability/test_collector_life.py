"""The collector's process: its start, its end, and processes that outlive it."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest

from observability.collector import CollectorProcess, CollectorStartError
from observability.store import TraceStore


def test_stopping_keeps_what_was_received(collector, trace_to):
    """Spans that were answered for are in the file when the collector is gone."""
    telemetry = trace_to(collector.endpoint)
    for _ in range(300):
        telemetry.tracer.start_span("one").end()
    assert telemetry.flush()

    assert collector.stop() == 0
    assert TraceStore(collector.store).counts().spans == 300


def test_sigterm_ends_it_and_sigint_does_not(collector, wait_for):
    """Ctrl-C reaches the whole terminal, but the collector must stop last."""
    process = psutil.Process(collector.pid)
    os.kill(collector.pid, signal.SIGINT)
    with pytest.raises(psutil.TimeoutExpired):
        process.wait(0.3)
    os.kill(collector.pid, signal.SIGTERM)

    wait_for(lambda: not process.is_running() or process.status() == "zombie")
    assert collector.stop() == 0


def test_it_dies_with_its_starter(tmp_path, wait_for):
    """After `kill -9` of whoever started it nothing is left."""
    code = f"""
import pathlib, time
from observability.collector import CollectorProcess
started = CollectorProcess(pathlib.Path({str(tmp_path / "traces.db")!r})).start()
print(started.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE
    ) as starter:
        collector = psutil.Process(int(starter.stdout.readline()))
        starter.kill()

    wait_for(lambda: not collector.is_running())


def test_a_taken_port_is_said(tmp_path):
    """Two collectors on one port: the second says why it does not start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CollectorStartError, match=r"collector: "):
            CollectorProcess(tmp_path / "t.db", listen=f"127.0.0.1:{port}").start()


def test_a_file_of_another_version_is_refused(tmp_path):
    """A store with another layout is not written into."""
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(CollectorStartError, match="another version"):
        CollectorProcess(path).start()


def test_spans_for_a_dead_collector_are_counted(collector, trace_to, wait_for):
    """When the collector dies, the process works on and counts what it loses."""
    telemetry = trace_to(collector.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="0.2")
    telemetry.tracer.start_span("sent").end()
    assert telemetry.flush()
    collector.stop()
    telemetry.tracer.start_span("lost").end()

    wait_for(lambda: telemetry.counts().dropped_export == 1)
    assert telemetry.counts().exported == 1


@pytest.mark.parametrize("silent", [False, True], ids=["refusing", "silent"])
def test_a_dead_collector_never_holds_an_exit_up(trace_to, silent):
    """Leaving takes a second at most, whether the far end refuses or is silent."""
    # A socket that listens and never answers is the worst kind of dead.
    with socket.create_server(("127.0.0.1", 0)) as far_end:
        port = far_end.getsockname()[1]
        if not silent:
            far_end.close()
        telemetry = trace_to(f"http://127.0.0.1:{port}")
        for _ in range(2000):
            telemetry.tracer.start_span("lost").end()
        began = time.monotonic()
        counts = telemetry.shutdown()

        assert time.monotonic() - began < 1.8
        assert counts.dropped == counts.ended == 2000


def test_a_process_with_unsent_spans_leaves_at_once(tmp_path):
    """No thread of the exporter keeps the interpreter alive after a shutdown."""
    code = """
import time
from observability import tracing
telemetry = tracing.setup(service="s", region="eu", zone="a", instance="i",
    environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
telemetry.tracer.start_span("one").end()
began = time.monotonic()
telemetry.shutdown()
print(began)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=20
    )

    # Both ends read the same clock of the machine.
    assert time.monotonic() - float(done.stdout) < 3.0


def test_without_an_endpoint_nothing_is_sent(trace_to):
    """Tracing without a destination costs no thread and loses nothing."""
    telemetry = trace_to("")
    telemetry.tracer.start_span("one").end()

    assert telemetry.processor is None
    assert telemetry.flush()
    assert telemetry.shutdown().ended == 0
