"""The last spans are waited for, by what their processes say of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily

from chaos import harvest
from chaos.lab_state import Lab, Service
from observability import names
from observability.collector.writer import StoreWriter


@dataclass(eq=False)
class Process:
    """Says of its spans what it is told to; two are sent at every question."""

    ended: int = 0
    sent: int = 0
    sends: int = 2
    asked: int = field(default=0, init=False)

    def collect(self) -> Iterator[CounterMetricFamily]:
        self.asked += 1
        yield CounterMetricFamily(names.METRIC_SPANS_ENDED, "", value=self.ended)
        yield CounterMetricFamily(names.METRIC_SPANS_EXPORTED, "", value=self.sent)
        # It never falls silent: what is sent makes room for what ends.
        self.sent += self.sends
        self.ended += self.sends


@pytest.fixture
def lab_of(tmp_path: Path):
    closing = []

    def make(process: Process) -> Lab:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(process)
        server, thread = start_http_server(0, "127.0.0.1", registry=registry)
        closing.append((server, thread))
        writer = StoreWriter(tmp_path / "traces.db")
        assert writer.close()
        process.asked = 0
        return Lab(
            pid=1,
            profile="sick",
            state_dir=tmp_path,
            services=(
                Service(
                    service="orders",
                    region="eu",
                    zone="a",
                    instance="orders-eu-a",
                    address="",
                    metrics=f"127.0.0.1:{server.server_port}",
                ),
            ),
            toxiproxy="",
            control="",
            otlp="",
            traces=tmp_path / "traces.db",
            runs=tmp_path,
            admin={},
            catalogue={},
        )

    yield make
    for server, thread in closing:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_a_process_is_waited_for_until_what_had_ended_is_sent(lab_of, monkeypatch):
    """Seven had ended, none was sent: four more questions at two spans each."""
    monkeypatch.setattr(harvest, "POLL_S", 0.0)
    process = Process(ended=7, sent=0)

    assert harvest.settle(lab_of(process), timeout=10).unsent == 0
    assert process.asked == 1 + 4


def test_a_process_that_sends_nothing_holds_it_up_for_so_long_only(lab_of):
    """What it never sent is told, so that a verdict can miss it."""
    process = Process(ended=7, sent=4, sends=0)

    assert harvest.settle(lab_of(process), timeout=0.3).unsent == 3
    assert process.asked > 1
