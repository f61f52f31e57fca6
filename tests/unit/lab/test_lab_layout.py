"""What runs where is decided before anything starts."""

from __future__ import annotations

import socket
from itertools import pairwise

import pytest

from cockroach.topology import REGIONS, rtt_ms
from lab import layout


def test_there_are_28_processes_with_names_and_ports_of_their_own() -> None:
    """Nine services a region, two of them in both zones, and one card network."""
    placed = layout.place(0)

    assert 28 == len(placed)
    assert 28 == len({one.instance for one in placed})
    assert 56 == len(
        {one.port for one in placed} | {one.metrics_port for one in placed}
    )


def test_a_taken_port_is_refused_by_name() -> None:
    """The message names the port, who wanted it, and the way out."""
    with socket.socket() as squatter:
        squatter.bind((layout.HOST, 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        with pytest.raises(
            layout.PortsTakenError, match=rf"{port} \(storefront-us-a\)"
        ):
            layout.place(port - 1)


def test_labs_that_start_together_seldom_take_the_same_ports(monkeypatch) -> None:
    """Each takes its ports in a row, wherever it begins, and goes round at the end."""
    few = range(layout.FREE_RANGE.start, layout.FREE_RANGE.start + 200)
    monkeypatch.setattr(layout, "FREE_RANGE", few)
    monkeypatch.setattr(layout, "_is_free", lambda _: True)
    for _ in range(20):
        places = [few.index(port) for port in layout.free_ports(50)]
        assert all((one + 1) % 200 == other for one, other in pairwise(places))


def test_other_regions_are_reached_by_link_only() -> None:
    """No region sees another's address; the card network is a link for all."""
    placed = layout.place(0)
    specs = layout.wan_links(placed)
    listens = {spec.name: f"link:{number}" for number, spec in enumerate(specs)}
    direct = {one.address: one.region for one in placed}
    for region in REGIONS:
        for service, regions in layout.peers(region, placed, listens).items():
            for where, addresses in regions.items():
                for address in addresses:
                    at_home = where == region and service != layout.WORLD
                    assert (direct.get(address) == region) == at_home


def test_links_between_regions_cost_their_round_trip() -> None:
    """Every gRPC link has the distance of its two ends."""
    for spec in layout.wan_links(layout.place(0)):
        if spec.kind == "grpc":
            assert rtt_ms(spec.source, spec.target) == spec.rtt_ms
