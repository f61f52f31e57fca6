"""Peers: known by service and region, reached over few channels."""

import json
from pathlib import Path

import pytest

from services.runtime.peers import NoPeerError, Peers, load, targets
from services.runtime.settings import SettingsError


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["127.0.0.1:1", "127.0.0.1:2"], ["ipv4:127.0.0.1:1,127.0.0.1:2"]),
        (["cart-eu:7000"], ["dns:///cart-eu:7000"]),
        (["a:1", "10.0.0.1:2", "b:3"], ["ipv4:10.0.0.1:2", "dns:///a:1", "dns:///b:3"]),
    ],
)
def test_literal_addresses_share_a_target(addresses, expected):
    """gRPC goes round literal addresses by itself; each host name is looked up."""
    assert expected == targets(addresses)


@pytest.mark.parametrize(
    "document", [[], {"cart": []}, {"cart": {"eu": []}}, {"cart": {"eu": ["here"]}}]
)
def test_a_file_that_names_no_addresses_is_refused(tmp_path: Path, document):
    """What is no list of host:port is told with the file's name."""
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(document))

    with pytest.raises(SettingsError, match=r"peers\.json"):
        load(path)


async def test_the_same_peer_is_reached_over_the_same_channel():
    """Stubs of one service and region share a channel; unknown ones are refused."""
    asked = []

    def interceptors(target):
        asked.append(target)
        return []

    known = {"cart": {"eu": ["127.0.0.1:1"]}, "orders": {"us": ["127.0.0.1:2"]}}
    peers = Peers(known, region="eu", interceptors=interceptors)

    assert peers.stub(lambda channel: channel, "cart") is peers.stub(
        lambda channel: channel, "cart", "eu"
    )
    assert asked == ["cart@eu"]
    assert peers.regions("orders") == ("us",)
    assert peers.regions("payments") == ()
    with pytest.raises(NoPeerError):
        peers.stub(lambda channel: channel, "orders")
    await peers.close()


async def test_several_host_names_take_turns():
    """Calls rotate over the channels of host names, whoever asks for the stub."""

    class Stub:
        made = 0

        def __init__(self, channel):
            Stub.made += 1
            self.Method = f"stub {Stub.made}"

    known = {"cart": {"eu": ["one.invalid:1", "two.invalid:1"]}}
    peers = Peers(known, region="eu", interceptors=lambda _: [])
    called = [peers.stub(Stub, "cart").Method for _ in range(3)]

    assert called == ["stub 1", "stub 2", "stub 1"]
    await peers.close()
